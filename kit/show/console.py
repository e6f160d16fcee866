"""How events look: on a terminal data on standard output, talk on standard error; in a notebook under the cell.

Whatever is shown passes `kit.base.text.plain`, so that no name or message of somebody else moves the cursor.
"""

from __future__ import annotations

import base64
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from html import escape
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
# Events that are a line of text: what stands before it, and its style.
LINES = {"say": ("", ""), "warn": ("warning: ", "yellow"), "progress": ("", "dim")}


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
            if self._quiet and event.kind != "warn":
                return
            event = replace(event, text=plain(event.text))
            if event.kind in LINES:
                before, style = LINES[event.kind]
                self._line(before + event.text, style)
            elif event.kind in ("plan", "unit"):
                self._progress.update(event)
            else:  # a method of its name, for a notebook shows some of them in another way
                getattr(self, f"_{event.kind}")(event)

    def _wrote(self, event: Event) -> None:
        here = Path.cwd()
        for path in event.data["paths"]:
            near = path.relative_to(here) if path.is_relative_to(here) else path
            self._line(f"wrote {plain(str(near))}", "dim")

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
        header = [Text(shown(name)) for name in event.data["header"]]
        rows = [
            [Text(shown(cell), justify="right" if isinstance(cell, int | float) else "left") for cell in row]
            for row in event.data["rows"]
        ]
        columns = zip(header, *rows, strict=True)
        texts = ([line for cell in column for line in cell.plain.splitlines()] for column in columns)
        widths = [max(map(cell_len, lines), default=0) for lines in texts]
        title = event.text
        for places in columns_that_fit(widths, self._out.width):
            table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
            for place in places:
                table.add_column(header[place], header_style="dim", overflow="fold")
            for row in rows:
                table.add_row(*(row[place] for place in places))
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


def shown(value: Any) -> str:
    """A cell of a table."""
    return f"{value:.4f}" if isinstance(value, float) else plain(str(value))


def print_error(message: str, hint: str) -> None:
    """A user's mistake: what, on one line, and below it the command or key that mends it."""
    message, hint = (plain(" ".join(text.splitlines())) for text in (message, hint))
    console = RichConsole(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print()
        console.print(Text.assemble(("hint: ", "bold"), hint))


def print_lines(lines: Iterable[str]) -> None:
    """Plain lines of data on standard output."""
    sys.stdout.writelines(f"{plain(line)}\n" for line in lines)


# A page within a notebook makes it as large again; a larger one is only named.
LARGEST_PAGE = 2_000_000
HTML = "text/html"
PICTURES = {".svg": "image/svg+xml", ".png": "image/png"}
CELL = "padding:.15em .8em .15em 0;text-align:{side};font-variant-numeric:tabular-nums;white-space:nowrap"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can show more than text."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class Notebook(Console):
    """Shows the events of the stages under the cell that called them; ``display`` takes texts by type of content."""

    def __init__(self, display: Callable[[dict[str, str]], object] | None = None) -> None:
        super().__init__()
        # IPython comes with the notebook, it is no package of the kit's.
        shown = display or partial(importlib.import_module("IPython.display").display, raw=True)
        self._display: Callable[[dict[str, str]], object] = shown
        # Lines, not widgets: they stay in the file, and Colab and Kaggle show them as they come.
        self._talk = RichConsole(file=sys.stdout, force_terminal=False, force_jupyter=False, highlight=False, width=100)
        self._progress = Progress(self._talk)

    def _table(self, event: Event) -> None:
        self._display({HTML: table(event.text, event.data["header"], event.data["rows"])})

    def _wrote(self, event: Event) -> None:
        for path in map(Path, event.data["paths"]):
            self._line(f"wrote {path}")
            if path.suffix in PICTURES:
                self._display({HTML: picture(path)})
            if path.suffix == ".html" and path.stat().st_size < LARGEST_PAGE:
                self._display({HTML: frame(path.read_text(encoding="utf-8"))})


def picture(path: Path) -> str:
    """A picture in place, as an image: SVG that stood in the page itself would give it its style."""
    content = base64.b64encode(path.read_bytes()).decode()
    name = escape(plain(path.stem), quote=True)
    return f'<img style="max-width:100%" alt="{name}" src="data:{PICTURES[path.suffix]};base64,{content}">'


def table(title: str, header: Any, rows: Any) -> str:
    """A table as HTML; every cell is escaped, numbers stand to the right."""

    def cell(tag: str, value: Any) -> str:
        side = "right" if isinstance(value, int | float) else "left"
        return f'<{tag} style="{CELL.format(side=side)}">{escape(shown(value))}</{tag}>'

    head = "".join(cell("th", name) for name in header)
    body = "".join(f"<tr>{''.join(cell('td', value) for value in row)}</tr>" for row in rows)
    caption = f"<b>{escape(title)}</b>" if title else ""
    return f'{caption}<div style="overflow-x:auto"><table><tr>{head}</tr>{body}</table></div>'


def frame(page: str) -> str:
    """A page inside a page, neither of which sees the other's style."""
    style = "width:100%;height:640px;border:1px solid #8884;border-radius:6px"
    return f'<iframe sandbox title="report" style="{style}" srcdoc="{escape(page, quote=True)}"></iframe>'
