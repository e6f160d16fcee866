"""Decisions: what to answer where probabilities are known and a metric counts answers."""

from kit.judge.decide.fit import Decided, fit, said, worth
from kit.judge.decide.rules import is_fitted
from kit.runtime.decide import decide as apply

__all__ = ["Decided", "apply", "fit", "is_fitted", "said", "worth"]
