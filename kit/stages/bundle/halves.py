"""Whether float16 weights may be shipped: the blend's score out of fold, with and without them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.events import Emit, Event
from kit.errors import BundleError
from kit.judge import score
from kit.judge.seen import seen_of
from kit.runtime import arrays, backbones, forward, pool
from kit.runtime.forward import mean_of_folds
from kit.stages.bundle.contents import fold_paths, fold_predictions, weights_name
from kit.store.candidate import Ensemble, HalfRecord, Member
from kit.store.data import Index, load_images, load_index
from kit.store.layout import Layout
from kit.store.predictions import Predictions, load_predictions

# .05 points; a point is a hundredth of the metric.
AGREE = 5e-4

Proba = npt.NDArray[np.float64]


def measure(layout: Layout, record: Ensemble, halved: Mapping[str, Path], batch_size: int, emit: Emit) -> HalfRecord:
    """Predict every held-out row again, with the weights of the fold that did not train on it.

    ``halved`` has the name in the zip and the file of the weights. A probe would not do: .05 points are one row in
    2,000. It costs what predicting out of fold cost when the members were trained, for the members and views that the
    blend uses. The blend is fitted once, on the float32 predictions: what differs is the weights alone.
    """
    index, images = load_index(layout), load_images(layout)
    views, members = record.used_views, record.used_members
    before, after, probes = [], [], []
    for number, member in enumerate(members):
        emit(Event("progress", f"bundle: {member.run} in float16", {"done": number, "total": len(members)}))
        stored = [
            (
                fold_predictions(member, fold, paths, paths.valid.name).select(views),
                load_predictions(paths.probe).select(views),
            )
            for fold, paths in enumerate(fold_paths(layout, member))
        ]
        files = [halved[weights_name(member, fold)] for fold in range(len(stored))]
        valid, probe = zip(*_again(member, files, stored, index, images, batch_size), strict=True)
        ids, logits = joined([held_out for held_out, _ in stored])
        before.append(logits)
        after.append(joined(valid)[1])
        probes.append(mean_of_folds(np.stack([part.logits for part in probe]), probe[0].several))
    every = seen_of(record.metric, index, ids)
    first, second = (_blend(record, members) for members in (before, after))
    return HalfRecord(
        score=score.score(record.metric, every.y, every.said(second, record.blend.answer(second))),
        score_float32=score.score(record.metric, every.y, every.said(first, record.blend.answer(first))),
        rows=len(ids),
        largest_change=float(np.abs(first - second).max()),
        probe=tuple(map(tuple, np.round(_blend(record, probes), 9).tolist())),
    )


def check(found: HalfRecord, metric: str, refused: str) -> None:
    """Raise `BundleError` where the scores differ by more than `AGREE`; ``refused`` says what cannot be then."""
    if abs(found.score - found.score_float32) > AGREE:
        raise BundleError(
            f"with float16 weights {metric} out of fold is {found.score:.5f}, with float32 {found.score_float32:.5f} "
            f"({found.rows} rows): they differ by more than {AGREE:g}, {refused}",
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
        out[:, rows] = mean_of_folds(logits[:, places].transpose(1, 0, 2, 3), parts[0].several)
    return ids.tolist(), out


def _again(
    member: Member, files: Sequence[Path], stored: Sequence[Sequence[Predictions]], index: Index, images: Any, size: int
) -> list[list[Predictions]]:
    """What is ``stored`` of each fold, predicted again with the weights in ``files``, ``size`` images at once."""
    model = backbones.build(member.network).model
    passed = forward.compile_forward(model)
    made: list[list[Predictions]] = []
    for file, olds in zip(files, stored, strict=True):
        arrays.assign(model, str(file))
        made.append([])
        for old in olds:
            logits = forward.logits(passed, images, index.rows_of(old.ids), old.views, size)
            if not np.isfinite(logits).all():
                said = f"with float16 weights, {file.name} gives predictions that are not finite"
                raise BundleError(said, "half_precision = false")
            made[-1].append(replace(old, logits=logits))
    return made


def _blend(record: Ensemble, members: Sequence[npt.NDArray[np.float32]]) -> Proba:
    params = record.blend.params
    return np.asarray(params.narrowed().apply(pool.from_logits(np.stack(members), bool(params.several))))
