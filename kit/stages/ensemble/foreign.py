"""Blend predictions that the kit did not make: held against labels and folds of a project or of a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit.base.arrays import FloatArray, IntArray
from kit.base.events import Emit, Event
from kit.base.tasks import ONE_CLASS, Array, Task, distributions
from kit.config import Config, DataConfig
from kit.config.competition import CompetitionConfig
from kit.errors import DataError
from kit.images.sources.classes import is_unlabelled, labelled_names, to_labels
from kit.judge import metrics
from kit.judge.blend import Blend, Options
from kit.judge.blend.foreign import Foreign, match, member_names, read_foreign
from kit.runtime.names import number, whole
from kit.stages.ensemble.library import Library, blended, shared_views
from kit.stages.ensemble.summary import tell
from kit.store.data import load_index, load_record, unlabelled_ids, unlabelled_record
from kit.store.files import write_atomic, write_csv
from kit.store.layout import Layout
from kit.store.partition import NEVER, load_folds
from kit.store.tables import read_table

# Standard errors by which rows that a member was trained on are predicted better than others. Of 1,000 honest files one
# is refused, and it is accepted once it has the held-out rows alone.
FITTED = 3.0


@dataclass(frozen=True, eq=False)
class Known:
    """Rows whose truth ``y`` is known; ``fold`` (N,) is `NEVER` where a row is never held out.

    ``orders`` are others in which an array without ids may have the rows, ``test_orders`` those of test images.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    y: Array
    fold: IntArray
    groups: npt.NDArray[np.str_]
    orders: Sequence[Sequence[str]] = ()
    test_orders: Sequence[Sequence[str]] = ()
    task: Task = ONE_CLASS

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """(N,) which rows have an out-of-fold prediction."""
        return np.asarray(self.fold != NEVER)

    @property
    def held_ids(self) -> tuple[str, ...]:
        """The ids of these rows."""
        return tuple(compress(self.ids, self.held))

    def losses(self, rows: npt.NDArray[np.bool_], proba: Array) -> Array:
        """Log losses of the rows of a mask, the mean where a row has several labels or votes."""
        flat = self.task.flat(self.y[rows], self.classes)
        return np.asarray(metrics.row_nll(flat.y, flat.spread(proba)).reshape(int(rows.sum()), -1).mean(axis=1))

    def error(self, member: Foreign) -> float:
        """The root mean squared error of a member's numbers of the held-out rows; 0 where it has no numbers."""
        if self.task.kind != "numbers" or member.proba.shape[2] > 1:
            return 0.0
        return float(np.sqrt(((member.take(self.held_ids).proba[0, :, 0] - self.y[self.held]) ** 2).mean()))


def of_project(layout: Layout, config: Config) -> Known:
    """The rows of a project, and its split."""
    index, raw = load_index(layout), load_record(layout).raw
    # The rows of the raw data in their order, where their ids are the numbers of the rows: an array of images. Numbers
    # in another order are the ids of a table, whose rows an array is in.
    numbers = [-1 if row is None else row for row in map(whole, index.ids)]
    of_array = all(0 <= row < raw for row in numbers) and numbers == sorted(set(numbers))
    return Known(
        ids=index.ids,
        classes=index.classes,
        y=index.truth,
        task=index.task,
        fold=load_folds(layout, config, index).fold,
        groups=np.array(index.groups),
        orders=[[str(row) for row in range(raw)]] if of_array else [],
        test_orders=[unlabelled_ids(layout, "test")] if unlabelled_record(layout, "test") else [],
    )


def of_table(path: Path) -> Known:
    """The rows of a table with the columns ``id``, ``label`` and ``fold``, and ``group`` where rows belong together.

    A missing or negative fold is that of a row that no member predicts out of fold. The classes are those that occur.

    Raises `ConfigError` where a column is missing, `DataError` where an id stands twice or a row has no label.
    """
    table = read_table(path)
    ids, names, fold = (table.column(name) for name in ("id", "label", "fold"))
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{path}: id {twice[0]!r} appears twice")
    classes = labelled_names(names)
    y = to_labels(names, classes, [table.line(row) for row in range(len(ids))])
    missing = np.flatnonzero(y < 0)
    if len(missing):
        raise DataError(f"{table.line(int(missing[0]))} has no label ({len(missing)} such rows)")
    held = [not is_unlabelled(cell) for cell in fold]
    if not any(held):
        raise DataError(f"{path}: no row has a fold")
    groups = table.column("group") if "group" in table.header else [""] * len(ids)
    numbers = np.where(held, np.unique([number(cell) for cell in fold], return_inverse=True)[1], NEVER)
    return Known(tuple(ids), classes, y, numbers, np.array(groups))


