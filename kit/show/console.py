"""How events look on a terminal: data on standard output, talk on standard error.

Whatever is shown passes `kit.base.text.plain`, so that no name or message of somebody else moves the cursor.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from kit.base.events import Event
from kit.base.text import plain
from kit.show.progress import Progress

GUTTER = 2  # between the columns of a table


class Console:
    """Renders the events of a command; use it as a context, so that the live display ends with it.

    A ``quiet`` one prints nothing but warnings: the caller prints JSON.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        # In a pipe lines stay whole: another program reads them, not a person with a narrow window.
        self._out = RichConsole(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._talk = RichConsole(stderr=True, highlight=False)
        self._progress = Progress(self._talk)
        self._lock = threading.Lock()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def emit(self, event: Event) -> None:
        """Show one event; safe to call from several threads."""
        with self._lock:
            if not self._quiet or event.kind == "warn":
                RENDERERS[event.kind](self, replace(event, text=plain(event.text)))

    def _wrote(self, event: Event) -> None:
        here = Path.cwd()
        for path in event.data["paths"]:
            shown = path.relative_to(here) if path.is_relative_to(here) else path
            self._line(f"wrote {plain(str(shown))}", "dim")

    def _number(self, event: Event) -> None:
        data = event.data
        line = Text.assemble(f"{event.text}: ", (f"{data['value']:.4f}", "bold"))
        if "error" in data:
            line.append(f" +- {data['error']:.4f}")
        if "cv" in data:
            line.append(f", cross-validation score {data['cv']:.4f}")
        if "low" in data:
            line.append(f" ({data['low']:.4f} - {data['high']:.4f})")
        self._talk.print(line)

    def _fresh(self, event: Event) -> None:
        about = f" ({event.data['submission']})" if "submission" in event.data else ""
        self._line(f"{event.data['stage']}: fresh{about}", "dim")

    def _table(self, event: Event) -> None:
        header = [_cell(name) for name in event.data["header"]]
        rows = [list(row) for row in event.data["rows"]]
        title = event.text
        columns = zip(header, *rows, strict=True)
        texts = ([line for cell in column for line in _cell(cell).splitlines()] for column in columns)
        widths = [max(map(cell_len, lines), default=0) for lines in texts]
        for places in columns_that_fit(widths, self._out.width):
            table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
            for place in places:
                table.add_column(Text(header[place]), header_style="dim", overflow="fold")
            for row in rows:
                cells = [row[place] for place in places]
                table.add_row(
                    *(Text(_cell(cell), justify="right" if isinstance(cell, int | float) else "left") for cell in cells)
                )
            self._out.print(table)
            title = ""

    def _line(self, text: str, style: str = "") -> None:
        self._talk.print(Text(text, style))


def columns_that_fit(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns dealt out to as many tables as the room needs, in order; each begins with the first column.

    >>> columns_that_fit([5, 6, 6, 6], 22)
    [[0, 1, 2], [0, 3]]
    """
    groups, used = [[0]], widths[0]
    for place, wide in enumerate(widths[1:], 1):
        if used + GUTTER + wide > room and len(groups[-1]) > 1:
            groups.append([0])
            used = widths[0]
        groups[-1].append(place)
        used += GUTTER + wide
    return groups


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else plain(str(value))


# By the kind of the event; through the console itself, for a notebook shows some of them in another way.
RENDERERS: dict[str, Callable[[Console, Event], None]] = {
    "say": lambda console, event: console._line(event.text),
    "warn": lambda console, event: console._line(f"warning: {event.text}", "yellow"),
    "fresh": lambda console, event: console._fresh(event),
    "wrote": lambda console, event: console._wrote(event),
    "progress": lambda console, event: console._line(event.text, "dim"),
    "plan": lambda console, event: console._progress.update(event),
    "unit": lambda console, event: console._progress.update(event),
    "number": lambda console, event: console._number(event),
    "table": lambda console, event: console._table(event),
}


def print_error(message: str, hint: str) -> None:
    """A user's mistake: what, on one line, and below it the command or key that mends it."""
    message, hint = (plain(" ".join(text.splitlines())) for text in (message, hint))
    console = RichConsole(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print()
        console.print(Text.assemble(("hint: ", "bold"), hint))


def print_json(value: Any) -> None:
    """Data for programs, on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Plain lines of data on standard output."""
    sys.stdout.writelines(f"{plain(line)}\n" for line in lines)
