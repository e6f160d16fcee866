"""What a zip has to show before it counts.

It runs without the kit on the probe images, its answers are held against the kit's own, and its costs to limits.
float16 weights may be shipped where the blend's score out of fold is the same with and without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.events import Emit, Event
from kit.config import BundleConfig, Config
from kit.errors import BundleError
from kit.judge import score
from kit.judge.metrics import classes_of
from kit.judge.seen import seen_of
from kit.platforms.sandbox import BundleRun, run_bundle
from kit.runs.costs import seconds_per_1000
from kit.runtime import arrays, backbones, forward, pool
from kit.runtime.forward import mean_of_folds
from kit.runtime.names import answers
from kit.stages.bundle.contents import fold_paths, fold_predictions, weights_name
from kit.store.candidate import Ensemble, HalfRecord, Limits, Member, Proof
from kit.store.data import Index, load_images, load_index
from kit.store.layout import Layout
from kit.store.predictions import Predictions, join
from kit.store.record import Digests, digest, digests_of

# TensorFlow 2.16 and 2.21 agree to 1e-5 on every family of networks (docs/bundle.md).
TOLERANCE = 1e-4
AGREE = 5e-4  # .05 points; a point is a hundredth of the metric


def prove(
    layout: Layout, record: Ensemble, candidate: Path, half: HalfRecord | None = None, python: Path | None = None
) -> tuple[BundleRun, float]:
    """Run the zip; returns what it answered and the largest difference of a probability.

    That is from what the blend says with float16 weights (``half``), else from what the networks said when they were
    trained. ``python`` is as for `run_bundle`. Raises `BundleError` where it fails, or says something else.
    """
    members, ids = [], []
    for member in record.members:
        folds = fold_predictions(layout, member, "probe", record.views)
        several = folds[0].several
        logits = mean_of_folds(np.stack([fold.logits for fold in folds]), several)
        members.append(pool.from_logits(logits, several))
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


# What the record of a zip that ran says in the words of the run and of ``[bundle]``.
OF_RUN = ("kit_absent", "network", "accepted", "refused", "peak_mb", "versions")
OF_SETTINGS = ("images", "max_seconds", "max_memory_mb", "max_mb")


def proof_of(
    made_from: Digests, bundle: Path, settings: BundleConfig, run: BundleRun, difference: float, half: HalfRecord | None
) -> Proof:
    """The record of a ``bundle`` that ran."""
    return Proof(
        made_from=made_from,
        files=digests_of(bundle.parent, bundle),
        sha256=digest(bundle),
        network_removed=run.network == "namespace",
        other_working_directory=run.elsewhere,
        probe_images=len(run.labels),
        difference=difference,
        difference_allowed=TOLERANCE,
        load_seconds=run.starting_seconds,
        images=run.timed_images,
        predict_seconds=run.timed_seconds,
        zip_mb=bundle.stat().st_size / 1e6,
        limits=Limits(
            seconds=run.seconds_for(settings.images), **{name: getattr(settings, name) for name in OF_SETTINGS}
        ),
        float16=half,
        **{name: getattr(run, name) for name in OF_RUN},
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


def measure(layout: Layout, config: Config, record: Ensemble, halved: Mapping[str, Path], emit: Emit) -> HalfRecord:
    """Predict every held-out row again, with the weights of the fold that did not train on it.

    ``halved`` has the name in the zip and the file of the weights. A probe would not do: .05 points are one row in
    2,000. It costs what predicting out of fold cost when the members were trained, for the members and views that the
    blend uses. The blend is fitted once, on the float32 predictions: what differs is the weights alone.
    """
    index, images, members = load_index(layout), load_images(layout), record.used_members
    before, after, probes = [], [], []
    for number, member in enumerate(members):
        emit(Event("progress", f"bundle: {member.run} in float16", {"done": number, "total": len(members)}))
        stored = [fold_predictions(layout, member, kind, record.used_views) for kind in ("valid", "probe")]
        files = [halved[weights_name(member, fold)] for fold in range(member.folds)]
        again = _again(member, files, stored, index, images, config.bundle.batch_size)
        of_all = [join(parts, config.folds.held_out, index.ids, index.classes) for parts in (stored[0], again[0])]
        before.append(of_all[0].logits)
        after.append(of_all[1].logits)
        probes.append(mean_of_folds(np.stack([part.logits for part in again[1]]), again[1][0].several))
    ids = of_all[0].ids.tolist()
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


def _again(
    member: Member, files: Sequence[Path], stored: Sequence[Sequence[Predictions]], index: Index, images: Any, size: int
) -> list[list[Predictions]]:
    """What is ``stored`` of each fold, predicted again with the weights in ``files``, ``size`` images at once."""
    model = backbones.build(member.network).model
    passed = forward.compile_forward(model)
    made: list[list[Predictions]] = [[] for _ in stored]
    for file, *olds in zip(files, *stored, strict=True):
        arrays.assign(model, str(file))
        for old, new in zip(olds, made, strict=True):
            logits = forward.logits(passed, images, index.rows_of(old.ids), old.views, size)
            if not np.isfinite(logits).all():
                said = f"with float16 weights, {file.name} gives predictions that are not finite"
                raise BundleError(said, "half_precision = false")
            new.append(replace(old, logits=logits))
    return made


def _blend(record: Ensemble, members: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    params = record.blend.params
    return np.asarray(params.narrowed().apply(pool.from_logits(np.stack(members), bool(params.several))))
