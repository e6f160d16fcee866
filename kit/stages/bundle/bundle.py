"""The stage: build the zip, prove it, and keep it only then."""

from pathlib import Path
from tempfile import TemporaryDirectory

from kit.base.events import Emit, Event
from kit.config import Config
from kit.platforms.sandbox import environment
from kit.runs.costs import write_halved
from kit.stages.bundle import proof
from kit.stages.bundle.card import card
from kit.stages.bundle.contents import VERSION, runtime_files, weights_of, zip_members
from kit.stages.bundle.proof import check, check_run, check_size, measure, member_costs
from kit.store.candidate import Ensemble, HalfRecord, Proof
from kit.store.files import lock, sha256_json, write_atomic, write_zip
from kit.store.layout import Layout, SubmissionPaths
from kit.store.record import Digests, digest


def bundle(layout: Layout, config: Config, paths: SubmissionPaths, emit: Emit, *, force: bool = False) -> None:
    """Write ``bundle.zip`` of a candidate and prove it; ``proof.json`` is written last and means that it may go out.

    Raises `BundleError`, and keeps no zip, where it fails, is over a limit, or predicts otherwise than the kit.
    """
    with lock(layout.data_lock, "data/", shared=True), lock(layout.bundle_lock, "the bundle", wait=True):
        record = Ensemble.load(paths.ensemble)
        made_from = lineage(layout, config, record)
        if not force and paths.card.exists() and Proof.fresh(paths.proof, made_from):
            emit(Event("fresh", "bundle", {"stage": "bundle", "submission": paths.root.name}))
            return
        _make(layout, config, paths, record, made_from, emit)


def _make(
    layout: Layout, config: Config, paths: SubmissionPaths, record: Ensemble, made_from: Digests, emit: Emit
) -> None:
    paths.proof.unlink(missing_ok=True)
    candidate = paths.bundle.with_suffix(".unproven")
    try:
        with TemporaryDirectory(prefix="kit-bundle-") as folder:
            weights, half = _weights(layout, config, record, Path(folder), emit)
            write_zip(candidate, zip_members(config, record, weights))
            costs = member_costs(layout, record, weights)
        check_size(config.bundle, candidate.stat().st_size / 1e6, costs)
        run, difference = proof.prove(layout, record, candidate, half)
        check_run(config.bundle, run, costs)
        candidate.replace(paths.bundle)
    finally:
        candidate.unlink(missing_ok=True)
    proven = proof.proof_of(made_from, paths.bundle, config.bundle, run, difference, half)
    write_atomic(paths.card, card(layout, config, paths, record, proven))
    proven.save(paths.proof)
    isolation = "without network access" if proven.network_removed else "network blocked in Python only"
    text = (
        f"the bundle ran without the kit, {isolation}: {proven.probe_images} images, probabilities within "
        f"{difference:.1e} of the kit's; {proven.peak_mb:.0f} MB of memory, {proven.zip_mb:.1f} MB zip; "
        f"{proven.limits.images} images take {proven.limits.seconds:.1f} s here"
    )
    emit(Event("say", text))
    emit(Event("wrote", "", {"paths": [paths.bundle, paths.proof, paths.card]}))


def against(layout: Layout, paths: SubmissionPaths, requirements: str, emit: Emit) -> None:
    """Run a proven bundle under other versions; `BundleError` where they do not install, or it fails or differs."""
    emit(Event("say", f"preparing an environment with {requirements} (once; takes a few minutes)"))
    record, half = Ensemble.load(paths.ensemble), Proof.load(paths.proof).float16
    run, difference = proof.prove(layout, record, paths.bundle, half, environment(requirements))
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    emit(Event("say", f"predictions are the same within {difference:.1e} under {versions}"))


def lineage(layout: Layout, config: Config, record: Ensemble) -> Digests:
    """What the zip is made from."""
    return {
        "bundle": str(VERSION),
        "ensemble": sha256_json(record.model_dump(mode="json")),
        "weights": sha256_json({name: digest(path) for name, path in weights_of(layout, record).items()}),
        "runtime": sha256_json([digest(path) for path in runtime_files()]),
        "settings": sha256_json([config.bundle.model_dump(mode="json"), config.data.resize]),
    }


def _weights(
    layout: Layout, config: Config, record: Ensemble, folder: Path, emit: Emit
) -> tuple[dict[str, Path], HalfRecord | None]:
    """The weights that go into the zip, as float16 where that is wanted and costs nothing."""
    weights = weights_of(layout, record)
    size = sum(path.stat().st_size for path in weights.values()) / 1e6
    settings = config.bundle
    wanted = settings.half_precision
    if wanted == "auto":
        wanted = settings.weights_mb is not None and size > settings.weights_mb
    if not wanted:
        return weights, None
    emit(Event("say", "float16 weights: every held-out row is predicted again"))
    halved = {name: write_halved(path, folder / Path(name).name) for name, path in weights.items()}
    found = measure(layout, config, record, halved, emit)
    check(found, record.metric, f"and the float32 weights take {size:.4g} MB")
    text = (
        f"float16 weights keep {record.metric} out of fold: {found.score:.5f}, with float32 {found.score_float32:.5f} "
        f"({found.rows} rows, no probability changes by more than {found.largest_change:.1e})"
    )
    emit(Event("say", text))
    return halved, found
