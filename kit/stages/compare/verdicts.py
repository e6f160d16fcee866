"""Comparisons in a table and in plain words."""

from collections.abc import Sequence

from kit.base.events import Emit, Event
from kit.judge import score
from kit.stages.compare.effects import NOTHING, Compared, SeedNoise


def amount(metric: str, value: float) -> str:
    """A signed difference: in points of a hundred where the metric is a share, else as it is."""
    return f"{100 * value:+.2f}" if score.lookup(metric).greater_is_better else f"{value:+.4f}"


def unit(metric: str) -> str:
    """What `amount` counts."""
    return "points" if score.lookup(metric).greater_is_better else metric


def sentence(metric: str, line: Compared, base: str) -> str:
    """One line of plain words on a recipe against the base."""
    found, said, name = line.effect, line.verdict, line.recipe
    if found is None:
        return f"{name} is the baseline"
    span = f"{amount(metric, found.low)} to {amount(metric, found.high)} {unit(metric)}"
    if said == NOTHING:
        return f"{name} against {base}: {NOTHING} ({span})"
    tail = ", but among so many comparisons one may look like this by chance" if said.startswith("perhaps") else ""
    return f"{name} is {said} than {base} by {amount(metric, abs(found.gain))[1:]} {unit(metric)} ({span}){tail}"


def tell(emit: Emit, metric: str, kind: str, rows: int, lines: Sequence[Compared]) -> None:
    """The table of one kind of rows, every recipe against the first, and the same in words."""
    base = lines[0].recipe
    header = ("recipe", "seeds", metric, "between seeds", f"gain ({unit(metric)})", "95 % interval", "")
    cells = []
    for line in lines:
        spread = "" if line.between_seeds is None else f"{line.between_seeds:.4f}"
        told = ("", "", "")
        if (found := line.effect) is not None:
            span = f"{amount(metric, found.low)} to {amount(metric, found.high)}"
            told = (amount(metric, found.gain), span, line.verdict)
        cells.append((line.recipe, len(line.runs), line.score, spread, *told))
    emit(Event("table", f"{rows} {kind} held-out rows, against {base}", {"header": header, "rows": cells}))
    for line in lines[1:]:
        emit(Event("say", f"{kind}: {sentence(metric, line, base)}"))


def tell_noise(emit: Emit, noise: SeedNoise, metric: str, base: str) -> None:
    """How far scores move with the seed, or how to find out."""
    if noise.known:
        many = f"{noise.freedom + 1} runs" if noise.freedom == 1 else f"{noise.freedom} differences"
        told = amount(metric, noise.deviation)[1:]
        emit(Event("say", f"scores vary by {told} {unit(metric)} between seeds (standard deviation, from {many})"))
        return
    emit(Event("warn", "every recipe has one seed: intervals cover the noise of the rows, not that of retraining"))
    emit(Event("say", f"to measure that too, train a run that differs from {base} only in `seed` and name it here"))
