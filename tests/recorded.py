"""Folds, runs and candidates as the stages record them, of predictions that a test makes up: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.events import silent
from kit.config import Config, RunConfig
from kit.images.corrupt.plan import grid_ids, plan_of
from kit.runs.results import FoldRecord, fold_lineage
from kit.runs.spec import FoldSpec
from kit.runs.stressed import StressedFold
from kit.runs.stressed import fold_lineage as stressed_lineage
from kit.runs.units import Launch
from kit.stages.train.train import train
from kit.store.blend import Pool, PoolPart
from kit.store.candidate import Ensemble, Limits, Member, Proof, StoredBlend
from kit.store.data import load_index
from kit.store.files import sha256_file, write_csv
from kit.store.layout import Layout, SubmissionPaths
from kit.store.predictions import Predictions
from kit.store.record import Figure, digests_of

CURVE = ("stage", "train", "epoch", "lr", "loss", "valid_accuracy", "valid_nll")


def spec_of(settings: dict[str, Any], **fields: Any) -> FoldSpec:
    """The first fold of a run `a` with these settings, of a project that need not exist."""
    told = {"root": "", "run": "a", "key": "k", "fold": 0, "n": 5, "folds": "folds", "classes": 2, "size": 32}
    told |= {"data": "d", "table": "t", "weights": "none"}
    return FoldSpec(settings=RunConfig.model_validate(settings), **{**told, **fields})


def write_fold(spec: FoldSpec, ids: Any, logits: Any, curve: Sequence[Sequence[Any]] = ()) -> None:
    """A trained fold whose network says ``logits`` (V, N, C) of the held-out ``ids``; its weights are theirs alone."""
    paths = spec.paths
    Predictions(np.array(ids), spec.class_numbers, spec.settings.views, logits.astype(np.float32)).save(paths.valid)
    np.savez(paths.weights, kernel=logits.mean(axis=(0, 1)))
    write_csv(paths.history, CURVE, curve)
    files = digests_of(paths.root, paths.weights, paths.history, paths.valid)
    FoldRecord(made_from=fold_lineage(spec), files=files, versions={}).save(paths.record)


def join_runs(layout: Layout, config: Config, runs: Sequence[str] = (), launch: Launch | None = None) -> None:
    """What `kit train` does when all folds are there: it joins them, and predicts test images with ``launch``."""
    train(layout, config, silent, runs=runs, launch=launch, pictures=False)


def write_stressed_fold(spec: FoldSpec, config: Config, ids: Any, logits: Any) -> None:
    """A fold that says ``logits`` (V, N, C) of the held-out ``ids`` under stress, and nothing of single corruptions."""
    paths, plan = spec.paths, plan_of(config.stress)
    Predictions(np.array(ids), spec.class_numbers, spec.settings.views, logits.astype(np.float32)).save(paths.stress)
    none = np.zeros((1, 0, spec.classes), np.float32)
    Predictions(np.array(grid_ids(plan, []), np.str_), spec.class_numbers, ("identity",), none).save(paths.stress_grid)
    made_from = stressed_lineage(spec, plan, load_index(spec.layout))
    StressedFold(made_from=made_from, files=digests_of(paths.root, paths.stress, paths.stress_grid)).save(
        paths.stress_record
    )


def write_candidate(
    paths: SubmissionPaths,
    members: Sequence[Member] = (),
    classes: Sequence[str] = ("cat", "dog"),
    views: Sequence[str] = ("identity",),
    cv: float = 0.88,
    files: Sequence[Path] = (),
    **part: Any,
) -> Ensemble:
    """``ensemble.json`` of a blend in equal parts, unless ``part`` says otherwise, scored on 1,000 rows."""
    m = max(len(members), 1)
    shares = (1 / m,) * m
    even = {"share": 1, "temperatures": (1,) * m, "weights": shares, "slopes": (0,) * m, "centre": 1}
    only = PoolPart(**{**even, "bias": (0,) * len(classes), **part})
    pool = Pool(views=(1 / len(views),) * len(views), parts=(only,))
    figure = Figure(score=cv, low=cv - 0.02, high=cv + 0.02)
    blend = StoredBlend(
        members=tuple(member.run for member in members),
        view_names=tuple(views),
        classes=tuple(classes),
        metric="nll",
        method="mean",
        weights=shares,
        views=pool.views,
        temperatures=(1,) * m,
        gap=0,
        bound=0,
        nested=figure,
        optimism=0,
        candidates={},
        member_worth=((0, 0),) * m,
        view_worth=((0, 0),) * len(views),
        notes=(),
        params=pool,
    )
    record = Ensemble(
        made_from={"name": paths.root.name},
        files=digests_of(paths.root, *files),
        metric="accuracy",
        cv=figure,
        rows=1000,
        classes=tuple(classes),
        views=tuple(views),
        members=tuple(members),
        blend=blend,
    )
    record.save(paths.ensemble)
    return record


def write_proof(
    paths: SubmissionPaths, images: int = 32, predict_seconds: float = 0.1, load_seconds: float = 0.1
) -> None:
    """``proof.json`` of the bundle that is there."""
    Proof(
        made_from={},
        sha256=sha256_file(paths.bundle),
        kit_absent=True,
        network="namespace",
        network_removed=True,
        other_working_directory=True,
        probe_images=32,
        difference=0,
        difference_allowed=1e-4,
        accepted=(),
        refused={},
        load_seconds=load_seconds,
        images=images,
        predict_seconds=predict_seconds,
        peak_mb=100,
        zip_mb=0.01,
        limits=Limits(images=1000, seconds=3.2, max_seconds=None, max_memory_mb=None, max_mb=None),
        float16=None,
        versions={},
    ).save(paths.proof)
