"""Run the zip without the kit on the probe images and hold its answers against the kit's own."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit.config import BundleConfig
from kit.errors import BundleError
from kit.judge.metrics import classes_of
from kit.platforms.sandbox import BundleRun, run_bundle
from kit.runtime.forward import mean_of_folds
from kit.runtime.names import answers
from kit.runtime.pool import from_logits
from kit.stages.bundle.contents import fold_paths, fold_predictions
from kit.store.candidate import Ensemble, HalfRecord, Limits, Proof
from kit.store.data import load_images, load_index
from kit.store.digests import digest
from kit.store.layout import Layout, SubmissionPaths
from kit.store.record import Digests, digests_of

# TensorFlow 2.16 and 2.21 agree to 1e-5 on every family of networks (docs/bundle.md).
TOLERANCE = 1e-4

Proba = npt.NDArray[np.float64]


def prove(
    layout: Layout, record: Ensemble, candidate: Path, half: HalfRecord | None = None, python: Path | None = None
) -> tuple[BundleRun, float]:
    """Run the zip; returns what it answered and the largest difference of a probability.

    With ``half`` that is from what the blend says with float16 weights, else from what the networks said where they
    were trained; ``python`` is the interpreter of an environment without the kit, see
    `kit.platforms.sandbox.run_bundle`.

    Raises `BundleError` where it fails, or says something else.
    """
    members, ids = [], []
    for member in record.members:
        folds = [
            fold_predictions(member, fold, paths, paths.probe.name)
            for fold, paths in enumerate(fold_paths(layout, member))
        ]
        several = folds[0].several
        logits = mean_of_folds(np.stack([fold.select(record.views).logits for fold in folds]), several)
        members.append(from_logits(logits, several))
        ids = folds[0].ids.tolist()
    expected = record.blend.apply(np.stack(members)) if half is None else np.array(half.probe)
    images = np.asarray(load_images(layout)[load_index(layout).rows_of(ids)])
    run = run_bundle(candidate, images, inputs=True, python=python)
    difference = float(np.abs(run.proba - expected).max())
    if difference > TOLERANCE:
        raise BundleError(
            f"the bundle's probabilities differ from the kit's by {difference:.2g}, more than the allowed {TOLERANCE:g}"
        )
    decided = np.asarray(record.blend.answer(run.proba))
    if not record.blend.params.several and decided.dtype.kind != "f":
        decided = np.array(answers(record.classes))[classes_of(decided)]
    if run.labels.shape != decided.shape or not np.allclose(run.labels, decided):
        raise BundleError("the bundle's answers are not those that its own probabilities decide")
    return run, difference


def proof_of(
    made_from: Digests,
    paths: SubmissionPaths,
    settings: BundleConfig,
    run: BundleRun,
    difference: float,
    half: HalfRecord | None,
) -> Proof:
    """The record of a zip that ran."""
    return Proof(
        made_from=made_from,
        files=digests_of(paths.root, paths.bundle),
        sha256=digest(paths.bundle),
        kit_absent=run.kit_absent,
        network=run.network,
        network_removed=run.network == "namespace",
        other_working_directory=run.elsewhere,
        probe_images=len(run.labels),
        difference=difference,
        difference_allowed=TOLERANCE,
        accepted=tuple(run.accepted),
        refused=run.refused,
        load_seconds=run.starting_seconds,
        images=run.timed_images,
        predict_seconds=run.timed_seconds,
        peak_mb=run.peak_mb,
        zip_mb=paths.bundle.stat().st_size / 1e6,
        limits=Limits(
            images=settings.images,
            seconds=run.seconds_for(settings.images),
            max_seconds=settings.max_seconds,
            max_memory_mb=settings.max_memory_mb,
            max_mb=settings.max_mb,
        ),
        float16=half,
        versions=run.versions,
    )
