"""Apply a fitted blend: members' probabilities in, the ensemble's probabilities out.

NumPy only and Python 3.10, because this file travels inside the submission. Everything a fit can decide is a
plain dictionary of floats, so that ``json.dump`` is all that stands between fitting and predicting::

    {"views": [V floats],
     "parts": [{"share": s, "temperatures": [M], "weights": [M], "centre": c, "slopes": [M], "bias": [C]}, ...],
     "bias": [C], "several": bool}

With ``several`` each class is a question of its own (a sigmoid), and the blend is one of the two classes no and yes.
Every pool of the literature is one of the parts ``softmax(c log sum_m w_m p_m + sum_m a_m log p_m + bias)``
with ``p_m`` the member after its own temperature: the plain mean has ``w = 1/M, c = 1, a = 0``, a linear pool other
``w``, a final temperature ``c = 1/T``, a log-linear pool ``c = 0``, the pool centred on the mean both terms. Weights
that differ by class are ``"class_slopes": [M][R][C]``, a term ``sum_m W_m log p_m`` with matrices ``W_m`` of C rows, or
of one, which is a diagonal.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np

Array = Any  # an array, or what NumPy takes for one


class Part(TypedDict, total=False):
    """One pool of M members and C classes; ``ranks`` only where it is of ranks (M, C, Q quantiles)."""

    name: str
    share: float
    temperatures: list[float]
    weights: list[float]
    slopes: list[float]
    centre: float
    bias: list[float]
    class_slopes: list[list[list[float]]]
    ranks: list[list[list[float]]]


class Params(TypedDict, total=False):
    """A fitted blend: weights of the views, its parts, and a bias of the classes where there is one."""

    views: list[float] | None
    parts: list[Part]
    bias: list[float]
    several: bool


FLOOR = 1e-7  # probabilities below it are taken for it: at 1e-4 a confident, right member would lose information
BLOCK = 2**20  # numbers of all members that are worked on at a time


def softmax(logits: Array) -> Array:
    """Return probabilities along the last axis of (..., C) logits, of the same floating type."""
    shifted = np.exp(logits - largest(logits))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def largest(values: Array) -> Array:
    """Return the largest of (..., C) values as (..., 1)."""
    if values.shape[-1] > 16:
        return values.max(axis=-1, keepdims=True)
    found = values[..., :1].copy()
    for c in range(1, values.shape[-1]):  # several times as fast over a short axis
        np.maximum(found, values[..., c : c + 1], out=found)
    return found


def sigmoid(logits: Array) -> Array:
    """Return probabilities of (..., C) logits that are questions of their own, of the same floating type."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def log_proba(proba: Array) -> Array:
    """Return float64 logs of (..., C) probabilities, floored at ``FLOOR`` and normalised again."""
    floored = np.maximum(np.asarray(proba, dtype=np.float64), FLOOR)
    return np.log(floored / floored.sum(axis=-1, keepdims=True))


def mix_views(views: Array, proba: Array) -> Array:
    """Return the mean (M, N, C) of (M, V, N, C) probabilities, weighted by (V,) ``views``; (M, N, C) have no views."""
    proba = np.asarray(proba)
    fitted = 1 if views is None else len(views)
    given = 1 if proba.ndim == 3 else proba.shape[1]
    if given != fitted:
        raise ValueError(f"{given} views given, the blend has {fitted}")
    if proba.ndim == 3:
        return proba
    weights = [1.0] if views is None else views
    return sum(float(weight) * proba[:, k].astype(np.float64) for k, weight in enumerate(weights) if weight > 0)


def ranks(tables: Array, proba: Array) -> Array:
    """Return the rank in [0, 1] of each of (M, N, C) probabilities among the fitted ones.

    ``tables`` (M, C, Q) are increasing quantiles of what each member said of each class.
    """
    grid = np.linspace(0.0, 1.0, np.shape(tables)[-1])
    out = np.empty(proba.shape)
    for m, table in enumerate(tables):
        for c, quantiles in enumerate(table):
            left = np.searchsorted(quantiles, proba[m, :, c], side="left")
            right = np.searchsorted(quantiles, proba[m, :, c], side="right")
            tied = (left + np.maximum(right - 1, left)) / 2.0 / (len(grid) - 1)
            out[m, :, c] = np.where(right > left, tied, np.interp(proba[m, :, c], quantiles, grid))
    return np.clip(out, FLOOR, 1.0)


