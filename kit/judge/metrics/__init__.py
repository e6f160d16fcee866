"""Metrics as plain functions of what is true and what was said, by what they see of it; `kit.judge.score` lists them.

The truth is ``y`` (N,) class indices, (N, C) floats where it is shares of votes, (N, L) whole numbers 0 or 1 where any
number of labels may hold, (N,) floats where it is a number. What was said are probabilities (N, C) or (N, L), or
answers: class indices (N,), (N, k) of which the first is the best, 0 and 1 (N, L), or numbers (N,).
"""

from kit.judge.metrics.counts import confusion
from kit.judge.metrics.ranks import ECE_BINS, ece_of
from kit.judge.metrics.rows import Array, classes_of, row_accuracy, row_nll

__all__ = ["ECE_BINS", "Array", "classes_of", "confusion", "ece_of", "row_accuracy", "row_nll"]
