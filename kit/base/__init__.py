"""What everything stands on: text made safe to show, signals, standard streams."""
