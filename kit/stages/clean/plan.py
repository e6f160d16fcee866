"""What to keep, to drop and to group, arrays in and arrays out: each step writes into the draft that others left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.base.arrays import ImageArray, IntArray
from kit.config.sections import CleanConfig
from kit.errors import DataError
from kit.stages.clean.background import shared_backgrounds
from kit.stages.clean.draft import Draft, Finding, components, contaminated, judge, spare
from kit.stages.clean.measured import Measured
from kit.stages.clean.near import FULL, SMALL_CHANCE, NearCopies, near_copies
from kit.stages.clean.quality import outlier_scores, strangest
from kit.stages.clean.quality import quality as problems

# More pictures than these on one background, and it is the scene of the competition (a fixed camera, a black
# frame), not an accident: one group of them would leave the folds nothing to divide.
LARGEST_SHARE = 0.15
LARGEST_COUNT = 20
# As many copies of one picture need more evidence.
LARGEST_GROUP = 0.01


def contamination(draft: Draft) -> None:
    """Drop whole what was copied far too often or under too many labels."""
    if not draft.config.contamination:
        return
    for rows, evidence in contaminated(draft.clusters(), draft.labels):
        for row in rows.tolist():
            draft.drop(Finding(row, "contamination", _other(rows, row), evidence))


def copies(draft: Draft) -> None:
    """Treat identical pictures, under one label or several."""
    known = draft.labels[draft.alive & (draft.labels >= 0)]
    class_sizes = np.bincount(known, minlength=1)
    for rows in draft.clusters():
        verdict = judge(rows, draft.labels, draft.config, draft.pinned, class_sizes)
        for row, reason in verdict.go:
            twin = verdict.stay[0] if verdict.stay else _other(rows, row)
            draft.drop(Finding(row, reason, twin, verdict.conflict))
        reason = "conflicting-label" if verdict.conflict else "exact-copy"
        if verdict.conflict or len(verdict.stay) > 1:
            draft.noted.extend(Finding(r, reason, _other(rows, r), verdict.conflict) for r in verdict.stay)
        if draft.config.exact != "keep" or verdict.conflict:
            draft.links.extend((verdict.stay[0], row) for row in verdict.stay[1:])


def near(draft: Draft) -> None:
    """Find near copies and group, drop or list them."""
    if draft.config.near == "off":
        return
    found, stay = _near_copies(draft), set[int]()
    # What is usual in the set is another thing once copies are gone: until nothing more goes.
    while draft.config.near == "drop-copies" and _drop_near(draft, found, stay):
        found = _near_copies(draft)
    if draft.config.near != "keep":
        # All pairs stay in one fold, but of a chain longer than copies of one picture make only those with one picture
        # in the middle, so that no series of look-alikes becomes a group.
        rows, places = np.unique(pairs := found.pairs, return_inverse=True)
        group = components(places.reshape(-1, 2), len(rows))
        long = np.bincount(group)[group[places.reshape(-1, 2)[:, 0]]] > FULL
        stars = spare(pairs[long], lambda row: (True, draft.content(row)))
        kept = np.concatenate([pairs[~long], pairs[long][list(stars.values())]])
        draft.link_pictures([(int(one), int(other)) for one, other in kept])
    conflicts, listed = _conflicts(draft, found.pairs), set()
    for place in np.argsort(-found.overall, kind="stable").tolist():
        reason = "near-conflict" if conflicts[place] else "near-copy"
        for row, twin in (found.pairs[place].tolist(), found.pairs[place, ::-1].tolist()):
            if (row, reason) not in listed:
                listed.add((row, reason))
                draft.noted.append(Finding(row, reason, twin, found.told(place)))


def _conflicts(draft: Draft, pairs: IntArray) -> NDArray[np.bool_]:
    """(P,) which pairs bear different labels."""
    known = [given - {-1} for given in draft.given(pairs.ravel())]
    return np.array([bool(a and b and a != b) for a, b in zip(known[::2], known[1::2], strict=True)], bool)


def _near_copies(draft: Draft) -> NearCopies:
    """Near copies among the pictures still in, of which those that bear different labels, or have far more copies than
    the scale of the search allows for, are the more certain ones."""
    pictures = draft.pictures
    found = near_copies(draft.images, pictures, draft.measured)
    places = np.searchsorted(pictures, found.pairs)
    group = components(places, len(pictures))
    doubtful = _conflicts(draft, found.pairs)
    doubtful |= np.bincount(group)[group[places[:, 0]]] > max(FULL, LARGEST_GROUP * len(pictures))
    return found.take(np.flatnonzero(~doubtful | (found.chance <= SMALL_CHANCE)))


def _drop_near(draft: Draft, found: NearCopies, stay: set[int]) -> bool:
    """Drop all rows of a picture whose near copy stays, where both bear one and the same label; says whether any was.

    ``stay`` are the rows for which others went before; what they are now is added.
    """
    given = draft.given(found.pairs.ravel())
    same = [one == other and len(one) == 1 for one, other in zip(given[::2], given[1::2], strict=True)]
    places = np.flatnonzero(same).tolist()

    def rank(row: int) -> tuple[bool, bytes]:
        return row not in draft.pinned | stay, draft.content(row)

    before = draft.alive.sum()
    for row, place in spare(found.pairs[places], rank).items():
        one, other = found.pairs[places[place]].tolist()
        twin = other if row == one else one
        stay.add(twin)
        for alike in draft.alike(row):
            if alike not in draft.pinned:
                draft.drop(Finding(alike, "near-copy", twin, found.told(places[place])))
    return bool(draft.alive.sum() < before)


def background(draft: Draft) -> None:
    """Find one background under many different pictures, list them and keep them in one fold."""
    pictures = draft.pictures
    for rows in shared_backgrounds(draft.images, pictures, draft.measured):
        evidence = f"{len(rows)} pictures on one background"
        draft.noted.extend(Finding(row, "shared-background", _other(rows, row), evidence) for row in rows.tolist())
        common = len(rows) > max(LARGEST_COUNT, LARGEST_SHARE * len(pictures))
        if draft.config.background == "group" and not common:
            draft.link_pictures((int(rows[0]), row) for row in rows[1:].tolist())


def quality(draft: Draft) -> None:
    """List pictures that are hardly any use."""
    if draft.config.quality:
        rows = draft.pictures
        draft.noted.extend(problems(draft.measured.statistics[rows], rows))


def outliers(draft: Draft) -> None:
    """List the pictures least like their class, or drop all their rows."""
    if not draft.config.outliers:
        return
    rows = draft.pictures
    labels = draft.labels[rows]
    found = draft.measured.statistics[rows]
    found[:, 4] = np.log1p(found[:, 4])
    scores = outlier_scores(found, labels, draft.config.outliers)
    for place in strangest(scores, labels, draft.config.outlier_share):
        row, evidence = int(rows[place]), f"score {scores[place]:.3f}"
        if not draft.config.drop_outliers:
            draft.noted.append(Finding(row, "outlier", -1, evidence))
            continue
        for same in draft.alike(row):
            draft.drop(Finding(same, "outlier", -1, evidence))


def _other(rows: IntArray, row: int) -> int:
    """The first row of a cluster but for ``row`` itself."""
    return int(rows[1] if row == rows[0] else rows[0])


STEPS: dict[str, Callable[[Draft], None]] = {
    "contamination": contamination,
    "exact copies": copies,
    "near copies": near,
    "shared backgrounds": background,
    "quality": quality,
    "outliers": outliers,
}


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
    measured: Measured | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Plan:
    """Plan the cleaning of images (N, H, W, 3) uint8, an array or what is read like one, in blocks and never written.

    ``labels`` (N,) int64 are classes, -1 = unlabeled. ``overrides`` are a person's word by row: one to ``"keep"`` is
    never dropped (it may be grouped), one to ``"drop"`` is out before anything else is looked at. ``measured`` is
    what was measured of the images, where it was. ``on_step`` is called with the name of each step as it begins. Raises
    `DataError` if the arrays do not belong together or an override names no row or no action.

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
    draft = Draft(images, labels, config, overrides or {}, measured)
    # Matrices this small gain nothing from threads, and on a busy machine waiting for them costs tenfold.
    with threadpool_limits(1, user_api="blas"):
        for name, step in STEPS.items():
            if on_step is not None:
                on_step(name)
            step(draft)
    by_row = attrgetter("row", "reason", "twin")
    dropped, noted = (tuple(sorted(findings, key=by_row)) for findings in (draft.dropped, draft.noted))
    return Plan(draft.rows, draft.groups(), dropped, noted)
