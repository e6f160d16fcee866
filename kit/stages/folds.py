"""``kit folds``: split the rows so that no group is in two folds and every fold looks like the whole.

The algorithm is greedy like scikit-learn's ``StratifiedGroupKFold`` but its own, because that one behaved like
random groups before version 1.8 with ``shuffle=True``, and because ids must keep their fold when rows are appended.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from kit.base.arrays import IntArray
from kit.base.events import Emit, Event
from kit.base.tasks import Array
from kit.base.text import some
from kit.config import Config, FoldsConfig
from kit.config.own import check_width
from kit.errors import ConfigError, StageError
from kit.runs.checks import check_run
from kit.show.figures import standalone
from kit.show.figures.heat import balance as draw
from kit.store.data import Index, load_index
from kit.store.files import lock, read_csv, sha256_json, write_atomic, write_csv
from kit.store.layout import Layout
from kit.store.partition import NEVER, FoldsRecord, columns, load_folds, verify_folds
from kit.store.record import Digests, digests_of

# Raised whenever the same rows would be split otherwise.
VERSION = 2
PINNED_KEYS = ("method", "n", "repeats", "seed")


def split(
    ids: tuple[str, ...],
    labels: IntArray,
    groups: tuple[str, ...],
    *,
    n: int,
    seed: int,
    pinned: Mapping[str, int] | None = None,
    several: Array | None = None,
) -> IntArray:
    """Deal groups out to ``n`` folds, 0 to n - 1, with class shares as even as the groups allow.

    Rows (N,) with the same group share a fold; ids in ``pinned`` keep theirs, and their group follows, or it is a
    `StageError`. ``several`` (N, L), 0 or 1, takes the place of ``labels`` where rows have several. Independent of the
    order of rows and names of labels: groups are ordered by a hash of the seed and their smallest id, classes by size.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    _, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((group.max() + 1, label.max() + 1 if several is None else several.shape[1]), np.int64)
    np.add.at(counts, (group, label) if several is None else group, 1 if several is None else several)
    smallest: dict[int, str] = {}
    for name, number in zip(ids, group.tolist(), strict=True):
        smallest[number] = min(name, smallest.get(number, name))
    keys = [hashlib.sha256(f"{seed}/{smallest[number]}".encode()).digest() for number in range(len(smallest))]
    fold_of_group = _pinned_groups(ids, group, pinned or {})
    totals = np.stack([counts[fold_of_group == fold].sum(axis=0) for fold in range(n)])
    if several is not None:
        _deal_iteratively(counts, np.bincount(group), keys, fold_of_group, n)
        return fold_of_group[group]
    _deal_large_groups(counts, keys, fold_of_group, totals)
    _deal_single_rows(counts, keys, fold_of_group, totals)
    return fold_of_group[group]


