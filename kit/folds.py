"""``kit folds``: split the rows so that no group is in two folds and every fold looks like the whole.

The algorithm is greedy like scikit-learn's ``StratifiedGroupKFold`` but its own, because that one behaved like
random groups before version 1.8 with ``shuffle=True``, and because ids must keep their fold when rows are appended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from kit.config import Config
from kit.data import Index, load_folds, load_index, verify_folds
from kit.errors import StageError
from kit.files import is_fresh, read_csv, read_json, sha256_file, sha256_json, write_atomic, write_csv, write_json
from kit.layout import Layout
from kit.records import Emit, Event, IntArray

VERSION = 1


def split(
    ids: tuple[str, ...],
    labels: IntArray,
    groups: tuple[str, ...],
    *,
    n: int,
    seed: int,
    pinned: Mapping[str, int] | None = None,
) -> IntArray:
    """Deal groups out to ``n`` folds with class shares as even as the groups allow.

    Parameters
    ----------
    ids, groups : tuple of N str
        Rows with the same group share a fold.
    labels : (N,) int64
    n : int
        Number of folds.
    seed : int
        Shuffles the groups.
    pinned : mapping of id to fold, optional
        Ids that keep their fold; a group with a pinned id follows it.

    Returns
    -------
    (N,) int64, values 0 to n - 1

    Raises
    ------
    StageError
        Where a group holds ids pinned to two folds.

    Notes
    -----
    Independent of the order of the rows and of the names of the labels: groups are ordered by a hash of the seed
    and their smallest id, classes by their size.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    _, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((group.max() + 1, label.max() + 1), np.int64)
    np.add.at(counts, (group, label), 1)
    keys = _group_keys(ids, group, seed)
    fold_of_group = _pinned_groups(ids, group, pinned or {})
    totals = np.zeros((n, counts.shape[1]), np.int64)
    for fold in range(n):
        totals[fold] = counts[fold_of_group == fold].sum(axis=0)
    _deal_large_groups(counts, keys, fold_of_group, totals)
    _deal_single_rows(counts, keys, fold_of_group, totals)
    return fold_of_group[group]


def _group_keys(ids: tuple[str, ...], group: IntArray, seed: int) -> list[bytes]:
    smallest: dict[int, str] = {}
    for name, number in zip(ids, group.tolist(), strict=True):
        if number not in smallest or name < smallest[number]:
            smallest[number] = name
    return [hashlib.sha256(f"{seed}/{smallest[number]}".encode()).digest() for number in range(len(smallest))]


def _pinned_groups(ids: tuple[str, ...], group: IntArray, pinned: Mapping[str, int]) -> IntArray:
    """The fold of each group that has a pinned id, -1 for the others."""
    fold_of_group = np.full(int(group.max()) + 1, -1, np.int64)
    for name, number in zip(ids, group.tolist(), strict=True):
        fold = pinned.get(name, -1)
        if fold < 0:
            continue
        if fold_of_group[number] not in (-1, fold):
            raise StageError(
                f"id {name!r} is pinned to fold {fold}, its group to fold {fold_of_group[number]}: "
                "new rows or cleaning joined two groups that were apart",
                "kit folds --reset",
            )
        fold_of_group[number] = fold
    return fold_of_group


def _deal_large_groups(counts: IntArray, keys: list[bytes], fold_of_group: IntArray, totals: IntArray) -> None:
    """Groups of several rows, the most lopsided first, each to the fold that it leaves the most even."""
    sizes = counts.sum(axis=1)
    open_groups = np.flatnonzero((fold_of_group < 0) & (sizes > 1)).tolist()
    spread = counts.std(axis=1)
    share = np.maximum(counts.sum(axis=0), 1)
    for number in sorted(open_groups, key=lambda g: (-round(float(spread[g]), 9), keys[g])):
        after = (totals + counts[number]) / share
        others = totals / share
        # Variance over folds of every class's share if the group went to this fold, summed over classes.
        gain = ((after - others) * (after + others)).sum(axis=1) - 2 * (after - others).sum(axis=1) / len(totals)
        best = min(range(len(totals)), key=lambda f: (round(float(gain[f]), 12), int(totals[f].sum()), f))
        fold_of_group[number] = best
        totals[best] += counts[number]


