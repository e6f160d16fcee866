"""The page: sections in the order in which a reader asks, one template, one file; and what it was made of."""

import platform
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kit import __version__
from kit.base.events import Emit, Event
from kit.config import Config
from kit.config.base import UNLABELLED
from kit.show.figures import page_style
from kit.stages.report.attention import attention
from kit.stages.report.evidence import balance, calibration, classes, confusion, curves, worth
from kit.stages.report.inputs import Facts
from kit.stages.report.pictures import augmentation, cleaning
from kit.stages.report.section import Section, count, number, percent, signed
from kit.stages.report.standing import forecast, headline, standing, stress
from kit.store.candidate import Proof
from kit.store.data import UnlabelledRecord
from kit.store.files import lock, read_text, sha256_file, write_atomic
from kit.store.layout import Layout
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
    for part in UNLABELLED:
        given = facts.read(UnlabelledRecord, facts.layout.manifest_of(part))
        rows += [(part, given.images[:CUT])] if given else []
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


# What a page may weigh and still be sent around.
LARGEST = 5_000_000
ONE_CLASS = ("Confusion", "Attention")  # of images with several labels there are none
# In the order of the page, with their labels. A function returns its section, or the command that writes what it needs.
# Adding a section is a function here and a template of its name.
SECTIONS: tuple[tuple[str, Callable[[Facts], Section | str]], ...] = (
    ("Result", headline), ("Data", cleaning), ("Folds", balance), ("Training", curves), ("Confusion", confusion),
    ("Classes", classes), ("Calibration", calibration), ("Ensemble", worth), ("Stress", stress), ("Forecast", forecast),
    ("Leaderboard", standing), ("Augmentation", augmentation), ("Attention", attention), ("Provenance", provenance),
)  # fmt: skip


def report(layout: Layout, config: Config, emit: Emit, out: Path, *, compute: bool = True) -> Path:
    """Write the page to ``out``; a section without files says which command makes them."""
    facts = Facts(layout, config, emit, compute=compute)
    sections = []
    with lock(layout.data_lock, "data/", shared=True):  # while they are made, the page would say that there are none
        for label, make in SECTIONS:
            facts.problems.clear()
            found = facts.attempt(partial(make, facts)) or ""  # one that cannot be made does not take the page with it
            if label in ONE_CLASS and facts.evidence is not None and facts.evidence.task.several:
                continue
            section = Section(run=found) if isinstance(found, str) else found
            for problem in facts.problems:
                said = f"the section `{make.__name__}` is {'left out' if section.data is None else 'incomplete'}"
                emit(Event("warn", f"{said}: {problem.message}: {problem.hint}".rstrip(": ")))
            sections.append(replace(section, key=make.__name__, label=label, problems=tuple(facts.problems)))
    text = page(config.competition.name, sections)
    if len(text.encode()) > LARGEST:
        emit(Event("warn", f"the page is {len(text.encode()) / 1e6:.1f} MB large; some mail servers refuse it"))
    path = write_atomic(out, text)
    missing = [section for section in sections if section.data is None and not section.problems]
    for command in dict.fromkeys(one.run for one in missing if compute or one.key != attention.__name__):
        emit(Event("say", f"not in the report yet: {command}"))
    emit(Event("wrote", "", {"paths": [path]}))
    return path


def page(name: str, sections: list[Section]) -> str:
    """The HTML of the sections; every name is escaped where it is put in."""
    files = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(files), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "number": number, "signed": signed, "count": count, "soft": soft}
    style = page_style() + (files / "style.css").read_text(encoding="utf-8")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return environment.get_template("page.html").render(name=name, sections=sections, style=style, now=now)


def soft(words: object) -> Markup:
    """Escaped text in which a long name may break after its joints."""
    return Markup(re.sub(r"(?<=[_/-])", "<wbr>", str(escape(words))))