def blend_foreign(
    known: Known, config: Config, emit: Emit, *, oof: Sequence[Path], test: Sequence[Path], out: Path
) -> Blend:
    """Fit a blend on out-of-fold predictions from files, on known labels and the rows that are held out.

    ``oof`` has one file a member (layouts in docs/ensemble.md), ``test`` the same members' predictions of the test
    images in the same order, or none; ``out`` is the folder for ``blend.json``, ``oof.csv`` and ``test.csv``.

    Raises `DataError` where a member lacks a held-out row or a class, holds what are no probabilities, or was fitted on
    what it predicts.
    """
    if test and len(test) != len(oof):
        raise DataError(f"--oof names {len(oof)} files, --test {len(test)}", "give one per --oof, in the same order")
    names, held, classes = member_names(oof), known.held, known.classes
    orders = [known.ids, known.held_ids, *known.orders]
    given = _read(oof, known, orders, emit)
    errors = [known.error(member) for member in given]
    members = [out_of_fold(_spread(*each, classes), known) for each in zip(given, errors, strict=True)]
    if not held.all():
        emit(Event("say", f"the split holds out {held.sum()} of {len(held)} rows: only these are blended and scored"))
    views = shared_views(members)
    if not views:
        raise DataError(f"{members[0].path} has the views {', '.join(members[0].views)}, but another has none of them")
    tests = [_spread(*each, classes) for each in zip(_read(test, known, known.test_orders, emit), errors, strict=False)]
    tested = _stack([member.take(tests[0].ids) for member in tests], views) if tests else None
    library = Library(
        ids=members[0].ids,
        names=names,
        views=views,
        proba=_stack(members, views),
        truth=known.y[held],
        fold=known.fold[held],
        groups=known.groups[held],
        classes=classes,
        task=known.task,
    )
    settings = config.ensemble
    options = Options(
        names, views, library.classes, library.ids, max_members=settings.max_members, max_views=settings.max_views
    )
    blend = blended(library, config, options)
    tell(emit, config, library, blend)
    wrote = [write_atomic(out / "blend.json", blend.to_json())]
    wrote.append(_write_table(out / "oof.csv", library.ids, known, blend, blend.oof))
    if tested is not None:
        wrote.append(_write_table(out / "test.csv", tests[0].ids, known, blend, blend.apply(tested)))
    emit(Event("wrote", "", {"paths": wrote}))
    return blend


def blend_files(labels: Path, emit: Emit, *, oof: Sequence[Path], test: Sequence[Path], out: Path) -> Blend:
    """`blend_foreign` without a project, on the log loss: ``labels`` is a table of `of_table`."""
    config = Config(data=DataConfig(train=str(labels)), competition=CompetitionConfig(metric="nll"))
    return blend_foreign(of_table(labels), config, emit, oof=oof, test=test, out=out)


def _read(paths: Sequence[Path], known: Known, orders: Sequence[Sequence[str]], emit: Emit) -> list[Foreign]:
    found = [read_foreign(path, known.classes, orders, known.task) for path in paths]
    for member in found:
        if member.assumed:
            first = ", ".join(member.ids[:3])
            said = f"{member.path} has no ids: its rows are taken to be {first} ..., in the order of the data"
            emit(Event("say", said))
        if member.guessed:
            said = f"{member.path} is taken for logits: most rows have a negative number and do not sum to 1"
            emit(Event("say", said))
    return found


def out_of_fold(member: Foreign, known: Known) -> Foreign:
    """The predictions of the rows that the split holds out, in the order of the data.

    A member may have predictions of other rows as well, unless they show that it was trained on them: then the file is
    not one of out-of-fold predictions.

    Raises `DataError` where a held-out row is missing, or rows that are never held out are predicted evidently better.
    """
    held, rows = known.held, match(member.ids, known.ids)
    taken = member.take(known.held_ids, rows[held])
    never = ~held & (rows >= 0)
    if never.any():
        seen, unseen = known.losses(never, member.proba[0, rows[never]]), known.losses(held, taken.proba[0])
        error = np.sqrt(seen.var() / len(seen) + unseen.var() / len(unseen))
        if unseen.mean() - seen.mean() > FITTED * error:
            raise DataError(
                f"{member.path}: {len(seen)} rows that are never held out are predicted with a log loss of "
                f"{seen.mean():.3f}, the held-out rows with {unseen.mean():.3f}: the member was trained on the former, "
                "so their predictions are not out of fold",
                "leave out the rows whose fold is -1 in the table of folds",
            )
    return taken


def _spread(member: Foreign, error: float, classes: Sequence[str]) -> Foreign:
    """A member's numbers as distributions over bins, as wide as they are wrong out of fold; any other as it is."""
    if not error:
        return member
    centres = np.array(classes, float)
    return replace(member, proba=np.stack([distributions(view[:, 0], centres, error) for view in member.proba]))


def _stack(members: Sequence[Foreign], views: Sequence[str]) -> npt.NDArray[np.float64]:
    """(M, V, N, C) probabilities."""
    for member in members:
        missing = [view for view in views if view not in member.views]
        if missing:
            raise DataError(f"{member.path} has no predictions for the view {missing[0]!r}")
    return np.stack([member.proba[[member.views.index(view) for view in views]] for member in members])


def _write_table(path: Path, ids: Sequence[str], known: Known, blend: Blend, proba: FloatArray) -> Path:
    """Ids and probabilities; before them what is answered, where that is not one class."""
    cells, header = [list(map(repr, map(float, line))) for line in np.asarray(proba)], ("id", *known.classes)
    if known.task.kind in ("multilabel", "numbers"):
        told, names = blend.answer(proba), np.array(known.classes)
        said = [" ".join(names[one > 0]) if known.task.several else f"{one:.6g}" for one in told]
        cells, header = [[one, *line] for one, line in zip(said, cells, strict=True)], ("id", "label", *known.classes)
    return write_csv(path, header, ((name, *line) for name, line in zip(ids, cells, strict=True)))
