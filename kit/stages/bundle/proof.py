"""Run the zip without the kit on the probe images, hold its answers against the kit's own, and its costs to limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit.config import BundleConfig
from kit.errors import BundleError
from kit.judge.metrics import classes_of
from kit.platforms.sandbox import BundleRun, run_bundle
from kit.runs.costs import seconds_per_1000
from kit.runtime.forward import mean_of_folds
from kit.runtime.names import answers
from kit.runtime.pool import from_logits
from kit.stages.bundle.contents import fold_paths, fold_predictions, weights_name
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


@dataclass(frozen=True)
class MemberCost:
    """Megabytes of a member's weights in the zip; seconds for 1,000 images under all views, None where not timed."""

    name: str
    mb: float
    seconds: float | None

    def __str__(self) -> str:
        timed = "not timed" if self.seconds is None else f"{self.seconds:.3g} s per 1,000 images"
        return f"{self.name} {self.mb:.3g} MB, {timed}"


def member_costs(layout: Layout, record: Ensemble, weights: Mapping[str, Path]) -> list[MemberCost]:
    """What each member of the zip costs."""
    views, found = len(record.used_views), []
    for member in record.used_members:
        folds = fold_paths(layout, member)
        size = sum(weights[weights_name(member, fold)].stat().st_size for fold in range(len(folds)))
        seconds = seconds_per_1000(folds)
        found.append(MemberCost(member.run, size / 1e6, None if seconds is None else seconds * views))
    return found


def check_size(settings: BundleConfig, mb: float, costs: list[MemberCost]) -> None:
    """Raise `BundleError` where a zip of ``mb`` megabytes is larger than ``max_mb``."""
    if settings.max_mb is not None and mb > settings.max_mb:
        weights = sum(cost.mb for cost in costs)
        what = f"the zip is {mb:.4g} MB, but [bundle] max_mb allows {settings.max_mb:g}: {_list(costs)}"
        raise BundleError(what, f"[ensemble] max_bundle_mb = {0.99 * weights * settings.max_mb / mb:.3g}")


def check_run(settings: BundleConfig, run: BundleRun, costs: list[MemberCost]) -> None:
    """Raise `BundleError` where the run took more time or memory than ``max_seconds`` or ``max_memory_mb``."""
    seconds = run.seconds_for(settings.images)
    if settings.max_seconds is not None and seconds > settings.max_seconds:
        left = settings.max_seconds - run.starting_seconds
        timed = [cost.seconds for cost in costs if cost.seconds is not None]
        hint = "raise [bundle] max_seconds: start-up alone takes longer" if left <= 0 else "[ensemble] max_members = 1"
        if left > 0 and len(timed) == len(costs):  # by how the zip's time compares with that of the folds
            allowed = 0.95 * sum(timed) * left / (run.rate * settings.images)
            hint = f"[ensemble] max_seconds_per_1000 = {allowed:.3g}"
        raise BundleError(
            f"{settings.images} images take {seconds:.3g} s, of which {run.starting_seconds:.3g} s to start, but "
            f"[bundle] max_seconds allows {settings.max_seconds:g}: {_list(costs)}",
            hint,
        )
    if settings.max_memory_mb is not None and run.peak_mb > settings.max_memory_mb:
        raise BundleError(
            f"the bundle used {run.peak_mb:.0f} MB of memory, but [bundle] max_memory_mb allows "
            f"{settings.max_memory_mb:g}: {_list(costs)}",
            f"[bundle] batch_size = {max(1, settings.batch_size // 4)}",
        )


def _list(costs: list[MemberCost]) -> str:
    return "; ".join(str(cost) for cost in costs)
