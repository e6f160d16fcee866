"""``kit bundle``: a self-contained zip that has run before it counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit import __version__
from kit import runtime as runtime_package
from kit.config import Config
from kit.data import load_images, load_index
from kit.environments import environment
from kit.errors import BundleError
from kit.files import is_fresh, read_json, sha256_file, sha256_json, write_atomic, write_json, write_zip
from kit.layout import FoldPaths, Layout, RunPaths, SubmissionPaths
from kit.records import Emit, Event, load_predictions
from kit.runtime import pool
from kit.runtime.forward import mean_of_folds, softmax
from kit.sandbox import BundleRun, run_bundle

VERSION = 1
PACKAGE = "kit_runtime"
TOLERANCE = 1e-4

MODEL = {
    "an2dl-2024": f"from {PACKAGE}.contracts import Model\n",
    "codalab-legacy": f"from {PACKAGE}.contracts import Legacy as model\n",
}
# Codabench copies a submission without this file into its outputs, weights included.
METADATA = b"description: predictor with its weights\n"


def bundle(layout: Layout, config: Config, paths: SubmissionPaths, emit: Emit, *, force: bool = False) -> None:
    """Write ``bundle.zip`` of a candidate and prove it; ``proof.json`` is written last and means that it may go out.

    Raises
    ------
    BundleError
        Where the zip does not run or does not give the kit's own predictions; it is not kept then.
    """
    record = read_json(paths.ensemble)
    key = _key(layout, config, record)
    if not force and is_fresh(paths.proof, key, [paths.bundle, paths.card]):
        emit(Event("fresh", "bundle", {"stage": "bundle", "submission": paths.root.name}))
        return
    paths.proof.unlink(missing_ok=True)
    candidate = write_zip(paths.bundle.with_suffix(".unproven"), _members(layout, config, record))
    try:
        run, difference = _prove(layout, record, candidate)
        candidate.replace(paths.bundle)
    finally:
        candidate.unlink(missing_ok=True)
    write_atomic(paths.card, _card(paths, record, run))
    write_json(paths.proof, _proof(key, paths, run, difference))
    megabytes = paths.bundle.stat().st_size / 1e6
    isolation = "without network" if not run.network else "network not taken away: no name spaces here"
    emit(
        Event(
            "say",
            f"the bundle ran without the kit, {isolation}: {len(run.labels)} images, {run.predict_seconds:.1f} s, "
            f"{run.peak_mb:.0f} MB, {megabytes:.1f} MB zip, at most {difference:.1e} from the kit's probabilities",
        )
    )
    emit(Event("wrote", "", {"paths": [paths.bundle, paths.proof, paths.card]}))


def _key(layout: Layout, config: Config, record: dict[str, Any]) -> str:
    weights = [sha256_file(path.weights) for path in _fold_paths(layout, record)]
    code = [sha256_file(path) for path in _runtime_files()]
    settings = config.bundle.model_dump(mode="json")
    return sha256_json({"version": VERSION, "ensemble": record["key"], "weights": weights, "code": code, **settings})


def _fold_paths(layout: Layout, record: dict[str, Any]) -> list[FoldPaths]:
    return [
        RunPaths(layout.runs / member["folder"]).fold(fold)
        for member in record["members"]
        for fold in range(member["folds"])
    ]


def _runtime_files() -> list[Path]:
    return sorted(Path(runtime_package.__path__[0]).glob("*.py"))


def used(params: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Positions of the members and of the views that a blend uses at all."""
    parts = params["parts"]
    members = [
        m for m in range(len(parts[0]["weights"])) if any(part["weights"][m] or part["slopes"][m] for part in parts)
    ]
    return members, [v for v, weight in enumerate(params["views"] or ()) if weight]


def _members(layout: Layout, config: Config, record: dict[str, Any]) -> dict[str, Path | bytes]:
    """Name in the zip and content of every file."""
    files: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in _runtime_files()}
    files["model.py"] = MODEL[config.bundle.contract].encode()
    files["metadata"] = METADATA
    members, views = used(record["blend"]["params"])
    described = []
    for position in members:
        member = record["members"][position]
        names = [f"weights/{member['run']}-{fold}.npz" for fold in range(member["folds"])]
        folds = [RunPaths(layout.runs / member["folder"]).fold(fold).weights for fold in range(member["folds"])]
        files |= dict(zip(names, folds, strict=True))
        described.append({"name": member["run"], "network": member["network"], "weights": names})
    description = {
        "version": VERSION,
        "classes": record["classes"],
        "size": record["members"][0]["network"]["size"],
        "views": [record["views"][view] for view in views],
        "members": described,
        "blend": narrowed(record["blend"]["params"], members, views),
        "resize": config.data.resize,
        "batch_size": config.bundle.batch_size,
    }
    files["bundle.json"] = (json.dumps(description, indent=1, sort_keys=True) + "\n").encode()
    files["SHA256SUMS"] = _checksums(files)
    return files


