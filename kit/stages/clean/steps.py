"""The steps of cleaning, in their order: each looks at what the ones before left and writes into the draft."""

from collections.abc import Callable

import numpy as np

from kit.base.arrays import IntArray
from kit.stages.clean.background import shared_backgrounds
from kit.stages.clean.contamination import contaminated
from kit.stages.clean.copies import judge, spare
from kit.stages.clean.draft import Draft, Finding
from kit.stages.clean.near import NearCopies, near_copies
from kit.stages.clean.outliers import outlier_scores, strangest
from kit.stages.clean.quality import quality as problems
from kit.stages.clean.statistics import statistics

# More pictures than these on one background, and it is the scene of the competition (a fixed camera, a black
# frame), not an accident: one group of them would leave the folds nothing to divide.
LARGEST_SHARE = 0.15
LARGEST_COUNT = 20


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
            draft.note(Finding(r, reason, _other(rows, r), verdict.conflict) for r in verdict.stay)
        if draft.config.exact != "keep" or verdict.conflict:
            draft.link((verdict.stay[0], row) for row in verdict.stay[1:])


def near(draft: Draft) -> None:
    """Find near copies and group, drop or list them."""
    if draft.config.near == "off":
        return
    found = near_copies(draft.images, draft.pictures)
    if draft.config.near != "keep":
        draft.link_pictures(map(tuple, found.pairs.tolist()))
    if draft.config.near == "drop-copies":
        _drop_near(draft, found)
    listed = set()
    for place in np.argsort(-found.overall, kind="stable").tolist():
        one, other = found.pairs[place].tolist()
        conflict = draft.labels[one] != draft.labels[other] and min(draft.labels[[one, other]]) >= 0
        reason = "near-conflict" if conflict else "near-copy"
        for row, twin in ((one, other), (other, one)):
            if draft.alive[row] and (row, reason) not in listed:
                listed.add((row, reason))
                draft.note([Finding(row, reason, twin, found.told(place))])


def _drop_near(draft: Draft, found: NearCopies) -> None:
    """Drop all rows of a picture whose near copy stays, where both bear one and the same label."""

    def labels(row: int) -> set[int]:
        return set(draft.labels[draft.alike(row)].tolist())

    given = draft.labels[found.pairs]
    pure = np.array([labels(one) == labels(other) for one, other in found.pairs.tolist()], bool)
    places = np.flatnonzero((given[:, 0] == given[:, 1]) & pure).tolist()

    def rank(row: int) -> tuple[bool, bytes]:
        return row not in draft.pinned, draft.images[row].tobytes()

    for row, place in spare(found.pairs[places], rank).items():
        one, other = found.pairs[places[place]].tolist()
        twin = other if row == one else one
        for same in draft.alike(row):
            draft.drop(Finding(same, "near-copy", twin, found.told(places[place])))


def background(draft: Draft) -> None:
    """Find one background under many different pictures, list them and keep them in one fold."""
    pictures = draft.pictures
    for rows in shared_backgrounds(draft.images, pictures):
        evidence = f"{len(rows)} pictures on one background"
        draft.note(Finding(row, "shared-background", _other(rows, row), evidence) for row in rows.tolist())
        common = len(rows) > max(LARGEST_COUNT, LARGEST_SHARE * len(pictures))
        if draft.config.background == "group" and not common:
            draft.link_pictures((int(rows[0]), row) for row in rows[1:].tolist())


def quality(draft: Draft) -> None:
    """List pictures that are hardly any use."""
    if draft.config.quality:
        rows = draft.pictures
        draft.note(problems(statistics(draft.images, rows), rows))


def outliers(draft: Draft) -> None:
    """List the pictures least like their class, or drop all their rows."""
    if not draft.config.outliers:
        return
    rows = draft.pictures
    labels = draft.labels[rows]
    scores = outlier_scores(statistics(draft.images, rows).features(), labels, draft.config.outliers)
    for place in strangest(scores, labels, draft.config.outlier_share):
        row, evidence = int(rows[place]), f"score {scores[place]:.3f}"
        if not draft.config.drop_outliers:
            draft.note([Finding(row, "outlier", -1, evidence)])
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
