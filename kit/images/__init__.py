"""Images on their way in: sources, augmentation, corruption."""
