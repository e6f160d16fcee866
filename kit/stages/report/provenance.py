"""Versions and hashes: what this page was made of, and from which files it can be made again."""

import platform
import sys
from contextlib import suppress
from importlib import metadata

from kit import __version__
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section
from kit.store.candidate import Proof
from kit.store.data import UnlabelledRecord
from kit.store.files import read_text, sha256_file
from kit.store.partition import FoldsRecord

CUT = 16  # digits of a hash that are shown
Lines = list[tuple[str, str]]


def provenance(facts: Facts) -> Section:
    """The configuration, hashes of data, folds, runs and bundle, versions of libraries."""
    return Section(
        "The same inputs give the same files",
        "Hashes are SHA-256, cut to their first sixteen digits; the full ones are in the manifests of the stages.",
        {
            "groups": [("Inputs", _inputs(facts)), ("Candidate", _candidate(facts)), ("Versions", _versions(facts))],
            "config": read_text(facts.layout.config),
            "config_name": facts.layout.config.name,
        },
    )


def _inputs(facts: Facts) -> Lines:
    rows = [(facts.layout.config.name, sha256_file(facts.layout.config)[:CUT])]
    if facts.index is not None:
        rows.append(("data", facts.index.training[:CUT]))
    test = facts.read(UnlabelledRecord, facts.layout.test_manifest)
    rows += [("test", test.images[:CUT])] if test else []
    folds = facts.read(FoldsRecord, facts.layout.folds_manifest(facts.config.folds.name))
    rows += [(f"folds/{name}", sha[:CUT]) for name, sha in (folds.files.items() if folds else ())]
    return rows + [(f"run {run.record.run}", run.record.made_from["run"][:CUT]) for run in facts.runs]


def _candidate(facts: Facts) -> Lines:
    if facts.candidate is None or facts.ensemble is None:
        return []
    paths = facts.candidate.paths
    rows = [("name", facts.candidate.name), ("key", facts.ensemble.key[:CUT])]
    if paths.bundle.exists():
        rows.append(("bundle.zip", sha256_file(paths.bundle)[:CUT]))
        rows.append(("megabytes", f"{paths.bundle.stat().st_size / 1e6:.1f}"))
    proof = facts.read(Proof, paths.proof)
    for name, value in proof or ():
        if isinstance(value, int | float):
            said = ("no", "yes")[value] if isinstance(value, bool) else f"{value:.4g}"
            rows.append((f"proof: {name.replace('_', ' ')}", said))
    return rows


def _versions(facts: Facts) -> Lines:
    """What is installed here; where runs were trained with something else, that too."""
    here = {"python": platform.python_version()}
    for name in ("tensorflow", "keras", "keras-cv", "numpy", "scipy", "scikit-learn", "pillow"):
        with suppress(metadata.PackageNotFoundError):
            here[name] = metadata.version(name)
    there: dict[str, set[str]] = {}
    for run in facts.runs:
        for name, version in run.record.versions.items():
            there.setdefault(name, set()).add(version)
    rows = [("kit", __version__), ("system", f"{sys.platform}, {platform.machine()}"), *here.items()]
    other = {name: ", ".join(sorted(found)) for name, found in there.items() if found != {here.get(name)}}
    return [*rows, *((f"trained with {name}", found) for name, found in other.items())]
