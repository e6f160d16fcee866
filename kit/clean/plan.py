"""What to keep, what to drop and what belongs together: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.clean.contamination import contaminated
from kit.clean.copies import judge
from kit.clean.draft import Draft
from kit.clean.exact import clusters, picture_numbers
from kit.clean.finding import Finding
from kit.config.clean import CleanConfig
from kit.errors import DataError

__all__ = ["Finding", "Plan", "plan"]

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """The outcome of cleaning.

    Parameters
    ----------
    keep : (K,) int64
        Raw rows that stay, ascending.
    group : (K,) int64
        Group of each kept row: rows with one number must share a fold. Numbered by first row.
    dropped : tuple of Finding
        One per row that goes, ascending; with ``keep`` a partition of the raw rows.
    noted : tuple of Finding
        Everything else worth a look, ascending by row; a row may appear more than once.
    """

    keep: NDArray[np.int64]
    group: NDArray[np.int64]
    dropped: tuple[Finding, ...]
    noted: tuple[Finding, ...]


def plan(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    config: CleanConfig,
    *,
    overrides: Mapping[int, str] | None = None,
    on_step: OnStep | None = None,
) -> Plan:
    """Plan the cleaning of a data set.

    Parameters
    ----------
    images : (N, H, W, 3) uint8
        Decoded pixels, an array or a memmap; read in blocks, never written.
    labels : (N,) int64
        Class of every image, -1 = unlabeled.
    config : CleanConfig
        The ``[clean]`` section.
    overrides : mapping of int to str, optional
        Row to ``"keep"`` or ``"drop"``, a person's word. A row to keep is never dropped (it may be grouped),
        a row to drop is out before anything else is looked at.
    on_step : callable, optional
        Called with the name of each step as it begins.

    Raises
    ------
    DataError
        If the arrays do not belong together or an override names no row or no action.

    Notes
    -----
    Kept and dropped rows partition the raw ones. Planning again on what was kept drops nothing. The order of
    the rows changes neither which pictures are kept under which labels nor which belong together.
    """
    _check(images, labels, overrides or {})
    draft = Draft(len(images), overrides or {})
    for name, step in STEPS.items():
        if on_step is not None:
            on_step(name)
        step(images, labels, config, draft)
    dropped = tuple(sorted(draft.dropped, key=_by_row))
    return Plan(draft.rows, draft.groups(), dropped, tuple(sorted(draft.noted, key=_by_row)))


def _by_row(finding: Finding) -> tuple[int, str, int]:
    return finding.row, finding.reason, finding.twin


def _check(images: NDArray[np.uint8], labels: NDArray[np.int64], overrides: Mapping[int, str]) -> None:
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(f"images have shape {images.shape} and type {images.dtype}, not (N, H, W, 3) uint8")
    if labels.shape != (len(images),):
        raise DataError(f"{len(images)} images but labels of shape {labels.shape}")
    for row, action in overrides.items():
        if not 0 <= row < len(images) or action not in ("keep", "drop"):
            raise DataError(
                f"row {row} of {len(images)} cannot be overridden with `{action}`", "use keep or drop"
            )


def _duplicates(
    images: NDArray[np.uint8], labels: NDArray[np.int64], config: CleanConfig, draft: Draft
) -> None:
    numbers = picture_numbers(images)
    if config.contamination:
        _drop_contamination(clusters(numbers, draft.rows), labels, draft)
    class_sizes = np.bincount(labels[draft.alive & (labels >= 0)], minlength=int(labels.max(initial=0)) + 1)
    for rows in clusters(numbers, draft.rows):
        verdict = judge(rows, labels, config, draft.pinned, class_sizes)
        twin = _twin_of(verdict.stay, rows)
        for row, reason in verdict.go:
            draft.drop(Finding(row, reason, twin(row), verdict.conflict))
        reason = "conflicting-label" if verdict.conflict else "exact-copy"
        if verdict.conflict or len(verdict.stay) > 1:
            draft.note(Finding(r, reason, _twin_of((), rows)(r), verdict.conflict) for r in verdict.stay)
        if config.exact != "keep" or verdict.conflict:
            draft.link((verdict.stay[0], row) for row in verdict.stay[1:])


def _drop_contamination(found: list[NDArray[np.int64]], labels: NDArray[np.int64], draft: Draft) -> None:
    for rows, evidence in contaminated(found, labels):
        twin = _twin_of((), rows)
        for row in rows.tolist():
            draft.drop(Finding(row, "contamination", twin(row), evidence))


def _twin_of(stay: tuple[int, ...], rows: NDArray[np.int64]) -> Callable[[int], int]:
    """The row to name as evidence: the first that stays, else the first other row of the cluster."""
    first, second = int(rows[0]), int(rows[1])
    return lambda row: stay[0] if stay else second if row == first else first


STEPS: dict[str, Callable[[NDArray[np.uint8], NDArray[np.int64], CleanConfig, Draft], None]] = {
    "duplicates": _duplicates,
}
