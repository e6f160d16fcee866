"""What a prediction is worth: metrics, intervals, blends, shift; pure functions of arrays."""
