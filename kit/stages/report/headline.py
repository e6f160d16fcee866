"""The first screen: what to expect, what came, where that leaves us."""

from kit.show.figures.strips import Dot, strip
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, number, percent, signed
from kit.stages.report.shift import expectations
from kit.store.ledger.standing import Line


def headline(facts: Facts) -> Section | str:
    """Cross-validation with its interval, what a shifted test would make of it, the last score and the rank."""
    if facts.ensemble is None:
        return "kit ensemble --all"
    metric, cv = facts.config.competition.metric, facts.ensemble.cv
    title = f"{metric.capitalize()} {number(cv.score)} out of fold"
    lead = (
        f"A blend of {count(len(facts.ensemble.members), 'network')}, judged on {count(facts.ensemble.rows, 'image')} "
        f"that it was not fitted on. With other images of the same kind the figure would lie between {number(cv.low)} "
        f"and {number(cv.high)} in 95 of 100 cases."
    )
    dots = [Dot("cross-validation", cv.score, cv.low, cv.high, kind="accent"), *expectations(facts)]
    line = next((line for line in reversed(facts.lines) if line.attempt.score is not None), None)
    if line is None or line.attempt.score is None:
        title += "; nothing has been scored yet"
    else:
        dots.append(Dot("last score", line.attempt.score, kind="warn"))
        if line.low <= line.attempt.score <= line.high:
            title += f", and the platform agrees: {number(line.attempt.score)}"
        else:
            title += f", but {number(line.attempt.score)} on the platform"
            lead += (
                f" The score differs from that by {signed(line.gap)}: the test images are not of the same kind, which "
                "the interval does not account for."
            )
    several = strip(metric, dots) if len(dots) > 1 else None
    return Section(title, lead, {"figures": _figures(facts, dots, line), "strip": several})


def _figures(facts: Facts, dots: list[Dot], line: Line | None) -> list[tuple[str, str, str, str]]:
    """In large type: value, label, note and kind of each."""

    def interval(dot: Dot) -> str:
        if dot.kind == "warn" and line is not None:
            return f"{signed(line.gap)} against CV"
        return f"{number(dot.low)} – {number(dot.high)}" if dot.low is not None else ""

    found = [(number(dot.value), dot.name, interval(dot), dot.kind) for dot in dots]
    rank = facts.snapshots[-1].rank if facts.snapshots else None
    if rank is not None:
        of = facts.snapshots[-1].lines
        note = f"of {of:,}, top {percent(rank / of)}" if of > 9 else f"of {of}"  # a share of few says nothing
        found.append((str(rank), "rank", note, ""))
    return found
