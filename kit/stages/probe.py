"""``kit probe``: which pretrained backbones are worth training, by what their features tell of these images."""

import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from kit.base.arrays import IntArray
from kit.base.events import Emit, Event
from kit.base.process import without_greeting
from kit.config import Config, RunConfig, StageConfig
from kit.errors import ConfigError, KitError, TrainingError
from kit.images.corrupt.plan import StressPlan, apply, plan_of, sampled
from kit.judge.ridge import out_of_fold
from kit.judge.score import row_values
from kit.judge.seen import seen_of
from kit.runs import stressed
from kit.runs.pretrained import ProbeRecord, by_backbone, cached, make_network
from kit.runs.results import unless_damaged
from kit.runs.spec import FoldSpec, plan_runs
from kit.runtime.backbones import BACKBONES
from kit.runtime.forward import compile_forward, logits
from kit.runtime.lazy import keras
from kit.store.data import Index, load_images, load_index
from kit.store.files import lock
from kit.store.layout import Layout
from kit.store.partition import load_folds
from kit.store.record import Digests

VERSION = 1  # raised whenever the same images and weights would get other scores


def probe(
    layout: Layout, config: Config, emit: Emit, backbones: Sequence[str], weights: Sequence[Path], rows: int
) -> list[ProbeRecord]:
    """Score ridge heads on the features of backbones, a record each, written at once; returns them, the best first.

    Without names the ``backbones`` are those whose weights are here: named by runs, in ``weights`` (files and folders),
    or kept by Keras; others are downloaded. At most ``rows`` images are predicted, also under the mixture of
    ``[stress]``. What cannot be probed is a warning, or the `KitError` that is raised where it is all.
    """
    found, problems = list[ProbeRecord](), list[KitError]()
    with lock(layout.data_lock, "data/", shared=True):
        index = load_index(layout)
        folds, plan = load_folds(layout, config, index), replace(plan_of(config.stress), rows=rows)
        for name, where in _within_reach(config, backbones, weights).items():
            run = RunConfig(backbone=name, weights=where, stages=(StageConfig(train="head", epochs=1),))
            try:
                spec = plan_runs(layout, config.model_copy(update={"runs": {name: run}}), [name])[name][0]
                made_from = lineage(spec, plan, index)
                record = unless_damaged(partial(ProbeRecord.fresh, layout.probe(name), made_from), emit)
                if record is None:
                    emit(Event("progress", f"probe: {name}", {"stage": "probe"}))
                    record = _scored(spec, index, folds.fold, plan, made_from)
                    record.save(layout.probe(name))
                found.append(record)
            except KitError as error:
                hint = f"--weights FILE, of {name} without its top" if isinstance(error, TrainingError) else error.hint
                problems.append(type(error)(error.message, hint))
    for problem in problems:
        if not found:
            raise problem
        emit(Event("warn", f"{problem.message}: {problem.hint}"))
    found.sort(key=lambda one: one.order)
    header = ("backbone", "rows", found[0].metric, "+-", "stressed", "+-", "ms", "MB")
    costs = [(f"{one.milliseconds:.1f}", f"{one.megabytes:.0f}") for one in found]
    lines = [(one.backbone, one.rows, *one.clean, *one.stressed, *cost) for one, cost in zip(found, costs, strict=True)]
    emit(Event("table", "ridge heads on features, out of fold", {"header": header, "rows": lines}))
    return found


def lineage(spec: FoldSpec, plan: StressPlan, index: Index) -> Digests:
    """What the record of a backbone is made from; ``spec`` is of a run with this backbone and its weights."""
    made_from = {"probe": str(VERSION), "stress": str(stressed.VERSION), "plan": plan.key, "run": spec.key}
    return made_from | {"data": index.training, "groups": index.parts["groups"]}


def _within_reach(config: Config, backbones: Sequence[str], weights: Sequence[Path]) -> dict[str, str]:
    """By backbone what `weights` of a run says."""
    hint = "--weights FOLDER with files such as mobilenetv2.h5, or the name of a backbone to download"
    if missing := [path for path in weights if not path.exists()]:
        raise ConfigError(f"no such file or folder: {missing[0]}", hint)
    if unknown := [name for name in backbones if name not in BACKBONES]:
        raise ConfigError(f"no backbone is called {unknown[0]}", hint)
    files = [file for path in weights for file in (path.rglob("*.h5") if path.is_dir() else [path])]
    found = dict.fromkeys(cached(), "imagenet")
    found |= {run.backbone: run.weights for run in config.runs.values() if run.weights not in ("none", "imagenet")}
    found |= {name: str(file.resolve()) for name, file in by_backbone(files).items()}
    if not backbones and not found:
        raise ConfigError("no weights are here that are called after a backbone", hint)
    return {name: found.get(name, "imagenet") for name in backbones or found}


def _scored(spec: FoldSpec, index: Index, fold: IntArray, plan: StressPlan, made_from: Digests) -> ProbeRecord:
    """Compute features of images as they are and stressed, and score heads that learnt the first."""
    rows = index.rows_of(sampled(plan, index.ids))
    clean, ids, fold = np.asarray(load_images(spec.layout)[rows]), np.array(index.ids)[rows], fold[rows]
    pictures = clean, apply(plan, clean, ids, plan.seed)
    with without_greeting(), redirect_stdout(sys.stderr):  # Keras says on standard output what it downloads
        keras.backend.clear_session()  # of the backbone before
        forward = compile_forward(make_network(spec, spec.sizes[-1]).features)
    forward(clean[:1])  # compiles
    started, every = time.process_time(), np.arange(len(ids))
    features = np.stack([logits(forward, images, every, ("identity",))[0] for images in pictures])
    seconds = (time.process_time() - started) / (2 * len(every))
    masses = index.task.masses(index.truth[rows], index.classes)[:, : len(index.classes)]
    group = np.unique(np.array(index.groups)[rows], return_inverse=True)[1]
    proba = np.clip(out_of_fold(features, masses, fold, group)[:, fold >= 0], 1e-6, 1.0)
    proba /= 1.0 if index.task.several else proba.sum(axis=2, keepdims=True)
    metric = "rmse" if index.task.kind == "numbers" else "accuracy"
    seen = seen_of(metric, index, ids[fold >= 0])
    values = np.stack([row_values(metric, seen.y, seen.of(version)) for version in proba])
    scores = np.stack([values.mean(axis=1), values.std(axis=1) / values.shape[1] ** 0.5], axis=1).tolist()
    return ProbeRecord(
        made_from=made_from,
        backbone=spec.settings.backbone,
        rows=proba.shape[1],
        metric=metric,
        clean=scores[0],
        stressed=scores[1],
        milliseconds=1000 * seconds,
        megabytes=4e-6 * BACKBONES[spec.settings.backbone].parameters,
    )
