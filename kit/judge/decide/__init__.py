"""Decisions: what to answer where probabilities are known and a metric counts answers."""

from kit.judge.decide.fit import Decided, fit

__all__ = ["Decided", "fit"]
