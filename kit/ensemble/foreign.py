"""Blend predictions that the kit did not make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.blend import Blend, Options, fit
from kit.blend.foreign import align, read_foreign
from kit.config import Config
from kit.data import load_index
from kit.ensemble.library import Library
from kit.ensemble.show import tell
from kit.errors import DataError
from kit.files import write_atomic, write_csv
from kit.layout import Layout
from kit.partition import load_folds
from kit.records import Emit, Event, FloatArray


def blend_foreign(
    layout: Layout, config: Config, emit: Emit, *, oof: Sequence[Path], test: Sequence[Path], out: Path
) -> Blend:
    """Fit a blend on out-of-fold predictions from files, on the project's labels and folds.

    Parameters
    ----------
    layout, config, emit
    oof : sequence of paths
        One file a member, ``.npz`` or ``.csv``; layouts in docs/ensemble.md.
    test : sequence of paths
        The same members' predictions of the test images, in the same order; may be empty.
    out : Path
        Folder for ``blend.json``, ``oof.csv`` and ``test.csv``.

    Raises
    ------
    DataError
        Where a member lacks a row, has other classes, or holds what are no probabilities.
    """
    if test and len(test) != len(oof):
        raise DataError(f"--oof names {len(oof)} files, --test {len(test)}", "one each, in the same order")
    index = load_index(layout)
    members = [read_foreign(path) for path in oof]
    library = Library(
        ids=index.ids,
        names=tuple(member.name for member in members),
        views=("identity",),
        proba=align(members, index.ids, index.classes)[:, None],
        y=index.labels,
        fold=load_folds(layout, config, index).fold,
        classes=index.classes,
    )
    settings = config.ensemble
    options = Options(
        members=library.names, classes=library.classes, rows=library.ids, max_members=settings.max_members
    )
    blend = fit(
        library.proba[:, 0], library.y, library.fold, metric=settings.metric, seed=settings.seed, options=options
    )
    assert blend.oof is not None
    tell(emit, config.competition.metric, settings.seed, library, blend)
    wrote = [write_atomic(out / "blend.json", blend.to_json())]
    wrote.append(_write_table(out / "oof.csv", library.ids, index.classes, blend.oof))
    if test:
        found = [read_foreign(path) for path in test]
        proba = blend.apply(align(found, found[0].ids, index.classes))
        wrote.append(_write_table(out / "test.csv", found[0].ids, index.classes, proba))
    emit(Event("wrote", "", {"paths": wrote}))
    return blend


def _write_table(path: Path, ids: Sequence[str], classes: Sequence[str], proba: FloatArray) -> Path:
    rows = ((name, *(repr(float(value)) for value in line)) for name, line in zip(ids, np.asarray(proba), strict=True))
    return write_csv(path, ("id", *classes), rows)
