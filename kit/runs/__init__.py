"""What is to be trained: specifications, units, engines, and what they left."""