def as_given(index: Index, before: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The fold of every id where the data have a validation split of their own: 0 for its rows, and 1 for the others.

    A training row that shares a group with a row of the split is held out with it. Raises `StageError` where no row of
    the split is left, it is to be repeated, or other rows were held out ``before`` (the folds of ids, by repeat).
    """
    if len(before) > 1:
        raise StageError("data.validation is one split, which cannot be repeated", "[folds] repeats = 1")
    split_groups = {index.groups[row] for row in index.given}
    if not split_groups:
        raise StageError("cleaning dropped every image of data.validation", '[data] validation = ""')
    given = {name: int(group not in split_groups) for name, group in zip(index.ids, index.groups, strict=True)}
    moved = [name for name, fold in before[0].items() if name in given and (fold == 0) != (given[name] == 0)]
    if moved:
        said = f"{len(moved)} ids, the first is {moved[0]!r}, were held out or not, and data.validation says otherwise"
        raise StageError(f"{said}; trained runs depend on it", "kit folds --reset   # or another [folds] name")
    return given


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
                "new rows or cleaning joined two groups that were separate",
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


def _deal_iteratively(counts: IntArray, sizes: IntArray, keys: list[bytes], fold_of_group: IntArray, n: int) -> None:
    """Iterative stratification of several labels (Sechidis et al. 2011, algorithm 1), of groups instead of rows.

    The label with the fewest rows left goes first, each of its groups to the fold that wants most of that label, or of
    those that want as many, most rows. Groups that have most of the label go first, others in the order of ``keys``.
    """
    every = np.column_stack([counts, sizes])  # rows without a label left are dealt like those with a last label
    wanted = np.tile(every.sum(axis=0), (n, 1))  # times n, to stay whole numbers
    for number in np.flatnonzero(fold_of_group >= 0).tolist():
        wanted[fold_of_group[number]] -= n * every[number]
    # Of labels with as many rows left the one whose groups have the smaller keys: not the order of the columns.
    turn = every[sorted(range(len(keys)), key=lambda number: keys[number])]
    ties = [[(place, -count) for place, count in enumerate(column) if count] for column in turn.T.tolist()]
    while (left := np.flatnonzero(fold_of_group < 0)).size:
        totals = every[left].sum(axis=0)
        present = np.flatnonzero(totals[:-1]).tolist() or [counts.shape[1]]
        label = min(present, key=lambda c: (totals[c], ties[c]))
        members = left[every[left, label] > 0].tolist()
        for number in sorted(members, key=lambda g: (-every[g, label], keys[g])):
            best = max(range(n), key=lambda f: (wanted[f, label], wanted[f, -1], -f))
            fold_of_group[number] = best
            wanted[best] -= n * every[number]


def make_folds(layout: Layout, config: Config, emit: Emit, *, force: bool = False, reset: bool = False) -> None:
    """Write ``folds/<name>.csv``, its record and a picture of the balance.

    An existing file pins the fold of its ids, unless ``reset``; ``force`` takes it as it is now, whoever changed it.
    Raises `StageError` where neither is said and the number of folds or the file was changed, or groups pinned to two
    folds were joined, and `ConfigError` where a run of the configuration cannot be trained on these images.
    """
    settings, picture = config.folds, layout.folds_picture(config.folds.name)
    path, record = layout.folds_table(settings.name), layout.folds_manifest(settings.name)
    with lock(layout.data_lock, "data/", shared=True):
        index = load_index(layout)
        made_from = lineage(config, index)
        found = None if force or reset else FoldsRecord.fresh(record, made_from)
        if found is not None:
            load_folds(layout, config, index)
            if not picture.exists():
                write_atomic(picture, standalone(draw(found.classes, found.balance)))
            emit(Event("fresh", "folds", {"stage": "folds"}))
            return
    with lock(layout.data_lock, "data/", shared=True), lock(layout.folds_lock, "folds/", wait=True):
        _check_runs(config, index, emit)
        pinned = [{}] * settings.repeats if reset else _pinned_ids(layout, config, force=force)
        given = as_given(index, pinned) if settings.method == "hold-out" and config.data.validation else None
        if given is not None:
            pinned = [given]
        table = _assigned(config, index, pinned)
        verify_folds(index, table, settings.held_out)
        rows = zip(index.ids, index.labels.tolist(), index.groups, *table.tolist(), strict=True)
        write_csv(path, ("id", "label", "group", *columns(settings.repeats)), rows)
        balance = np.zeros((settings.held_out, len(index.classes)), np.int64)  # rows never held out do not count
        counted = table[0] != NEVER
        of_class = index.truth if index.task.several else np.eye(len(index.classes), dtype=np.int8)[index.labels]
        np.add.at(balance, table[0][counted], of_class[counted])
        write_atomic(picture, standalone(draw(index.classes, balance)))
        FoldsRecord(
            made_from=made_from,
            files=digests_of(layout.folds, path),
            classes=index.classes,
            balance=tuple(map(tuple, balance.tolist())),
            **{name: getattr(settings, name) for name in PINNED_KEYS},
        ).save(record)
        sizes = np.bincount(table[0][counted], minlength=settings.held_out)
        _tell(emit, index, balance, sizes, pinned[0] if given is None else {})
        emit(Event("wrote", "", {"paths": [path, record, picture]}))


def _assigned(config: Config, index: Index, pinned: Sequence[Mapping[str, int]]) -> IntArray:
    """The fold of every row (repeats, N), or `NEVER` where a hold-out split leaves it for training."""
    settings = config.folds
    rows, several = (index.ids, index.labels, index.groups), index.truth if index.task.several else None
    table = np.stack([
        split(*rows, n=settings.n, seed=settings.seed + repeat, pinned=before, several=several)
        for repeat, before in enumerate(pinned)
    ])  # fmt: skip
    return np.where(table == 0, 0, NEVER) if settings.method == "hold-out" else table


def _check_runs(config: Config, index: Index, emit: Emit) -> None:
    """Refuse runs that cannot be trained before rows are split; of those that nobody wrote a warning is enough."""
    check_width(config.competition.metric, len(index.classes))
    for name, settings in config.runs.items():
        try:
            check_run(name, settings, index)
        except ConfigError as error:
            if "runs" in config.model_fields_set:
                raise
            emit(Event("warn", f"{error.message}: {error.hint}"))
            return


def lineage(config: Config, index: Index) -> Digests:
    """What a split is made from; the names of the classes stand in its record and its picture."""
    settings = sha256_json(config.folds.model_dump(mode="json"))
    return {"folds": str(VERSION), **index.split, "classes": index.parts["classes"], "settings": settings}


def _pinned_ids(layout: Layout, config: Config, *, force: bool) -> list[dict[str, int]]:
    """The fold that each id of the existing file has, for every repeat."""
    settings = config.folds
    path, record = layout.folds_table(settings.name), layout.folds_manifest(settings.name)
    if not path.exists() or not record.exists():
        return [{}] * settings.repeats
    before, now = _written_with(record, force=force), {name: getattr(settings, name) for name in PINNED_KEYS}
    if before and before != now:
        was, asked = (", ".join(f"{name} = {value}" for name, value in said.items()) for said in (before, now))
        what = f"{path} was made with {was}, kit.toml asks for {asked}; trained runs depend on it"
        raise StageError(what, "kit folds --reset   # or another [folds] name")

    def pin(line: Mapping[str, str], column: str) -> int:
        # A row that a hold-out split never holds out stays in any fold but the first.
        elsewhere = 1 + int(hashlib.sha256(line["group"].encode()).hexdigest(), 16) % (settings.n - 1)
        return elsewhere if int(line[column]) == NEVER else int(line[column])

    lines = read_csv(path)
    try:
        return [{line["id"]: pin(line, column) for line in lines} for column in columns(settings.repeats)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StageError(f"{path} is not a table of folds: {error!r}", "kit folds --reset") from None


def _written_with(record: Path, *, force: bool) -> dict[str, object]:
    """The settings that the existing table was made with; empty where its record is damaged and does not matter."""
    try:
        found = FoldsRecord.load(record)
        found.check(record.parent)
    except StageError:
        with suppress(OSError, ValueError, TypeError):
            content = json.loads(record.read_text(encoding="utf-8"))
            # A record of the first kits; it has neither a method nor repeats: they are what the defaults say.
            if "version" not in content and "table" in content:
                return {name: content.get(name, FoldsConfig.model_fields[name].default) for name in PINNED_KEYS}
        if not force:
            raise
        return {}
    return {name: getattr(found, name) for name in PINNED_KEYS}


def _tell(emit: Emit, index: Index, balance: IntArray, sizes: IntArray, pinned: Mapping[str, int]) -> None:
    n = len(balance)
    if pinned:
        emit(Event("say", f"{len(pinned)} ids kept their fold"))
    counts = [] if index.task.kind == "numbers" else [*zip(index.classes, balance.T, strict=True)]  # bins may be empty
    rare = [f"{name!r} has {line.sum()} images" for name, line in counts if not line.all()]
    if rare:
        which = "class" if len(rare) == 1 else f"{len(rare)} classes:"
        emit(Event("warn", f"{which} {some(rare)}; there are {n} folds, some of which have none of it"))
    alone = [repr(name) for name, line in counts if n > 1 and line.max() == line.sum()]
    if alone:
        said = "is in one fold alone: the networks that predict its images are trained without any of them"
        emit(Event("warn", f"each of the classes {some(alone)} {said}"))
    rows = [(name, int(line.sum()), *line.tolist()) for name, line in zip(index.classes, balance.T, strict=True)]
    rows.append(("all", int(sizes.sum()), *sizes.tolist()))
    emit(Event("table", "folds", {"header": ("class", "images", *map(str, range(n))), "rows": rows}))