def blocks(rows: int, each: int) -> list[slice]:
    """Return slices of ``rows`` rows of ``each`` numbers, of ``BLOCK`` numbers and at least one row."""
    size = max(1, BLOCK // each)
    return [slice(start, start + size) for start in range(0, max(rows, 1), size)]


def apply_part(
    part: Part, proba: Array, logs: Array = None, seen: dict[tuple[int, float], Array] | None = None
) -> Array:
    """Return the (N, C) probabilities of one part of a blend of (M, N, C) ``proba``, of the type of their logs.

    ``logs`` is ``log_proba(proba)``, where the caller has it already, ``seen`` what tempered members other parts of the
    same rows needed.
    """
    if "ranks" in part:
        logs = np.log(ranks(part["ranks"], proba))
        mixed = np.tensordot(np.asarray(part["weights"]), np.exp(logs), 1)
        return mixed / mixed.sum(axis=1, keepdims=True)
    logs, seen = log_proba(proba) if logs is None else logs, {} if seen is None else seen

    def member(m: int) -> Array:
        key = (m, part["temperatures"][m])
        if key not in seen:
            seen[key] = tempered(logs[m], key[1])
        return seen[key]

    # The numbers of a part are those of Python, which leave arrays of single precision what they are.
    out = np.zeros(logs.shape[1:], logs.dtype) + np.asarray(part["bias"], logs.dtype)
    for m, slope in enumerate(part["slopes"]):
        if slope:
            out += slope / part["temperatures"][m] * logs[m]
    for m, slopes_of in enumerate(part.get("class_slopes", ())):
        of_classes = np.asarray(slopes_of, logs.dtype)
        if of_classes.any():
            said = np.log(np.maximum(member(m), FLOOR**2))
            out += said * of_classes[0] if len(of_classes) == 1 else said @ of_classes
    pooled = [(m, weight) for m, weight in enumerate(part["weights"]) if weight and part["centre"]]
    if pooled:
        mixed = sum(weight * member(m) for m, weight in pooled)
        out += part["centre"] * np.log(np.maximum(mixed, FLOOR))
    return softmax(out)


def tempered(logs: Array, temperature: float) -> Array:
    """Return ``softmax(logs / temperature)`` of normalised log probabilities, whose largest cannot underflow."""
    proba = np.exp(logs / float(temperature))
    ones = np.ones(proba.shape[-1], proba.dtype)
    proba /= (proba @ ones)[..., None]  # several times as fast as a sum over a short axis
    return proba


def apply(params: Params, proba: Array) -> Array:
    """Return the blend's probabilities, (N, C) float64 whose rows sum to one, but for ``several`` labels.

    ``params`` is what ``kit.blend.Blend.params`` holds, possibly after a round trip through JSON; ``proba`` (M, N, C)
    or (M, V, N, C) are probabilities of the members in the order they were fitted in. Rows are independent.

    Raises ValueError where the number of members, views or classes is not the fitted one.
    """
    proba, several = np.asarray(proba), params.get("several", False)
    given = len(proba), 2 if several else proba.shape[-1]
    expected = len(params["parts"][0]["weights"]), len(params["parts"][0]["bias"])
    if given != expected:
        raise ValueError(f"(members, classes) is {given}, fitted were {expected}")

    def of(block: slice) -> Array:
        members = mix_views(params.get("views"), proba[..., block, :])
        if several:
            members = np.stack([1 - members, members], axis=-1).reshape(len(members), -1, 2)
        logs, seen = log_proba(members), dict[tuple[int, float], Array]()
        out: Array = sum(part["share"] * apply_part(part, members, logs, seen) for part in params["parts"])
        if any(params.get("bias", ())):
            out = softmax(np.log(np.maximum(out, FLOOR)) + np.asarray(params["bias"]))
        out = out / out.sum(axis=1, keepdims=True)
        return out[:, 1].reshape(-1, proba.shape[-1]) if several else out

    rows = proba.shape[-2]
    return np.concatenate([of(block) for block in blocks(rows, max(1, proba.size // max(rows, 1)))])


def from_logits(logits: Array, several: bool = False) -> Array:
    """Return (M, V, N, C) float64 probabilities of members' logits (M, V, N, C), as ``apply`` wants them."""
    return (sigmoid if several else softmax)(np.asarray(logits, dtype=np.float64))
