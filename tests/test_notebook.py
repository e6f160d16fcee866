"""The notebook door: `from kit import Project`, events as HTML and pictures, and the example that anyone can run."""

from __future__ import annotations

import base64
import html.parser
import json
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit
from kit.base.events import Event
from kit.project import Project
from kit.show.console import Console, Notebook, frame, in_notebook, table

pytestmark = pytest.mark.stage

EXAMPLE = Path(__file__).parent.parent / "examples" / "practice.ipynb"
HOSTILE = "<script>alert(1)</script>"


class Text(html.parser.HTMLParser):
    """Tags and words of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def cells(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_the_project_is_at_the_top_of_the_package_and_the_package_stays_light() -> None:
    assert kit.Project is Project
    script = "import sys, kit; print(kit.__version__, 'numpy' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [kit.__version__, "False", "False"]
    with pytest.raises(AttributeError, match="Projekt"):
        kit.__getattr__("Projekt")


def test_a_project_does_what_the_commands_do() -> None:
    import typer

    from kit.cli import app

    before = {"init", "recipes", "backbones", "doctor"}  # they begin a project or look at the machine
    names = {"lb": "leaderboard"}
    for command in set(typer.main.get_command(app).commands) - before:  # type: ignore[attr-defined]
        assert callable(getattr(Project, names.get(command, command), None)), command


def test_a_notebook_shows_what_a_terminal_shows() -> None:
    assert issubclass(Notebook, Console)  # so that no kind of event is known to one of them alone
    assert not in_notebook()


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False), st.integers()), max_size=5), st.text())
def test_cells_are_text_whatever_they_hold(rows: list[tuple[Any, ...]], title: str) -> None:
    shown = Text(table(title, (HOSTILE, "b", "c"), rows))
    assert set(shown.tags) <= {"b", "div", "table", "tr", "th", "td"}
    assert HOSTILE in shown.words
    assert shown.tags.count("td") == 3 * len(rows)


def test_tables_pictures_and_lines_stand_under_the_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "digits"\nimage_size = 8\n', encoding="utf-8")
    shown: list[Any] = []
    project = Project(tmp_path, emit=Notebook(shown.append).emit)
    project.folds()
    tables = [thing["text/html"] for thing in shown]
    assert any("raw images" in text for text in tables)
    (drawn,) = [text for text in tables if text.startswith("<img ")]
    content = base64.b64encode(project.layout.folds_picture("folds").read_bytes()).decode()
    assert f'src="data:image/svg+xml;base64,{content}"' in drawn and 'alt="folds"' in drawn
    assert "wrote" in capsys.readouterr().out
    assert "digits" not in repr(project) and str(tmp_path) in repr(project)


def test_a_page_is_framed_and_cannot_leave_its_frame() -> None:
    inside = Text(frame(f'<p title="x">{HOSTILE}</p>'))
    assert inside.tags == ["iframe"]
    assert "".join(inside.words).strip() == ""


def test_warnings_numbers_and_fresh_stages_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = Notebook(print)
    notebook.emit(Event("warn", "[red]odd[/red]"))
    notebook.emit(Event("fresh", "", {"stage": "clean"}))
    notebook.emit(Event("number", "accuracy", {"value": 0.5, "low": 0.4, "high": 0.6, "cv": 0.55}))
    assert capsys.readouterr().out.splitlines() == [
        "warning: [red]odd[/red]",
        "clean: fresh",
        "accuracy: 0.5000, cross-validation score 0.5500 (0.4000 - 0.6000)",
    ]


def test_the_example_is_a_clean_notebook() -> None:
    notebook = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
    for source in cells(EXAMPLE):
        compile(source, str(EXAMPLE), "exec")


@pytest.mark.slow
@pytest.mark.tf
def test_the_example_runs_from_top_to_bottom(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    with chdir(tmp_path):
        for source in cells(EXAMPLE):
            exec(compile(source, str(EXAMPLE), "exec"), names)
    assert names["page"].exists()
    assert names["board"]["submissions"][0]["score"] is not None
    assert names["candidate"] == names["sent"]
    assert {record["kind"] for record in names["forecasts"]} == {"run", "ensemble"}
