"""The rows that a blend is fitted on: refused where they cannot be blended, and as each candidate is given them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from kit.errors import DataError
from kit.judge.blend.convex import gather
from kit.judge.blend.result import Options
from kit.judge.blend.temperature import fit_temperature
from kit.judge.metrics import Array
from kit.judge.units import units_of
from kit.runtime.pool import FLOOR, blocks, tempered

LEAST = 3  # groups: two are left out at a time, and a fit needs rows
LARGE = 2**24  # numbers of a large set, of which copies are in single precision and not everything is tried
SUM_TOLERANCE = 1e-2  # files with three decimals and many classes stay within it, logits do not
FEW, LEAST_ROWS = 500_000, 5_000  # numbers of a member, and rows, on which single numbers are fitted


@dataclass(frozen=True)
class Data:
    """Checked predictions: proba (M, V, N, C), y, fold and unit (N,) int64, folds and units from 0 on."""

    proba: Array
    y: Array
    fold: Array
    unit: Array
    members: tuple[str, ...]
    views: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def large(self) -> bool:
        """Whether the numbers of one view are so many that time and memory decide on how they are worked on."""
        return self.proba.size // len(self.views) > LARGE


def check(proba: Array, y: Array, fold: Array, options: Options, groups: Any = None) -> Data:
    """Return the predictions with a view axis, labels, folds and names, or refuse them.

    Raises `DataError`: names the member and the row: NaN, a missing prediction, a probability outside [0, 1], a row
    that does not sum to one, a label that is no class, lengths that differ, fewer than two classes or three groups,
    a group in two folds.
    """
    proba, y, fold = np.asarray(proba), np.asarray(y), np.asarray(fold)
    if proba.ndim not in (3, 4) or 0 in proba.shape or proba.shape[-1] < 2:
        raise DataError(f"proba has shape {proba.shape}: expected (M, N, C) or (M, V, N, C) with C >= 2")
    proba = proba[:, None] if proba.ndim == 3 else proba
    members, views, rows, classes = proba.shape
    if y.shape != (rows,) or fold.shape != (rows,):
        raise DataError(f"proba has {rows} rows, y has shape {y.shape}, fold {fold.shape}: expected ({rows},)")
    axes = ((options.members, members, "member"), (options.views, views, "view"), (options.classes, classes, "class"))
    names = [_names(*axis) for axis in axes]
    row_names = _names(options.rows, rows, "row") if options.rows is not None else range(rows)
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"y has dtype {y.dtype}: expected class indices", "y.astype(int)")
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        raise DataError(f"row {row_names[wrong[0]]}: label {y[wrong[0]]} is not one of the {classes} classes")
    for name, member in zip(names[0], proba, strict=True):
        _check_member(name, member, row_names)
    fold, unit = np.unique(fold, return_inverse=True)[1], units_of(groups, rows)
    first = np.empty(unit.max() + 1, dtype=np.int64)
    first[unit] = fold
    if len(first) < LEAST:
        raise DataError(f"{rows} rows in {len(first)} groups: a blend is fitted and scored on at least {LEAST} groups")
    split = np.flatnonzero(first[unit] != fold)
    if len(split):
        group = f"{np.asarray(groups)[split[0]]!s:.80}"
        raise DataError(f"group `{group}` has rows in two folds, one of them row {row_names[split[0]]}")
    return Data(proba, y.astype(np.int64), fold, unit, *names)


def with_stress(data: Data, stressed: Array, options: Options) -> Data:
    """Append the stressed rows (M, V, N, C), or (M, N, C), to the N clean ones, labels and folds once more.

    Raises `DataError` where their shape is another, or as in `check`.
    """
    stressed = stressed[:, None] if stressed.ndim == 3 else stressed
    if stressed.shape != data.proba.shape:
        raise DataError(f"stressed predictions have shape {stressed.shape}, but clean ones {data.proba.shape}")
    hurt = check(stressed, data.y, data.fold, options)
    y, fold, unit = (np.concatenate([part, part]) for part in (data.y, data.fold, data.unit))
    return replace(data, proba=np.concatenate([data.proba, hurt.proba], axis=2), y=y, fold=fold, unit=unit)


def _names(given: Sequence[str] | None, count: int, kind: str) -> tuple[str, ...]:
    names = tuple(str(k) for k in range(count)) if given is None else tuple(map(str, given))
    if len(names) != count:
        raise DataError(f"{len(names)} {kind} names for an axis of length {count}")
    if len(set(names)) != count:
        raise DataError(f"{kind} name `{max(names, key=names.count)}` is given twice")
    return names


def _check_member(name: str, member: Array, rows: Sequence[object]) -> None:
    """Look at one member at a time, so that a large library needs no second copy."""
    missing = np.isnan(member).all(axis=(0, 2))
    if missing.any():
        first = rows[int(missing.argmax())]
        said = f"member `{name}` has no predictions for {missing.sum()} rows, first for row {first}"
        raise DataError(said, "leave these rows out for all members, or leave the member out")
    for wrong, what in (
        (~np.isfinite(member).all(axis=2), "is NaN or infinite"),
        ((member < 0).any(axis=2) | (member > 1 + SUM_TOLERANCE).any(axis=2), "is outside [0, 1]"),
        (abs(member.sum(axis=2) - 1) > SUM_TOLERANCE, "does not sum to 1"),
    ):
        if wrong.any():
            row = int(wrong.any(axis=0).argmax())
            said = f"member `{name}`, row {rows[row]}: the prediction {what} ({wrong.any(axis=0).sum()} such rows)"
            raise DataError(said, "pass probabilities; apply softmax to logits first")


@dataclass(frozen=True)
class Rows:
    """A subset of the rows, with what several candidates need computed once."""

    logs: Array  # (M, N, C) log probabilities
    y: Array  # (N,) class indices
    # Solutions of a neighbouring problem by name, written by the fits and used as starts.
    warm: dict[str, Any] = field(default_factory=dict)
    joint: bool = False  # whether a member's word on one class may move every class, where weights differ by class

    @property
    def members(self) -> int:
        """Number of members."""
        return int(self.logs.shape[0])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logs.shape[2])

    @cached_property
    def few(self) -> Array:
        """Sorted rows (n,) that are enough to fit a single number, drawn by the number of rows alone; mostly all."""
        count = max(LEAST_ROWS, FEW // self.classes)
        if count >= len(self.y):
            return np.arange(len(self.y))
        return np.sort(np.random.default_rng(0).choice(len(self.y), count, replace=False))

    @cached_property
    def few_logs(self) -> Array:
        """(M, n, C) log probabilities of the few."""
        return self.logs if len(self.few) == len(self.y) else self.logs.take(self.few, axis=1)

    @cached_property
    def few_tempered(self) -> Array:
        """(M, n, C) probabilities of the few after each member's temperature."""
        out = np.empty_like(self.few_logs)
        for m, block, proba in self._tempered(self.few_logs):
            out[m, block] = proba
        return out

    @cached_property
    def temperatures(self) -> Array:
        """(M,) temperature of each member."""
        starts, y = self.warm.get("temperatures", np.ones(self.members)), self.y[self.few]
        found = [fit_temperature(logs, y, start=t) for logs, t in zip(self.few_logs, starts, strict=True)]
        self.warm["temperatures"] = np.array(found)
        return np.array(found)

    @cached_property
    def tempered_logs(self) -> Array:
        """(M, N, C) log probabilities after each member's temperature."""
        each = zip(self.logs, self.temperatures, strict=True)
        return np.stack([np.log(np.maximum(tempered(logs, t), FLOOR**2)) for logs, t in each])

    def _tempered(self, logs: Array) -> Iterator[tuple[int, slice, Array]]:
        """Yield probabilities after a member's temperature, of so many rows as stay in the processor's cache."""
        for block in blocks(logs.shape[1], 4 * self.classes):
            for m, temperature in enumerate(self.temperatures):
                yield m, block, tempered(logs[m, block], temperature)

    @cached_property
    def _pooled(self) -> tuple[Array, Array]:
        """What `tempered_mean` and `tempered_likelihoods` return."""
        total, q = np.zeros_like(self.logs[0]), np.empty((len(self.y), self.members))
        for m, block, proba in self._tempered(self.logs):
            total[block] += proba
            q[block, m] = proba[np.arange(len(proba)), self.y[block]]
        total /= self.members
        return np.log(np.maximum(total, FLOOR)), q

    @property
    def tempered_mean(self) -> Array:
        """(N, C) log of the mean of the tempered members."""
        return self._pooled[0]

    @property
    def tempered_likelihoods(self) -> Array:
        """(N, M) what each tempered member gave to the true class."""
        return self._pooled[1]

    @cached_property
    def likelihoods(self) -> Array:
        """(N, M) what each member gave to the true class."""
        return np.exp(gather(self.logs, self.y))
