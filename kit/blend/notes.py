"""What a reader has to know about a blend, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kit import metrics
from kit.blend.check import Data
from kit.blend.types import Array

if TYPE_CHECKING:
    from kit.blend.result import Blend

FEW_ERRORS = 20
OF_OOF = (
    "The interval is of the blend on out-of-fold rows; test predictions averaged over the folds' models are usually a "
    "little better and less sharp."
)


def notes(blend: Blend, data: Data, copies: dict[int, int], pruned: list[int]) -> Blend:
    """Return the blend with its notes; `copies` and `pruned` are the members left out before anything was fitted."""
    found = [
        *_copies(blend, copies),
        *(f"member {blend.members[m]} is left out to keep the limits" for m in pruned),
        *_idle_members(blend, {*copies, *pruned}),
        *_views(blend),
        *_few_errors(blend.oof, data.y),
        *_absent_classes(blend, data.y),
        *_fitted_on(blend),
        OF_OOF,
    ]
    return replace(blend, notes=tuple(found))


def _copies(blend: Blend, copies: dict[int, int]) -> list[str]:
    names = blend.members
    return [f"member {names[c]} repeats {names[original]} and is left out" for c, original in copies.items()]


def _idle_members(blend: Blend, absent: set[int]) -> list[str]:
    if len(blend.members) - len(absent) == 1:
        return []
    return [
        f"member {name} adds nothing (worth {gain:+.4f} nats, standard error {error:.4f})"
        for m, (name, (gain, error)) in enumerate(zip(blend.members, blend.member_worth, strict=True))
        if m not in absent and gain <= error
    ]


def _views(blend: Blend) -> list[str]:
    if len(blend.views) == 1:
        return []
    dropped = [name for name, weight in zip(blend.view_names, blend.views, strict=True) if weight == 0]
    return [f"view {name} does not help and is dropped" for name in dropped]


def _few_errors(oof: Array, y: Array) -> list[str]:
    errors = len(y) - metrics.row_accuracy(y, oof).sum()
    if errors >= FEW_ERRORS:
        return []
    return [f"only {errors:.0f} of {len(y)} rows are wrong: below {FEW_ERRORS} errors the interval is too narrow"]


def _fitted_on(blend: Blend) -> list[str]:
    rows = {"stressed": "stressed rows alone", "mixture": "clean and stressed rows together"}
    return [f"fitted on {rows[blend.fit_on]}"] if blend.fit_on in rows else []


def _absent_classes(blend: Blend, y: Array) -> list[str]:
    present = set(np.unique(y).tolist())
    return [f"class {name} has no rows" for c, name in enumerate(blend.classes) if c not in present]
