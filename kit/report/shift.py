"""Clean against stressed, and what the leaderboard will say: the files of the stages that made them."""

from __future__ import annotations

from kit.report.facts import Facts


def expectations(facts: Facts) -> list[tuple[str, float, float | None, float | None]]:
    """Scores to expect beside cross-validation: name, value, low, high."""
    return []
