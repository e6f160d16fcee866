"""``kit ensemble``: the stage, its members, what it shows, and other people's predictions."""
