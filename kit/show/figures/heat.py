"""Tables whose cells are tinted by their value: folds and classes, confusion, corruptions, pairs of members."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.show.figures import Panel, svg

MOST_ROWS, MOST_CLASSES = 60, 20
LINE, LABEL = 24.0, 130.0  # px of a row, and the most for its name
WHOLE = ("clean", "mixture")  # lines of a run's table that are not a family of corruptions


class Cell(NamedTuple):
    """A cell: its ``tint`` is the opacity of the colour of its ``kind``, a pointer over it says ``title``."""

    text: str
    kind: str = ""
    tint: float = 0.0
    title: str = ""


Row = tuple[str, list[Cell]]
"""A name and its cells."""


def heat(columns: Sequence[str], rows: Sequence[Row], title: str, note: str, alternative: str) -> Panel:
    """The rows under the names of their columns; title, note and alternative are those of the `Panel`."""
    letters = max((len(cell.text) for _, cells in rows for cell in cells), default=1)
    wide = max(26.0 if len(columns) > 14 else 32.0, svg.LETTER * letters + 12)
    left = min(LABEL, 8 + svg.LETTER * max((len(name) for name, _ in rows), default=0))
    names = max(map(len, columns), default=0)
    turned = svg.LETTER * names > wide
    top = min(LABEL, 10 + svg.LETTER * names) if turned else 18.0
    parts = []
    for place, name in enumerate(columns):
        x = left + (place + 0.5) * wide
        parts.append(
            svg.text(x + 4, top - 6, name, "muted", room=top - 8, turned=True)
            if turned
            else svg.text(x, top - 6, name, "muted", "middle")
        )
    for number, (name, cells) in enumerate(rows):
        y = top + number * LINE
        parts.append(svg.text(0, y + 16, name, room=left - 4))
        for place, cell in enumerate(cells):
            x = left + place * wide
            parts.append(svg.box(x, y, (wide - 2, LINE - 2), cell.kind, opacity=cell.tint, title=cell.title))
            parts.append(svg.text(x + wide / 2 - 1, y + 15, cell.text, "" if cell.kind else "muted", "middle"))
    return Panel(title, note, alternative, parts, top + LINE * len(rows), max(left + wide * len(columns), 120.0))


def balance(classes: Sequence[str], counts: npt.ArrayLike) -> Panel:
    """Images of each class in each fold, ``counts`` (F, C); the tint is the distance from an even share."""
    table = np.array(counts, np.float64).T  # classes, folds
    even = table.mean(axis=1, keepdims=True)
    away = (table - even) / np.maximum(even, 1e-9)

    def counted(images: float, far: float) -> Cell:
        return Cell(f"{images:.0f}", "more" if far > 0 else "less", min(2 * abs(float(far)), 0.6), f"{far:+.0%}")

    rows = [
        (classes[c], [*map(counted, table[c], away[c]), Cell(f"{table[c].sum():.0f}")])
        for c in np.argsort(-table.sum(axis=1), kind="stable")[:MOST_ROWS].tolist()
    ]
    rows.append(("all", [Cell(f"{n:.0f}") for n in (*table.sum(axis=0), table.sum())]))
    folds = table.shape[1]
    about = f"{table.sum():.0f} images of {len(table)} classes in {folds} folds; largest deviation from an even share"
    return heat(
        [*map(str, range(folds)), "all"],
        rows,
        "Images of each class in each fold",
        "blue: more than an even share, orange: fewer",
        f"{about}: {np.abs(away).max():.0%}",
    )


def confusion(counts: npt.NDArray[Any], classes: Sequence[str], name: str) -> Panel:
    """Shares of each true class that were given each name, of ``counts`` (C, C); of many classes the most mistaken."""
    errors = counts - np.diag(np.diag(counts))
    worst = np.argsort(-errors.sum(axis=0) - errors.sum(axis=1), kind="stable")
    shown = sorted(worst[:MOST_CLASSES].tolist())

    def cell(true: int, given: int) -> Cell:
        count, total = float(counts[true, given]), max(float(counts[true].sum()), 1.0)
        share = count / total
        # Errors are what a reader looks for: a tenth of a class must be seen beside a diagonal of nine tenths.
        tint = 0.08 + 0.3 * share if given == true else min(0.75 * share**0.6, 0.55)
        words = "" if not count else f"{100 * share:.0f}" if share >= 0.005 else "·"
        said = f"{count:.0f} of {total:.0f} {classes[true]} predicted as {classes[given]}"
        return Cell(words, "right" if given == true else "wrong", tint if count else 0.0, said)

    rows = [(classes[c], [*(cell(c, g) for g in shown), Cell(f"{counts[c].sum():.0f}")]) for c in shown]
    right, every = counts.trace(), max(float(counts.sum()), 1.0)
    cut = f"; the {len(shown)} of {len(classes)} classes with the most errors" if len(shown) < len(classes) else ""
    return heat(
        [*(classes[c] for c in shown), "images"],
        rows,
        f"{name}: {right / every:.2%} of {every:,.0f} correct, out-of-fold",
        f"percentage of each true class (rows) by predicted class (columns){cut}",
        f"Confusion of {len(classes)} classes by {name}: {every - right:.0f} errors in {every:.0f} images",
    )


def drops(lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """What each kind of damage costs by severity, the dearest first: the mean over lines of ``stress.csv`` of runs."""
    found: dict[str, dict[int, list[float]]] = {}
    for line in lines:
        if line["family"] not in WHOLE and line["drop"] != "nan":  # of a sample that has no score
            degrees = found.setdefault(line["family"], {})
            degrees.setdefault(int(float(line["severity"])), []).append(float(line["drop"]))
    means = {family: {degree: float(np.mean(cell)) for degree, cell in by.items()} for family, by in found.items()}
    return dict(sorted(means.items(), key=lambda pair: -sum(pair[1].values()) / len(pair[1])))


def losses(found: Mapping[str, Mapping[int, float]], metric: str, name: str) -> Panel:
    """The `drops` of a run, or the mean of several, in hundredths of the metric."""
    columns = sorted({degree for by in found.values() for degree in by})

    def loss(drop: float) -> Cell:
        text = f"{100 * drop:.0f}" if abs(drop) >= 0.005 else "·"
        kind, tint = "less" if drop > 0 else "more", min(1.3 * abs(drop), 0.6)
        return Cell(text.replace("-", "−"), kind, tint, f"{drop:.4f}".replace("-", "−"))

    rows = [(family.replace("-", " "), [loss(by.get(d, 0.0)) for d in columns]) for family, by in found.items()]
    about = f"Loss of {metric} by corruption and severity, largest first: {', '.join(name for name, _ in rows)}"
    note = f"loss of {metric} in hundredths, by severity"
    return heat([str(degree) for degree in columns], rows, f"{name} under stress", note, about)


def pairs(table: npt.NDArray[Any], names: Sequence[str], title: str) -> Panel:
    """A table (M, M) of correlations or disagreements of members."""
    rows = [
        (name, [Cell(f"{v:.2f}", "more" if v > 0 else "less", min(abs(float(v)), 1.0) * 0.6) for v in line])
        for name, line in zip(names, table, strict=True)
    ]
    return heat(names, rows, title, "out-of-fold", f"{title} of {len(names)} networks")
