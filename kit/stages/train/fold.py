"""Train one fold: a description in, files out, no global state. NumPy alone: the networks are behind `Trainer`.

Early stopping and plateaus watch inner rows: a part of the training rows, never the held-out fold. The best of many
epochs looks better than it is on the rows that chose it. Of 600 pictures of noise with random labels of four classes
29 % were right out of fold where the held-out fold itself chose the epoch, instead of 25 %.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from statistics import median_low
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.errors import TrainingError
from kit.runs.results import FoldRecord, PredictedRecord, engine_lineage, fold_lineage, lineage_of_test
from kit.runs.spec import FoldSpec, seed_of
from kit.runs.units.networks import fold_predictor
from kit.runs.units.worker import Predict, Report
from kit.stages.train.checkpoint import Arrays, Checkpoint, Interrupt, delete
from kit.stages.train.loop import FoldData, FoldRun, Timing, TrainingStage, run_training_stage
from kit.stages.train.teach import Predictor, taught
from kit.store.data import (
    digest_of_parts,
    load_images,
    load_index,
    unlabelled_ids,
    unlabelled_images,
    unlabelled_record,
)
from kit.store.files import append_log, sha256_json, write_atomic, write_csv
from kit.store.partition import held_out, read_table, table_digest
from kit.store.predictions import Predictions
from kit.store.record import Digests, digest, digests_of

MOST = 0.5


def hold_back(
    labels: IntArray, groups: npt.NDArray[np.str_], rows: IntArray, fraction: float, rng: np.random.Generator
) -> IntArray:
    """Rows to watch instead of training on them, sorted: (k,) of ``rows`` (n,), in whole groups.

    ``labels`` and ``groups`` (N,) are of all rows of the data; ``fraction`` is the share that is wanted of each class
    and of all rows, at most `MOST`. The rows are of at least two classes, and every class keeps a row to train on.
    Where groups are too large or classes too small for the share it is doubled, up to `MOST`; empty where even that
    does not do.
    """
    while True:
        found = _draw(labels, groups, rows, fraction, rng)
        if len(np.unique(labels[found])) > 1:
            return found
        if fraction >= MOST:
            return rows[:0]
        fraction = min(2 * fraction, MOST)


def _draw(
    labels: IntArray, groups: npt.NDArray[np.str_], rows: IntArray, fraction: float, rng: np.random.Generator
) -> IntArray:
    """Groups in random order, each taken if it lowers the sum over classes of (taken - wanted)^2 / total."""
    _, group = np.unique(groups[rows], return_inverse=True)
    members = np.split(rows[np.argsort(group, kind="stable")], np.cumsum(np.bincount(group))[:-1])
    totals = np.bincount(labels[rows])
    wanted = np.floor(fraction * totals)
    # Largest remainders get one more, equal ones by lot: a thousand classes of four rows give 400 rows, not none.
    by_remainder = np.lexsort((rng.random(len(totals)), wanted - fraction * totals))
    wanted[by_remainder[: round(fraction * len(rows) - wanted.sum())]] += 1
    taken, chosen = [0] * len(totals), [rows[:0]]
    for number in rng.permutation(len(members)).tolist():
        counts = Counter(labels[members[number]].tolist())
        added = sum(n * (n + 2 * (taken[c] - wanted[c])) / totals[c] for c, n in counts.items())
        if added < 0 and all(taken[c] + n < totals[c] for c, n in counts.items()):
            chosen.append(members[number])
            for c, n in counts.items():
                taken[c] += n
    return np.sort(np.concatenate(chosen))


PROBE = 32  # rows that every fold's network predicts: a bundle is held against the kit's own predictions of them
TIMED = 256  # rows that TensorFlow predicts to be timed, where another engine predicts
PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy")


class Trainer(Protocol):
    """What a fold asks of its networks."""

    def stage(self, number: int) -> TrainingStage:
        """The learner and the inputs of a stage; asked for once a stage, in order, from where a checkpoint stands."""

    def predict(self, images: Any, rows: IntArray, views: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Logits (V, N, C) of ``images[rows]``."""

    def predict_augmented(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Logits (1, N, C) of rows of the data after the run's ``validate_augment``."""

    def weights(self) -> Arrays:
        """The fold's weights as named arrays."""


MakeTrainer = Callable[[FoldSpec, FoldData], Trainer]


def train_fold(
    spec: FoldSpec,
    make_trainer: MakeTrainer,
    report: Report,
    interrupt: Interrupt,
    predictor: Predictor = fold_predictor,
) -> None:
    """Train, predict the held-out fold, and write the fold's files, ``fold.json`` last; then predict the test images.

    Its teachers, if it has any, are asked first; ``predictor`` gives their networks.

    Continues from the last checkpoint of an earlier process. Raises `TrainingError` where pretrained weights are out of
    reach or the loss is no longer a number, `Interrupted` where a signal came; what was done is in a checkpoint.
    """
    started, starting = time.perf_counter(), time.process_time()
    data = load_fold_data(spec)
    if spec.teachers:
        data = taught(spec, data, predictor, report, interrupt)
    trainer = make_trainer(spec, data)
    checkpoint = Checkpoint(spec.paths, sha256_json(fold_lineage(spec)) if spec.teachers else spec.key)
    if checkpoint.resumed:
        report({"event": "resumed", "stage": checkpoint.position.stage, "epoch": checkpoint.position.epoch})
    resumed = checkpoint.resumed  # looked at now: the first epoch writes a checkpoint
    run = FoldRun(spec, data, checkpoint, report, interrupt)
    for number in range(checkpoint.position.stage, len(spec.settings.stages)):
        run_training_stage(run, number, trainer.stage(number))
    record, seconds, predict = _write_results(spec, trainer, data, checkpoint, partial(predictor, report=report))
    if (test := unlabelled_record(spec.layout, "test")) is not None:
        predict_test(spec, lineage_of_test(spec, record, test), predict)
    took = time.perf_counter() - started
    line = {"event": "done", "seconds": took, "resumed": resumed, "seconds_per_1000": seconds, "time": time.time()}
    # Wall times live here, outside what is compared byte for byte.
    append_log(spec.paths.log, {**line, **timed(run.timings, starting + took), "versions": record.versions})
    delete(spec.paths)


def timed(timings: Sequence[Timing], seconds: float) -> dict[str, Any]:
    """By stage the seconds of a step and of judging (see `kit.stages.train.plan`), and those ``around`` all epochs.

    Of the epochs of a stage the lower median: the first one compiles.
    """
    stages: dict[int, dict[str, float]] = {}
    for number in sorted({timing.stage for timing in timings}):
        mine = [timing for timing in timings if timing.stage == number]
        step = median_low([timing.stepping / timing.steps for timing in mine])
        stages[number] = {"step": step, "judge": median_low([timing.judging for timing in mine])}
    return {"stages": stages, "around": seconds - sum(timing.stepping + timing.judging for timing in timings)}


def load_fold_data(spec: FoldSpec) -> FoldData:
    """Labels and rows of the fold that ``spec`` names, from the files of the earlier stages.

    Train-only rows are trained on in every fold, unless they share a group with a held-out row. Where a stage stops
    early or falls from plateaus, inner rows are held back, and nothing of their groups is trained on.

    Raises `TrainingError` where no row can be held back.
    """
    settings = spec.settings
    index = load_index(spec.layout)
    table = read_table(spec.layout.folds_table(spec.folds), index.ids)
    now = (index.training, table_digest(index.ids, table), digest_of_parts(spec.layout, spec.settings.pseudo_parts))
    if now != (spec.data, spec.table, spec.pseudo):
        what = f"the data or the folds have changed since {spec.run} fold {spec.fold} was planned"
        raise TrainingError(what, f"kit train {spec.run}")
    outside = np.r_[held_out(table, spec.fold), np.zeros(len(index.extra.ids), bool)]
    groups = np.array([*index.groups, *index.extra.groups])
    labels = np.concatenate([index.labels, index.extra.labels])
    rows = np.flatnonzero(~np.isin(groups, groups[outside]))
    inner = rows[:0]
    if settings.is_steered:
        rng = np.random.default_rng(seed_of("inner", settings.seed, spec.fold))
        inner = hold_back(labels, groups, rows[rows < len(index.ids)], settings.inner_fraction, rng)
        if len(inner) == 0:
            raise TrainingError(
                f"run `{spec.run}` fold {spec.fold} has too few training rows, or groups, to hold some of two classes "
                "back for `early_stopping` or `plateau`",
                f"remove `early_stopping` and the schedule `plateau` from runs.{spec.run}",
            )
    return FoldData(
        labels=labels,
        truth=np.concatenate([index.truth, index.extra.truth]),
        task=index.task,
        train_rows=rows[~np.isin(groups[rows], groups[inner])],
        inner_rows=inner,
        valid_rows=np.flatnonzero(outside),
        names=index.classes,
        weights=np.concatenate([index.weights, index.extra.weights]),
    )


def _write_results(
    spec: FoldSpec, trainer: Trainer, data: FoldData, checkpoint: Checkpoint, predictor: Predictor
) -> tuple[FoldRecord, float, Predict]:
    """Write the fold's files; returns their record, TensorFlow's seconds for 1,000 images, and what predicts."""
    paths, index, images = spec.paths, load_index(spec.layout), load_images(spec.layout)

    def predict(rows: IntArray) -> Predictions:
        ids = np.array(index.ids)[rows]
        return Predictions(ids, spec.class_numbers, views, run(images, rows, views), spec.several)

    views, run = spec.settings.views, cast("Predict", trainer.predict)
    write_atomic(paths.weights, lambda file: np.savez(file, allow_pickle=True, **trainer.weights()))
    lines = [epoch.columns() for epoch in checkpoint.history]
    write_csv(paths.history, list(lines[0]), (line.values() for line in lines))
    predict(np.unique(np.linspace(0, len(index.ids) - 1, PROBE).astype(np.int64))).save(paths.probe)
    files = [paths.weights, paths.history, paths.probe, paths.valid]
    some = data.valid_rows[: TIMED if spec.engine != "tensorflow" else None]
    started = time.perf_counter()
    valid = predict(some)
    seconds = (time.perf_counter() - started) * 1000 / (len(some) * len(views))
    if spec.engine != "tensorflow":  # not of the probe and what is timed: the bundle predicts with TensorFlow
        run = predictor(spec, digest(paths.weights))
        valid = predict(data.valid_rows)
    valid.save(paths.valid)
    if spec.settings.validate_augment:
        found = trainer.predict_augmented(data.valid_rows)
        files.append(replace(valid, views=("augmented",), logits=found).save(paths.valid_augmented))
    record = FoldRecord(
        made_from=fold_lineage(spec) | engine_lineage(spec),
        files=digests_of(paths.root, *files),
        versions={name: version(name) for name in PACKAGES},
    )
    record.save(paths.record)
    return record, seconds, run


def predict_test(spec: FoldSpec, made_from: Digests, predict: Predict) -> None:
    """Write ``test.npz`` and its record; raises `TrainingError` where the test images are no longer those planned with.

    ``made_from`` is as planned, by `lineage_of_test`.
    """
    test, images = unlabelled_record(spec.layout, "test"), unlabelled_images(spec.layout, "test")
    if test is None or images is None or test.images != made_from["test"]:
        what = f"the test images have changed since {spec.run} fold {spec.fold} was to predict them"
        raise TrainingError(what, f"kit train {spec.run}")
    paths, ids, views = spec.paths, np.array(unlabelled_ids(spec.layout, "test")), spec.settings.views
    logits = predict(images, np.arange(len(ids)), views)
    Predictions(ids, spec.class_numbers, views, logits, spec.several).save(paths.test)
    PredictedRecord(made_from=made_from, files=digests_of(paths.root, paths.test)).save(paths.test_record)