def _deal_single_rows(counts: IntArray, keys: list[bytes], fold_of_group: IntArray, totals: IntArray) -> None:
    """Groups of one row: class by class, the rarest first, always to the fold that has fewest of that class."""
    single = (fold_of_group < 0) & (counts.sum(axis=1) == 1)
    per_class = [np.flatnonzero(single & (counts[:, c] == 1)).tolist() for c in range(counts.shape[1])]
    ordered = [sorted(rows, key=lambda g: keys[g]) for rows in per_class]
    first_keys = [keys[rows[0]] if rows else b"" for rows in ordered]
    for c in sorted(range(len(ordered)), key=lambda c: (counts[:, c].sum(), first_keys[c])):
        for number in ordered[c]:
            best = min(range(len(totals)), key=lambda f: (totals[f, c], totals[f].sum(), f))
            fold_of_group[number] = best
            totals[best, c] += 1


def make_folds(layout: Layout, config: Config, emit: Emit, *, force: bool = False, reset: bool = False) -> None:
    """Write ``folds/<name>.csv``, its manifest and a picture of the balance.

    An existing file pins the fold of its ids, unless ``reset``.

    Raises
    ------
    StageError
        Where the number of folds changed, or groups pinned to two folds were joined.
    """
    index = load_index(layout)
    settings = config.folds
    path, manifest = layout.folds_table(settings.name), layout.folds_manifest(settings.name)
    key = sha256_json({"version": VERSION, "index": index.sha256, "folds": settings.model_dump(mode="json")})
    if not force and not reset and is_fresh(manifest, key, [path]):
        load_folds(layout, config, index)
        emit(Event("fresh", "folds", {"stage": "folds"}))
        return
    pinned = {} if reset else _pinned_ids(layout, config)
    fold = split(index.ids, index.labels, index.groups, n=settings.n, seed=settings.seed, pinned=pinned)
    verify_folds(index, fold, settings.n)
    rows = zip(index.ids, index.labels.tolist(), index.groups, fold.tolist(), strict=True)
    write_csv(path, ("id", "label", "group", "fold"), rows)
    balance = balance_table(index, fold, settings.n)
    picture = layout.folds_picture(settings.name)
    write_atomic(picture, _balance_picture(index.classes, balance))
    write_json(manifest, _manifest(config, key, index, balance, layout))
    _tell(emit, index, balance, [path, manifest, picture], pinned)


def _pinned_ids(layout: Layout, config: Config) -> dict[str, int]:
    path, manifest = layout.folds_table(config.folds.name), layout.folds_manifest(config.folds.name)
    if not path.exists() or not manifest.exists():
        return {}
    before = read_json(manifest)
    if (before["n"], before["seed"]) != (config.folds.n, config.folds.seed):
        raise StageError(
            f"{path.name} has {before['n']} folds of seed {before['seed']}, kit.toml asks for {config.folds.n} of seed "
            f"{config.folds.seed}: the trained runs stand on the old ones",
            "kit folds --reset, or another [folds] name",
        )
    return {line["id"]: int(line["fold"]) for line in read_csv(path)}


def balance_table(index: Index, fold: IntArray, n: int) -> IntArray:
    """Images of each class in each fold, (n, C) int64."""
    table = np.zeros((n, len(index.classes)), np.int64)
    np.add.at(table, (fold, index.labels), 1)
    return table


def _balance_picture(classes: tuple[str, ...], balance: IntArray) -> bytes:
    from kit.plots import balance as draw

    rows = [f"fold {number}" for number in range(len(balance))]
    return draw(balance, rows, list(classes), "Images of each class in each fold")


def _manifest(config: Config, key: str, index: Index, balance: IntArray, layout: Layout) -> dict[str, object]:
    return {
        "key": key,
        "method": "stratified-group",
        "n": config.folds.n,
        "seed": config.folds.seed,
        "index": index.sha256,
        "table": sha256_file(layout.folds_table(config.folds.name)),
        "classes": list(index.classes),
        "balance": balance.tolist(),
    }


def _tell(emit: Emit, index: Index, balance: IntArray, paths: list[object], pinned: Mapping[str, int]) -> None:
    n = len(balance)
    if pinned:
        emit(Event("say", f"{len(pinned)} ids kept the fold they had"))
    for name, count in zip(index.classes, balance.sum(axis=0).tolist(), strict=True):
        if count < n:
            emit(Event("warn", f"class {name!r} has {count} images for {n} folds: some folds have none of it"))
    rows = [(name, int(line.sum()), *line.tolist()) for name, line in zip(index.classes, balance.T, strict=True)]
    rows.append(("all", int(balance.sum()), *balance.sum(axis=1).tolist()))
    emit(Event("table", "folds", {"header": ("class", "images", *map(str, range(n))), "rows": rows}))
    emit(Event("wrote", "", {"paths": paths}))
