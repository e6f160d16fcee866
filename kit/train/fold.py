"""Train one fold: a description in, files out, no global state. Runs in a process of its own."""

from __future__ import annotations

import json
import time
from typing import IO, Any

import numpy as np

from kit.augment.pipeline import Pipeline
from kit.data import load_images, load_index, load_test_ids, load_test_images
from kit.files import read_csv, write_atomic, write_csv
from kit.records import IntArray, Predictions
from kit.runs import FoldSpec, seed_of
from kit.runtime import arrays
from kit.runtime.backbones import Network
from kit.runtime.forward import compile_forward, logits
from kit.train.checkpoint import Checkpoint
from kit.train.features import feature_files, open_features
from kit.train.loop import FoldData, FoldRun, Report, StageData, run_stage
from kit.train.networks import make_network

PREDICT_BATCH = 64
PROBE = 32


def train_fold(spec: FoldSpec, report: Report) -> None:
    """Train, predict the held-out fold and the test images, and write the fold's files, ``valid.npz`` last.

    Continues from the last checkpoint of an earlier process.

    Raises
    ------
    TrainingError
        Where pretrained weights are out of reach or the loss is no longer a number.
    """
    import keras

    started = time.perf_counter()
    keras.utils.set_random_seed(seed_of("weights", spec.settings.seed, spec.fold) % 2**31)
    data = load_fold_data(spec)
    images = load_images(spec.layout)
    network = make_network(spec)
    checkpoint = Checkpoint(spec.paths, spec.key)
    if checkpoint.resumed:
        checkpoint.restore_model(network.model)
        report({"event": "resumed", "stage": checkpoint.position[0], "epoch": checkpoint.position[1]})
    run = FoldRun(spec, network, data, checkpoint, report)
    augment = Pipeline(spec.settings.augment, spec.size, data.classes) if spec.settings.augment else None
    for number in range(checkpoint.position[0], len(spec.settings.stages)):
        stage_data, uses_images = _stage_data(spec, number, network, data, images)
        run_stage(run, number, stage_data, augment if uses_images else None)
    _write_results(spec, network, data, images, checkpoint)
    _log(spec, {"event": "done", "seconds": time.perf_counter() - started, "resumed": checkpoint.resumed})
    checkpoint.delete()


def load_fold_data(spec: FoldSpec) -> FoldData:
    """Labels and rows of the fold that ``spec`` names, from the files of the earlier stages."""
    index = load_index(spec.layout)
    table = {line["id"]: int(line["fold"]) for line in read_csv(spec.layout.folds_table(spec.folds))}
    fold = np.array([table[name] for name in index.ids], np.int64)
    return FoldData(
        labels=index.labels,
        train_rows=np.flatnonzero(fold != spec.fold),
        valid_rows=np.flatnonzero(fold == spec.fold),
        classes=len(index.classes),
    )


def _stage_data(spec: FoldSpec, number: int, network: Network, data: FoldData, images: Any) -> tuple[StageData, bool]:
    """The stage's inputs, and whether they are images (to be augmented) or cached features."""
    files = feature_files(spec, number)
    if not files:
        forward = compile_forward(network.model)
        return (
            StageData(
                model=network.model,
                epoch_inputs=lambda epoch: images,
                watch=lambda: logits(forward, images, data.valid_rows, ["identity"], PREDICT_BATCH)[0],
            ),
            True,
        )
    features = [open_features(path) for path in files]
    clean = np.asarray(features[0][data.valid_rows], dtype=np.float32)
    return (
        StageData(
            model=network.head,
            epoch_inputs=lambda epoch: features[epoch % len(features)],
            watch=lambda: np.asarray(network.head(clean, training=False)),
        ),
        False,
    )


def _write_results(spec: FoldSpec, network: Network, data: FoldData, images: Any, checkpoint: Checkpoint) -> None:
    paths, views = spec.paths, spec.settings.views
    forward = compile_forward(network.model)
    index = load_index(spec.layout)

    def predict(ids: tuple[str, ...], source: Any, rows: IntArray) -> Predictions:
        found = logits(forward, source, rows, views, PREDICT_BATCH)
        return Predictions(np.array(ids), spec.classes, views, found)

    def fill(file: IO[bytes]) -> None:
        np.savez(file, **arrays.of(network.model))

    write_atomic(paths.weights, fill)
    header = list(checkpoint.history[0])
    write_csv(paths.history, header, ([line[name] for name in header] for line in checkpoint.history))
    test = load_test_images(spec.layout)
    if test is not None:
        predict(load_test_ids(spec.layout), test, np.arange(len(test))).save(paths.test)
    probe = probe_rows(len(index.ids))
    predict(tuple(index.ids[row] for row in probe.tolist()), images, probe).save(paths.probe)
    valid_ids = tuple(index.ids[row] for row in data.valid_rows.tolist())
    predict(valid_ids, images, data.valid_rows).save(paths.valid)


def probe_rows(n: int) -> IntArray:
    """Rows that every fold's network predicts, so that a bundle can be held against the kit's own predictions."""
    return np.unique(np.linspace(0, n - 1, PROBE).astype(np.int64))


def _log(spec: FoldSpec, line: dict[str, Any]) -> None:
    """Append to the fold's log: wall times and versions live here, outside what is compared byte for byte."""
    import keras
    import tensorflow as tf

    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    with spec.paths.log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "time": time.time(), "versions": versions}) + "\n")
