"""``kit ensemble``: the stage, its members, what it shows, and other people's predictions."""

from kit.ensemble.stage import ensemble

__all__ = ["ensemble"]
