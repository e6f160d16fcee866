"""What `kit.judge.blend.fit` takes beside numbers, and returns: a fitted blend, and what its reader has to know."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field

from kit.judge import metrics
from kit.judge.metrics import Array
from kit.store.candidate import StoredBlend


@dataclass(frozen=True)
class Options:
    """Everything about a fit that is not numbers to fit.

    Names, by default numbers, are those of notes, tables and errors; the first view is the identity. Limits are on all
    members and views that are kept, costs are those of each of the M members.
    """

    members: Sequence[str] | None = None
    views: Sequence[str] | None = None
    classes: Sequence[str] | None = None
    rows: Sequence[str] | None = None
    max_members: int | None = None
    max_views: int | None = None
    max_seconds_per_1000: float | None = None  # to predict 1,000 images
    max_bundle_mb: float | None = None
    seconds_per_1000: Sequence[float] | None = None  # per 1,000 images and view
    mb: Sequence[float] | None = None
    unknown: str = ""  # the class that is answered where no other is probable enough
    whole: bool = True  # a row is an image; notes say nothing of rows that are labels or copies of one

    def only(self, members: Sequence[int]) -> "Options":
        """Return the options for a selection of the members."""
        lists = {name: getattr(self, name) for name in ("members", "seconds_per_1000", "mb")}
        left: dict[str, Any] = {name: [each[m] for m in members] for name, each in lists.items() if each is not None}
        return replace(self, **left)


class Blend(StoredBlend):
    """A fitted blend with its nested predictions, which are not a part of what is kept on the disk."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    # (N, C) what `nested` scores, and of the stressed rows what `stressed` scores; (N,) what was decided for these rows
    # by decisions that never saw them, which a metric of labels is given.
    oof: Array = Field(exclude=True, repr=False)
    stressed_oof: Array | None = Field(exclude=True, repr=False)
    answers: Array = Field(exclude=True, repr=False)
    stressed_answers: Array | None = Field(exclude=True, repr=False)

    def to_json(self) -> str:
        """Return what is kept on the disk as JSON text: all but the arrays."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=1)


FEW_ERRORS = 20
OF_OOF = (
    "The interval is of the blend on out-of-fold rows; test predictions averaged over the folds' models are usually a "
    "little better and less sharp."
)


def notes(
    blend: Blend, y: Array, unit: Array, copies: dict[int, int], pruned: list[int], *, whole: bool = True
) -> tuple[str, ...]:
    """`copies` and `pruned` are the members left out before anything was fitted; y and unit (N,) are of the clean rows.

    Errors of one unit count once. Without ``whole`` nothing is said of rows, which are labels or copies of an image.
    """
    names, absent = blend.members, {*copies, *pruned}
    found = [f"member {names[c]} repeats {names[original]} and is left out" for c, original in copies.items()]
    found += [f"member {names[m]} is left out to keep the limits" for m in pruned]
    if len(names) - len(absent) > 1:
        found += [
            f"member {names[m]} adds nothing (worth {gain:+.4f} nats, standard error {error:.4f})"
            for m, (gain, error) in enumerate(blend.member_worth)
            if m not in absent and gain <= error
        ]
    if len(blend.views) > 1:
        views = zip(blend.view_names, blend.views, strict=True)
        found += [f"view {name} does not help and is dropped" for name, weight in views if weight == 0]
    errors, units = len(np.unique(unit[metrics.row_accuracy(y, blend.answers) == 0])), int(unit.max()) + 1
    if whole and units < len(y):
        found.append(f"the {len(y)} rows are in {units} groups, which count once each in intervals and standard errors")
    if whole and errors < FEW_ERRORS:
        wrong = f"only {errors} of {units} {'rows are wrong' if units == len(y) else 'groups have a wrong row'}"
        found.append(f"{wrong}: below {FEW_ERRORS} errors the interval is too narrow")
    present = set(y.tolist()) if whole else range(len(blend.classes))
    found += [f"class {name} has no rows" for c, name in enumerate(blend.classes) if c not in present]
    rows = {"stressed": "stressed rows alone", "mixture": "clean and stressed rows together"}
    found += [f"fitted on {rows[blend.fit_on]}"] if blend.fit_on in rows else []
    return tuple(found)
