"""How events look in a notebook: tables as HTML, pictures and pages in place, the rest as lines of text."""

import base64
import importlib
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole

from kit.base.events import Event
from kit.base.text import plain
from kit.show.console import Console
from kit.show.progress import Progress

# A page within a notebook makes it as large again; a larger one is only named.
LARGEST_PAGE = 2_000_000
PICTURES = {".svg": "image/svg+xml", ".png": "image/png"}
CELL = "padding:.15em .8em .15em 0;text-align:{side};font-variant-numeric:tabular-nums;white-space:nowrap"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can show more than text."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class Notebook(Console):
    """Shows the events of the stages under the cell that called them; ``display`` is IPython's by default."""

    def __init__(self, display: Callable[[Any], object] | None = None) -> None:
        super().__init__()
        # IPython comes with the notebook, it is no package of the kit's.
        self._display: Callable[[Any], object] = display or importlib.import_module("IPython.display").display
        # Lines, not widgets: they stay in the file, and Colab and Kaggle show them as they come.
        self._talk = RichConsole(file=sys.stdout, force_terminal=False, force_jupyter=False, highlight=False, width=100)
        self._progress = Progress(self._talk)

    def _table(self, event: Event) -> None:
        self._display(Html(table(event.text, event.data["header"], event.data["rows"])))

    def _wrote(self, event: Event) -> None:
        for path in map(Path, event.data["paths"]):
            self._line(f"wrote {path}")
            if path.suffix in PICTURES:
                self._display(Html(picture(path)))
            if path.suffix == ".html" and path.stat().st_size < LARGEST_PAGE:
                self._display(Html(frame(path.read_text(encoding="utf-8"))))


class Html:
    """HTML, in the way that notebooks ask objects for it."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html


def picture(path: Path) -> str:
    """A picture in place, as an image: SVG that stood in the page itself would give it its style."""
    content = base64.b64encode(path.read_bytes()).decode()
    name = escape(plain(path.stem), quote=True)
    return f'<img style="max-width:100%" alt="{name}" src="data:{PICTURES[path.suffix]};base64,{content}">'


def table(title: str, header: Any, rows: Any) -> str:
    """A table as HTML; every cell is escaped, numbers stand to the right."""

    def cell(tag: str, value: Any) -> str:
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        side = "right" if isinstance(value, int | float) else "left"
        return f'<{tag} style="{CELL.format(side=side)}">{escape(plain(text))}</{tag}>'

    head = "".join(cell("th", name) for name in header)
    body = "".join(f"<tr>{''.join(cell('td', value) for value in row)}</tr>" for row in rows)
    caption = f"<b>{escape(title)}</b>" if title else ""
    return f'{caption}<div style="overflow-x:auto"><table><tr>{head}</tr>{body}</table></div>'


def frame(page: str) -> str:
    """A page inside a page, neither of which sees the other's style."""
    style = "width:100%;height:640px;border:1px solid #8884;border-radius:6px"
    return f'<iframe sandbox title="report" style="{style}" srcdoc="{escape(page, quote=True)}"></iframe>'
