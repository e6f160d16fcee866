"""``kit ensemble``: the stage, its members, what it shows, and other people's predictions."""

from kit.ensemble.stage import ensemble, ensemble_key, find_submission

__all__ = ["ensemble", "ensemble_key", "find_submission"]
