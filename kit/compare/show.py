"""Comparisons in a table and in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from kit import score
from kit.compare.effects import Effect, Recipe, SeedNoise
from kit.records import Emit, Event

SURE = 0.05
PERCENT = 100.0


def verdict(effect: Effect, adjusted: float) -> str:
    """What a difference is: `better`, `worse`, `perhaps better`, `perhaps worse` or `no difference to be seen`.

    ``adjusted`` is the p value that allows for the others of the table.
    """
    if effect.p >= SURE:
        return "no difference to be seen"
    which = "better" if effect.gain > 0 else "worse"
    return which if adjusted < SURE else f"perhaps {which}"


def amount(metric: str, value: float) -> str:
    """A signed difference: in points of a hundred where the metric is a share, else as it is."""
    bounded = score.lookup(metric).greater_is_better
    return f"{PERCENT * value:+.2f}" if bounded else f"{value:+.4f}"


def unit(metric: str) -> str:
    """What `amount` counts."""
    return "points" if score.lookup(metric).greater_is_better else metric


def sentence(metric: str, recipe: str, base: str, effect: Effect, said: str) -> str:
    """One line of plain words on a recipe against the base."""
    span = f"{amount(metric, effect.low)} to {amount(metric, effect.high)} {unit(metric)}"
    if said == "no difference to be seen":
        return f"{recipe}: no difference to {base} to be seen; it lies between {span}"
    tail = "" if not said.startswith("perhaps") else ", but of so many differences one looks like this by chance"
    return f"{recipe} is {said} than {base} by {amount(metric, abs(effect.gain))[1:]} {unit(metric)} ({span}){tail}"


def tell(
    emit: Emit, metric: str, kind: str, rows: int, recipes: Sequence[Recipe], lines: Sequence[dict[str, object]]
) -> None:
    """The table of one kind of rows: every recipe against the first."""
    base = recipes[0].name
    header = ("recipe", "seeds", metric, "between seeds", f"gain ({unit(metric)})", "95 % interval", "")
    cells = [_cells(metric, line) for line in lines]
    emit(Event("table", f"{rows} {kind} held-out rows, against {base}", {"header": header, "rows": cells}))
    for line in lines[1:]:
        effect, said = line["effect"], str(line["verdict"])
        assert isinstance(effect, Effect)
        emit(Event("say", f"{kind}: {sentence(metric, str(line['recipe']), base, effect, said)}"))


def _cells(metric: str, line: dict[str, object]) -> tuple[object, ...]:
    effect, spread = line["effect"], line["between_seeds"]
    shown = f"{spread:.4f}" if isinstance(spread, float) else ""
    start = (line["recipe"], line["seeds"], line["score"], shown)
    if not isinstance(effect, Effect):
        return (*start, "", "", "")
    span = f"{amount(metric, effect.low)} to {amount(metric, effect.high)}"
    return (*start, amount(metric, effect.gain), span, line["verdict"])


def tell_noise(emit: Emit, noise: SeedNoise, metric: str, base: str) -> None:
    """How far scores move with the seed, or how to find out."""
    if noise.known:
        many = f"{noise.freedom + 1} runs" if noise.freedom == 1 else f"{noise.freedom} differences"
        told = amount(metric, noise.deviation)[1:]
        emit(Event("say", f"between seeds one run moves by {told} {unit(metric)} (standard deviation, from {many})"))
        return
    emit(Event("warn", "every recipe has one seed: intervals tell the noise of the rows, not that of training again"))
    emit(Event("say", f"a run that differs from {base} in `seed` alone, trained and named here, shows the other noise"))
