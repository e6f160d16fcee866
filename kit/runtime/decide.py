"""Decide: probabilities in, answers out. NumPy only and Python 3.10, because this file travels inside the submission.

A decision is a dictionary of plain numbers; without one, a row's answer is its most probable class::

    {"kind": "gains", "scale": [C], "offset": [C]}       the class with the largest scale * p + offset
    {"kind": "costs", "costs": [C][C]}                   the class (second axis) with the least expected cost
    {"kind": "best", "k": k}                             the k most probable classes, the best first
    {"kind": "thresholds", "thresholds": [L]}            each label that is more probable than its threshold
    {"kind": "overlap"}                                  the labels that overlap best with those expected (F1 of a row)
    {"kind": "mean" | "median", "values": [C]}           a number from a distribution over values, in increasing order
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np

Array = Any  # an array, or what NumPy takes for one


class Decision(TypedDict, total=False):
    """What `decide` is given: its ``kind``, and the numbers of that kind."""

    kind: str
    scale: list[float]
    offset: list[float]
    costs: list[list[float]]
    k: int
    thresholds: list[float]
    values: list[float]


def decide(decision: Decision | None, proba: Array) -> Array:
    """Return the answers to probabilities (N, C): classes int64 (N,), or (N, k); labels 0 or 1 (N, C); numbers (N,).

    Rows are independent; ties go to the first class. Raises ValueError where the kind is unknown.
    """
    proba, kind = np.asarray(proba), decision["kind"] if decision else ""
    if not decision:
        return proba.argmax(axis=1)
    if kind == "gains":
        return (proba * np.asarray(decision["scale"]) + np.asarray(decision["offset"])).argmax(axis=1)
    if kind == "costs":
        return (proba @ np.asarray(decision["costs"])).argmin(axis=1)
    if kind == "best":
        return np.argsort(-proba, axis=1, kind="stable")[:, : decision["k"]]
    if kind == "thresholds":
        return (proba > np.asarray(decision["thresholds"])).astype(np.int64)
    if kind == "overlap":
        # F1 of the k most probable labels, the expectation of a ratio taken for the ratio of expectations.
        order = np.argsort(-proba, axis=1, kind="stable")
        found = np.take_along_axis(proba, order, axis=1).cumsum(axis=1)
        size = np.arange(1, proba.shape[1] + 1)
        best = (found / (size + proba.sum(axis=1, keepdims=True))).argmax(axis=1)
        return (np.argsort(order, axis=1) <= best[:, None]).astype(np.int64)
    if kind == "mean":
        return proba @ np.asarray(decision["values"]) / proba.sum(axis=1)
    if kind == "median":
        # Where half of the mass is reached, the mass of a value spread to half way to the next.
        values = np.asarray(decision["values"])
        edges = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2.0, values[-1:]])
        reached = np.concatenate([np.zeros((len(proba), 1)), proba.cumsum(axis=1)], axis=1)
        return np.array([np.interp(row[-1] / 2.0, row, edges) for row in reached])
    raise ValueError(f"unknown kind of decision {kind!r}")
