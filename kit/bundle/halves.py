"""Whether float16 weights may be shipped: the blend's score out of fold, with and without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit import score
from kit.bundle.contents import fold_paths, fold_predictions, weights_name
from kit.data import Index, load_images, load_index
from kit.errors import BundleError
from kit.layout import FoldPaths, Layout
from kit.records import Emit, Event, Predictions, load_predictions
from kit.runtime import pool
from kit.runtime.backbones import Description
from kit.runtime.forward import mean_of_folds
from kit.store.candidate import Ensemble, HalfRecord

# .05 points; a point is a hundredth of the metric.
AGREE = 5e-4

Proba = npt.NDArray[np.float64]


def measure(layout: Layout, record: Ensemble, halved: Mapping[str, Path], batch_size: int, emit: Emit) -> HalfRecord:
    """Predict every held-out row again, with the ``halved`` weights of the fold that did not train on it.

    Parameters
    ----------
    halved : mapping
        Name in the zip and file of the weights.
    batch_size : int

    Notes
    -----
    A probe would not do: .05 points are one row in 2,000. It costs what predicting out of fold cost when the members
    were trained, for the members and views that the blend uses. The blend is fitted once, on the float32 predictions:
    what differs is the weights alone.
    """
    index, images = load_index(layout), load_images(layout)
    views, members = record.used_views, record.used_members
    before, after, probes = [], [], []
    for number, member in enumerate(members):
        emit(Event("progress", f"bundle: {member.run} in float16", {"done": number, "total": len(members)}))
        folds = fold_paths(layout, member)
        files = [halved[weights_name(member, fold)] for fold in range(len(folds))]
        network = _Member(member.network, images, index, views, batch_size)
        valid = [fold_predictions(member, n, fold, fold.valid.name) for n, fold in enumerate(folds)]
        ids, logits = joined([part.select(views) for part in valid])
        before.append(logits)
        after.append(joined(network.again(files, folds, "valid"))[1])
        probes.append(mean_of_folds(np.stack([part.logits for part in network.again(files, folds, "probe")])))
    y = index.labels[index.rows_of(ids)]
    first, second = (_blend(record, members) for members in (before, after))
    return HalfRecord(
        score=score.score(record.metric, y, second),
        score_float32=score.score(record.metric, y, first),
        rows=len(y),
        largest_change=float(np.abs(first - second).max()),
        probe=tuple(map(tuple, np.round(_blend(record, probes), 9).tolist())),
    )


def check(found: HalfRecord, metric: str, refused: str) -> None:
    """Raise `BundleError` where the scores differ by more than `AGREE`; ``refused`` says what cannot be then."""
    if abs(found.score - found.score_float32) > AGREE:
        raise BundleError(
            f"with float16 weights {metric} out of fold is {found.score:.5f}, with float32 {found.score_float32:.5f} "
            f"({found.rows} rows): more than {AGREE:g} apart, {refused}",
            "[bundle] half_precision = false",
        )


def joined(parts: Sequence[Predictions]) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Sorted ids and their logits (V, N, C): the mean over repeats where a row was held out more than once."""
    ids, where = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    logits = np.concatenate([part.logits for part in parts], axis=1)
    counts = np.bincount(where)
    order = np.argsort(where, kind="stable")
    starts = np.cumsum(counts) - counts
    out = np.empty((len(logits), len(ids), logits.shape[2]), np.float32)
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        places = order[starts[rows] + np.arange(count)[:, None]]
        out[:, rows] = mean_of_folds(logits[:, places].transpose(1, 0, 2, 3))
    return ids.tolist(), out


class _Member:
    """One network of a member, filled with the weights of one fold after the other."""

    def __init__(self, description: Description, images: Any, index: Index, views: list[str], batch_size: int) -> None:
        from kit.runtime import backbones, forward

        self._model = backbones.build(description).model
        self._forward = forward.compile_forward(self._model)
        self._images, self._index = images, index
        self._views, self._batch_size = views, batch_size

    def again(self, files: Sequence[Path], folds: Sequence[FoldPaths], what: str) -> list[Predictions]:
        """The predictions in the ``what`` of each fold made again with the weights in ``files``."""
        from kit.runtime import arrays, forward

        parts = []
        for file, fold in zip(files, folds, strict=True):
            old = load_predictions(getattr(fold, what))
            arrays.assign(self._model, str(file))
            logits = forward.logits(
                self._forward, self._images, self._index.rows_of(old.ids), self._views, self._batch_size
            )
            if not np.isfinite(logits).all():
                raise BundleError(
                    f"with float16 weights {file.name} predicts what is not finite", "half_precision = false"
                )
            parts.append(Predictions(old.ids, old.classes, tuple(self._views), logits))
        return parts


def _blend(record: Ensemble, members: Sequence[npt.NDArray[np.float32]]) -> Proba:
    proba: Proba = record.blend.params.narrowed().apply(pool.from_logits(np.stack(members)))
    return proba
