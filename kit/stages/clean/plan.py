"""What to keep, what to drop and what belongs together: arrays in, arrays out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.base.arrays import ImageArray, IntArray
from kit.config.sections import CleanConfig
from kit.errors import DataError
from kit.stages.clean.draft import Draft, Finding
from kit.stages.clean.steps import STEPS

__all__ = ["Finding", "Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """The outcome of cleaning."""

    keep: IntArray  # (K,) raw rows that stay, ascending
    group: IntArray  # (K,) group of each kept row, numbered by first row: one number must share a fold
    dropped: tuple[Finding, ...]  # one per row that goes, ascending; with `keep` a partition of the raw rows
    noted: tuple[Finding, ...]  # everything else worth a look, ascending by row; a row may appear more than once


def plan(
    images: ImageArray,
    labels: IntArray,
    config: CleanConfig,
    *,
    overrides: Mapping[int, str] | None = None,
    frames: IntArray | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Plan:
    """Plan the cleaning of images (N, H, W, 3) uint8, an array or a memmap that is read in blocks and never written.

    ``labels`` (N,) int64 are classes, -1 = unlabeled. ``overrides`` are a person's word by row: one to ``"keep"`` is
    never dropped (it may be grouped), one to ``"drop"`` is out before anything else is looked at. ``frames`` (N, 4) say
    which part of each image is the picture, without padding: top, left, height and width. ``on_step`` is called with
    the name of each step as it begins. Raises `DataError` if the arrays do not belong together or an override
    names no row or no action.

    Kept and dropped rows partition the raw ones. Planning again on what was kept drops nothing, unless
    ``drop_outliers`` takes its share anew. The order of the rows changes neither which pictures are kept under which
    labels nor which belong together.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(f"images have shape {images.shape} and type {images.dtype}, not (N, H, W, 3) uint8")
    if labels.shape != (len(images),):
        raise DataError(f"{len(images)} images but labels of shape {labels.shape}")
    for row, action in (overrides or {}).items():
        if not 0 <= row < len(images) or action not in ("keep", "drop"):
            raise DataError(f"row {row} of {len(images)} cannot be overridden with `{action}`", "use keep or drop")
    draft = Draft(images, labels, config, overrides or {}, frames)
    # Matrices this small gain nothing from threads, and on a busy machine waiting for them costs tenfold.
    with threadpool_limits(1, user_api="blas"):
        for name, step in STEPS.items():
            if on_step is not None:
                on_step(name)
            step(draft)
    by_row = attrgetter("row", "reason", "twin")
    dropped, noted = (tuple(sorted(findings, key=by_row)) for findings in (draft.dropped, draft.noted))
    return Plan(draft.rows, draft.groups(), dropped, noted)
