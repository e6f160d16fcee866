"""The first screen: what to expect, what came, where that leaves us."""

from __future__ import annotations

from dataclasses import dataclass

from kit.ledger.standing import Line
from kit.report.facts import Facts
from kit.report.section import Section, count, number, percent, signed
from kit.report.shift import expectations
from kit.report.strips import Dot, Strip, strip
from kit.store.record import Figure


@dataclass(frozen=True)
class Shown:
    """A figure in large type."""

    value: str
    label: str
    note: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Headline:
    """The figures, and those that are scores of the metric on one axis."""

    figures: list[Shown]
    strip: Strip
    metric: str


def headline(facts: Facts) -> Section:
    """Cross-validation with its interval, what a shifted test would make of it, the last score and the rank."""
    if facts.ensemble is None:
        return Section("headline", "Result", run="kit ensemble --all")
    metric, cv = facts.config.competition.metric, facts.ensemble.cv
    line = last_scored(facts)
    dots = [Dot("cross-validation", cv.score, cv.low, cv.high, kind="accent")]
    dots += [Dot(*expected) for expected in expectations(facts)]
    if line is not None and line.attempt.score is not None:
        dots.append(Dot("last score", line.attempt.score, kind="warn"))
    return Section(
        "headline",
        "Result",
        _title(metric, cv, line),
        _lead(facts, cv, line),
        Headline(_figures(facts, cv, line), strip(dots), metric),
    )


def last_scored(facts: Facts) -> Line | None:
    """The newest submission that has a score."""
    return next((line for line in reversed(facts.lines) if line.attempt.score is not None), None)


def _title(metric: str, cv: Figure, line: Line | None) -> str:
    said = f"{metric.capitalize()} {number(cv.score)} out of fold"
    if line is None or line.gap is None:
        return f"{said}; nothing has been scored yet"
    if line.low <= (line.attempt.score or 0.0) <= line.high:
        return f"{said}, and the platform agrees: {number(line.attempt.score)}"
    return f"{said}, but {number(line.attempt.score)} on the platform"


def _lead(facts: Facts, cv: Figure, line: Line | None) -> str:
    assert facts.ensemble is not None
    rows, members = facts.ensemble.rows, len(facts.ensemble.members)
    text = (
        f"A blend of {count(members, 'network')}, judged on {count(rows, 'image')} that it was not fitted on. "
        f"With other images of the same kind the figure would lie between {number(cv.low)} and "
        f"{number(cv.high)} in 95 of 100 cases."
    )
    if line is not None and line.gap is not None and not line.low <= (line.attempt.score or 0.0) <= line.high:
        text += (
            f" The score lies {signed(line.gap)} away from that: the test is not more of the same, and the interval "
            "knows nothing of it."
        )
    return text


def _figures(facts: Facts, cv: Figure, line: Line | None) -> list[Shown]:
    interval = f"{number(cv.low)} – {number(cv.high)}"
    found = [Shown(number(cv.score), "cross-validation", interval, "accent")]
    for name, value, low, high in expectations(facts):
        found.append(Shown(number(value), name, f"{number(low)} – {number(high)}" if low is not None else ""))
    if line is not None:
        found.append(Shown(number(line.attempt.score), "last score", f"{signed(line.gap)} against CV", "warn"))
    rank = facts.snapshots[-1].rank if facts.snapshots else None
    if rank is not None:
        of = facts.snapshots[-1].lines
        note = f"of {of:,}, the best {percent(rank / of)}" if of > 9 else f"of {of}"
        found.append(Shown(str(rank), "rank", note))
    return found
