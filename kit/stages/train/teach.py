"""Teachers: a student learns what trained networks say of its images, labelled or not (Hinton et al. 2015).

Networks of fold k alone teach the student of fold k, for they never saw its held-out labels. All other networks did,
and the weights of a blend are fitted on what those say. So the teachers of a fold count alike.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.errors import StageError
from kit.runs.results import fold_lineage
from kit.runs.spec import FoldSpec
from kit.runs.units.worker import Predict, Report
from kit.runtime.pool import from_logits
from kit.stages.train.checkpoint import Interrupt
from kit.stages.train.loop import FoldData
from kit.store.data import load_images, unlabelled_images
from kit.store.files import write_atomic
from kit.store.record import Made, digests_of

Predictor = Callable[..., Predict]  # as `kit.runs.units.networks.fold_predictor`
Proba = npt.NDArray[np.float32]
BLOCK = 512  # images at a time; bounds the memory


class Stacked:
    """Two arrays, one below the other, of which rows are read as from one array."""

    def __init__(self, first: Any, second: Any) -> None:
        self._first, self._second = first, second
        self.shape, self.dtype = (len(self), *first.shape[1:]), first.dtype

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, rows: IntArray | slice) -> Any:
        chosen, n = np.arange(len(self))[rows], len(self._first)
        inside = chosen < n
        found = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        found[inside], found[~inside] = self._first[chosen[inside]], self._second[chosen[~inside] - n]
        return found


def pictures(spec: FoldSpec) -> Any:
    """The images of the data and after them those without labels, if a fold is trained on these."""
    images: Any = load_images(spec.layout)
    for part in spec.settings.pseudo_parts:
        images = Stacked(images, unlabelled_images(spec.layout, part))
    return images


def taught(spec: FoldSpec, data: FoldData, predictor: Predictor, report: Report, interrupt: Interrupt) -> FoldData:
    """The data of a fold with the labels of its teachers, images without labels as rows after those of the data.

    Raises `TrainingError` where the weights of a teacher cannot be used, `Interrupted` where a signal came.
    """
    teach, n = spec.settings.teach, len(data.truth)
    assert teach is not None
    rows = np.r_[data.train_rows, np.arange(n, len(pictures(spec)))]
    said = sharpened(_said(spec, rows, predictor, report, interrupt), teach.power, spec.several)
    masses = np.concatenate([said, 1 - said], axis=1) if spec.several else said.copy()
    new, bounds = rows >= n, np.broadcast_to(np.array(teach.min_confidence, np.float32), spec.classes)
    masses[new] *= confident(said[new], bounds, spec.several)
    own = data.task.masses(data.truth, data.names)
    label = np.concatenate([own, np.zeros((new.sum(), own.shape[1]), np.float32)])
    label[rows] = np.where(new[:, None], masses, (1 - teach.soft) * label[rows] + teach.soft * masses)
    return replace(
        data,
        taught=label,
        train_rows=rows[label[rows].any(axis=1)],
        labels=np.r_[data.labels, said[new].argmax(axis=1)],
        weights=np.r_[data.weights, np.ones(new.sum(), np.float32)],
    )


def sharpened(proba: Proba, power: float, several: bool) -> Proba:
    """(N, C) probabilities to a ``power``, normalised again: those of logits times ``power``."""
    raised = proba**power
    return np.asarray(raised / (raised + (1 - proba) ** power if several else raised.sum(axis=1, keepdims=True)))


def confident(proba: Proba, bounds: Proba, several: bool) -> npt.NDArray[np.bool_]:
    """(N, 1) whether the likeliest class of a row is as likely as its bound of (C,) ``bounds``.

    Of several labels (N, 2C) whether each one's answer is, for and against.
    """
    if several:
        return np.tile(np.maximum(proba, 1 - proba) >= bounds, 2)
    return np.asarray(proba.max(axis=1) >= bounds[proba.argmax(axis=1)])[:, None]


def _said(spec: FoldSpec, rows: IntArray, predictor: Predictor, report: Report, interrupt: Interrupt) -> Proba:
    """(n, C) the mean over teachers, and over the views of each, of their probabilities of ``rows``; computed once."""
    paths, made_from = spec.paths, fold_lineage(spec)
    with suppress(StageError):  # what is damaged is made again
        if Made.fresh(paths.taught_record, made_from):
            with np.load(paths.taught, allow_pickle=False) as file:
                return np.asarray(file["said"])
    images, mean, done = pictures(spec), np.zeros((len(rows), spec.classes)), 0
    for teacher in spec.taught_by:
        predict = predictor(teacher, made_from[f"teacher {teacher.run}"])
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            logits = predict(images, rows[block], teacher.settings.views)
            mean[block] += from_logits(logits, spec.several).mean(axis=0) / len(spec.teachers)
            done += logits.shape[1]
            report({"event": "pictures", "what": "by teachers", "done": done, "total": len(rows) * len(spec.teachers)})
            interrupt.check()
    said = mean.astype(np.float32)
    write_atomic(paths.taught, lambda file: np.savez(file, allow_pickle=True, said=said))
    Made(made_from=made_from, files=digests_of(paths.root, paths.taught)).save(paths.taught_record)
    return said
