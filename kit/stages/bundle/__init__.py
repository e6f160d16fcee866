"""``kit bundle``: a self-contained zip that has run before it counts."""
