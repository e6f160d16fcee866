"""The page: sections in the order in which a reader asks, one template, one file."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kit.base.events import Emit, Event
from kit.config import Config
from kit.show.figures import page_style
from kit.stages.report.attention import attention
from kit.stages.report.augmentation import augmentation
from kit.stages.report.balance import balance
from kit.stages.report.cleaning import cleaning
from kit.stages.report.confusion import classes, confusion
from kit.stages.report.curves import curves
from kit.stages.report.inputs import Facts
from kit.stages.report.provenance import provenance
from kit.stages.report.section import Section, count, number, percent, signed
from kit.stages.report.shift import forecast, stress
from kit.stages.report.standing import headline, standing
from kit.stages.report.worth import calibration, worth
from kit.store.files import write_atomic
from kit.store.layout import Layout

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
    for label, make in SECTIONS:
        facts.problems.clear()
        found = facts.attempt(partial(make, facts)) or ""  # one that cannot be made does not take the page with it
        if label in ONE_CLASS and facts.evidence is not None and facts.evidence.task.several:
            continue
        section = Section(run=found) if isinstance(found, str) else found
        for problem in facts.problems:
            said = "is left out" if section.data is None else "is incomplete"
            emit(Event("warn", f"the section `{make.__name__}` {said}: {problem.message}: {problem.hint}".rstrip(": ")))
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
    text = str(escape(words))
    for joint in ("_", "/", "-"):
        text = text.replace(joint, joint + "<wbr>")
    return Markup(text)  # what was put in is escaped above
