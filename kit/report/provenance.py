"""Versions and hashes: what this page was made of, and from which files it can be made again."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from kit import __version__
from kit.data import UnlabelledRecord
from kit.files import sha256_file
from kit.partition import FoldsRecord
from kit.report.facts import Facts, read
from kit.report.section import Section
from kit.results import RunRecord
from kit.store.candidate import Proof

PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy", "scipy", "scikit-learn", "pillow")


def provenance(facts: Facts) -> Section:
    """The configuration, hashes of data, folds, runs and bundle, versions of libraries."""
    return Section(
        "provenance",
        "Provenance",
        "The same inputs give the same files",
        "Hashes are SHA-256, cut to their first sixteen digits; whole ones stand in the manifests of the stages.",
        {
            "groups": [
                {"name": "Inputs", "rows": _inputs(facts)},
                {"name": "Candidate", "rows": _candidate(facts)},
                {"name": "Versions", "rows": _versions(facts)},
            ],
            "config": facts.layout.config.read_text(encoding="utf-8", errors="replace"),
            "config_name": facts.layout.config.name,
        },
    )


def _inputs(facts: Facts) -> list[tuple[str, str]]:
    rows = [(facts.layout.config.name, _cut(sha256_file(facts.layout.config)))]
    if facts.index is not None:
        rows.append(("data", _cut(facts.index.training)))
    test = read(UnlabelledRecord, facts.layout.test_manifest)
    rows += [("test", _cut(test.images))] if test else []
    folds = read(FoldsRecord, facts.layout.folds_manifest(facts.config.folds.name))
    rows += [(f"folds/{name}", _cut(sha)) for name, sha in (folds.files.items() if folds else ())]
    for name, paths in facts.runs.items():
        run = read(RunRecord, paths.manifest)
        rows.append((f"run {name.rpartition('-')[0]}", _cut(run.made_from["run"] if run else "")))
    return rows


def _candidate(facts: Facts) -> list[tuple[str, str]]:
    if facts.candidate is None or facts.ensemble is None:
        return []
    paths = facts.candidate.paths
    rows = [("name", facts.candidate.name), ("key", _cut(facts.ensemble.key))]
    if paths.bundle.exists():
        rows.append(("bundle.zip", _cut(sha256_file(paths.bundle))))
        rows.append(("megabytes", f"{paths.bundle.stat().st_size / 1e6:.1f}"))
    proof = read(Proof, paths.proof)
    facts_of_proof = [(name, value) for name, value in proof or () if isinstance(value, int | float)]
    return rows + [(f"proof: {name.replace('_', ' ')}", _said(value)) for name, value in facts_of_proof]


def _said(value: float) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.4g}"


def _versions(facts: Facts) -> list[tuple[str, str]]:
    """What is installed here; where runs were trained with something else, that too."""
    here = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            here[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    there: dict[str, set[str]] = {}
    for paths in facts.runs.values():
        run = read(RunRecord, paths.manifest)
        for name, version in run.versions.items() if run else ():
            there.setdefault(name, set()).add(version)
    rows = [("kit", __version__), ("system", f"{sys.platform}, {platform.machine()}"), *here.items()]
    other = {name: ", ".join(sorted(found)) for name, found in there.items() if found != {here.get(name)}}
    return [*rows, *((f"trained with {name}", found) for name, found in other.items())]


def _cut(digest: Any) -> str:
    return str(digest)[:16]