def _checksums(files: dict[str, Path | bytes]) -> bytes:
    """What `sha256sum --check SHA256SUMS` reads."""
    digests = {
        name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)
        for name, content in files.items()
    }
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(files)).encode()


def narrowed(params: dict[str, Any], members: Sequence[int], views: Sequence[int]) -> dict[str, Any]:
    """The same blend for a selection of members and views that leaves out only what it does not use."""
    per_member = ("temperatures", "weights", "slopes", "ranks")
    parts = [
        {key: [value[m] for m in members] if key in per_member else value for key, value in part.items()}
        for part in params["parts"]
    ]
    return {**params, "views": [params["views"][view] for view in views], "parts": parts}


def against(layout: Layout, paths: SubmissionPaths, requirements: str, emit: Emit) -> None:
    """Run a proven bundle under other versions of the libraries, in an environment of their own.

    Raises
    ------
    BundleError
        Where the versions cannot be installed, or the bundle fails or predicts something else with them.
    """
    emit(Event("say", f"an environment with {requirements} (made once, some minutes)"))
    record = read_json(paths.ensemble)
    run, difference = _prove(layout, record, paths.bundle, environment(requirements))
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    emit(Event("say", f"the same predictions to {difference:.1e} under {versions}"))


def _prove(
    layout: Layout, record: dict[str, Any], candidate: Path, python: Path | None = None
) -> tuple[BundleRun, float]:
    """Run the zip on the probe images and compare with what the networks said where they were trained."""
    expected, ids = expected_probe(layout, record)
    index = load_index(layout)
    position = {name: row for row, name in enumerate(index.ids)}
    images = np.asarray(load_images(layout)[[position[name] for name in ids]])
    run = run_bundle(candidate, images, inputs=True, python=python)
    difference = float(np.abs(run.proba - expected).max())
    if difference > TOLERANCE:
        raise BundleError(
            f"the bundle's probabilities differ from the kit's by {difference:.2g}, allowed is {TOLERANCE:g}"
        )
    if (run.labels != run.proba.argmax(axis=1)).any():
        raise BundleError("the bundle's class indices are not the largest of its own probabilities")
    return run, difference


def expected_probe(layout: Layout, record: dict[str, Any]) -> tuple[Any, list[str]]:
    """Probabilities (P, C) that the blend gives on the probe images from the networks' logits, and their ids."""
    members, ids = [], []
    for member in record["members"]:
        run = RunPaths(layout.runs / member["folder"])
        folds = [load_predictions(run.fold(fold).probe) for fold in range(member["folds"])]
        rows = [folds[0].views.index(view) for view in record["views"]]
        logits = mean_of_folds(np.stack([fold.logits[rows] for fold in folds]))
        members.append(softmax(logits.astype(np.float64)))
        ids = folds[0].ids.tolist()
    return pool.apply(record["blend"]["params"], np.stack(members)), ids


def _proof(key: str, paths: SubmissionPaths, run: BundleRun, difference: float) -> dict[str, Any]:
    return {
        "key": key,
        "sha256": sha256_file(paths.bundle),
        "images": len(run.labels),
        "difference": difference,
        "load_seconds": run.load_seconds,
        "predict_seconds": run.predict_seconds,
        "peak_mb": run.peak_mb,
        "versions": run.versions,
        "network_removed": not run.network,
    }


def _card(paths: SubmissionPaths, record: dict[str, Any], run: BundleRun) -> str:
    """A page about the candidate that a team can read and commit."""
    cv = record["cv"]
    blend = record["blend"]
    lines = [
        f"# Submission {paths.root.name}",
        "",
        f"Made by kit {__version__}. {record['metric']} out of fold: **{cv['score']:.4f}** "
        f"(95 % interval {cv['low']:.4f} - {cv['high']:.4f}, {record['rows']} rows).",
        "",
        "The interval is of the blend on out-of-fold rows. On new images every member is the mean of its fold models,",
        "which is a little better and less sharp than any single one of them.",
        "",
        "| member | backbone | folds | weight | temperature |",
        "|---|---|---|---|---|",
    ]
    for position, member in enumerate(record["members"]):
        lines.append(
            f"| {member['run']} | {member['network']['backbone']} | {member['folds']} | "
            f"{blend['weights'][position]:.3f} | {blend['temperatures'][position]:.2f} |"
        )
    views = [f"{name} {weight:.2f}" for name, weight in zip(record["views"], blend["views"], strict=True) if weight]
    lines += ["", f"Blend: {blend['method']}. Views: {', '.join(views)}.", ""]
    lines += [f"- {note}" for note in blend["notes"]]
    lines += [
        "",
        f"Proof: {len(run.labels)} images in {run.predict_seconds:.1f} s, {run.peak_mb:.0f} MB, without the kit.",
    ]
    return "\n".join(lines) + "\n"
