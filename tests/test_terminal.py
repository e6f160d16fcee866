"""Commands on narrow, plain, piped and real terminals, beside what they printed when somebody last looked.

`make docs` writes `tests/snapshots/` anew, as `KIT_SNAPSHOTS=write` does: look at the difference and commit it.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import invent
from rich.cells import cell_len
from test_cli import run

from kit.show.console import GUTTER, columns_that_fit

pytestmark = pytest.mark.stage

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = ("80", "40")
PLAIN = {"no-color": {"NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}, "piped": {}}
BLEND = ["ensemble", "--oof", "first.npz", "second.npz"]
# Every command at least once: what it says in a clone that has predictions and no weights, or of a mistake.
TALK = (
    ["init"], ["recipes"], ["download"], ["clean", "--force"], ["folds", "--force"], ["train"], ["train", "nobody"],
    ["stress", "--sheet"], ["sweep", "first", "--list"], ["compare"], ["ensemble"], BLEND, ["forecast"], ["table"],
    ["bundle"], ["submit", "--dry-run"], ["predict", "--bundle", "none.zip", "--input", "raw/train.npz"], ["lb"],
    ["export", "nobody"], ["report", "--no-attention"], ["backbones"],
)  # fmt: skip
LISTS = ("backbones", "recipes")  # lines for other programs are never broken
ELSEWHERE = {"doctor", "augment", "probe"}  # what it says is of the machine; the others need TensorFlow


def matches(name: str, text: str) -> None:
    """Compare with the snapshot of that name, or write it where that was asked for."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("KIT_SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} is behind what is printed: make docs"


def command_names() -> list[str]:
    import typer

    from kit.cli import app

    return list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def settled(text: str) -> str:
    """Output without what differs from run to run, in the same width: hashes, and decimals that are no layout."""
    text = re.sub(r"\d{8}T\d{6}Z", "20260101T000000Z", text)
    text = re.sub(r"(?<![\w.])[0-9a-f]{8}(?!\w)", "abcdef01", text)
    text = re.sub(r"\d\.\d{4}", "0.0000", text)
    text = re.sub(r"(?<=[-+])\d+\.\d\d\b", lambda found: re.sub(r"\d", "0", found[0]), text)
    return re.sub(r"\d\.\de-\d\d", "0.0e-00", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invented project, submitted three days ago by somebody called kit."""
    folder = tmp_path_factory.mktemp("terminal") / "project"
    folder.mkdir()
    invent(folder)
    then = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    for path in (*folder.glob("submissions/*/events/*.json"), *folder.glob("submissions/leaderboard/*.json")):
        path.write_text(json.dumps({**json.loads(path.read_text()), "time": then, "who": "kit"}))
    for path in folder.glob("runs/*/oof.npz"):
        with np.load(path) as oof:
            name = path.parent.name.rpartition("-")[0]
            np.savez(folder / f"{name}.npz", ids=oof["ids"], classes=oof["classes"], logits=oof["logits"][0])
    for path in folder.glob("runs/*/fold-*/weights.npz"):
        path.unlink()
    run(folder, "train")  # draws what is drawn once
    return folder


def test_every_command_is_looked_at() -> None:
    assert {arguments[0] for arguments in TALK} | ELSEWHERE == set(command_names())


@pytest.mark.parametrize("columns", WIDTHS)
def test_help_fits_and_is_what_it_was(columns: str, tmp_path: Path) -> None:
    parts = []
    for name in ["", *command_names()]:
        arguments = [*name.split(), "--help"]
        done = run(tmp_path, *arguments, COLUMNS=columns)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= int(columns), name
        parts.append(f"$ kit {' '.join(arguments)}\n{done.stdout}")
    matches(f"help-{columns}", "\n".join(parts))


@pytest.mark.matrix
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("kind", PLAIN)
def test_what_commands_say_fits_and_is_what_it_was(columns: str, kind: str, folder: Path, tmp_path: Path) -> None:
    parts = []
    for arguments in TALK:
        done = run(tmp_path if arguments == ["init"] else folder, *arguments, COLUMNS=columns, **PLAIN[kind])
        talk = "" if arguments is BLEND else done.stderr  # a sentence with figures wraps as they are long
        text = f"$ kit {' '.join(arguments)}\n{done.stdout}{talk}"
        assert "\x1b" not in text
        for line in done.stdout.splitlines():
            assert cell_len(line) <= int(columns) or arguments[0] in LISTS, line
        for line in done.stderr.splitlines():
            assert cell_len(line.rstrip()) <= int(columns) or line.startswith(("error: ", "hint: ")), line
        parts.append(settled(text))
    matches(f"talk-{columns}", "\n".join(parts))  # the same for all kinds: plain text is plain text


@pytest.mark.matrix
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("kind", PLAIN)
def test_what_the_doctor_says_fits(columns: str, kind: str, folder: Path) -> None:
    done = run(folder, "doctor", COLUMNS=columns, **PLAIN[kind])
    assert "\x1b" not in done.stdout + done.stderr
    assert all(cell_len(line) <= int(columns) for line in done.stdout.splitlines())
    first = [line.split("  ")[0].strip() for line in done.stdout.splitlines()]
    assert {"python", "tensorflow", "project", "data.train", "disk"} <= set(first)


@pytest.mark.tf
@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("kind", PLAIN)
def test_what_augment_says_fits_and_is_what_it_was(columns: str, kind: str, folder: Path) -> None:
    done = run(folder, "augment", "first", COLUMNS=columns, **PLAIN[kind])
    assert (done.stdout, done.stderr) == ("", "clean: fresh\nwrote runs/first-augment.png\n")


@pytest.mark.tf
def test_tensorflow_greets_nobody(folder: Path) -> None:
    command = [sys.executable, "-m", "kit", "augment", "second"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == "clean: fresh\nwrote runs/second-augment.png\n"


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(10, 100))
def test_columns_are_dealt_out_in_order_and_fit_where_they_can(widths: list[int], room: int) -> None:
    groups = columns_that_fit(widths, room)
    assert [place for group in groups for place in group if place] == list(range(1, len(widths)))
    for group in groups:
        assert group[0] == 0
        assert sum(widths[place] + GUTTER for place in group) - GUTTER <= room or len(group) <= 2


def test_no_number_is_cut_on_a_narrow_terminal(folder: Path) -> None:
    done = run(folder, *BLEND, COLUMNS="40")
    assert len(re.findall(r"(?<![\d.])\d\.\d{4}(?!\d)", done.stdout)) >= 20
    assert not re.findall(r"(?<![\d.])\d\.\d{1,3}(?!\d)", done.stdout)


def on_a_terminal(folder: Path, columns: int, *arguments: str, **variables: str) -> str:
    """What a command writes to a real terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-m", "kit", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color", **variables}
    )
    os.close(theirs)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    assert process.wait() == 0
    return b"".join(pieces).decode()


@pytest.mark.matrix
@pytest.mark.parametrize("columns", [80, 40])
def test_a_real_terminal_has_colour_and_no_line_too_long(columns: int, folder: Path) -> None:
    shown = on_a_terminal(folder, columns, "folds", "--force")
    assert "\x1b[" in shown
    for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines():
        assert cell_len(line) <= columns


@pytest.mark.matrix
def test_no_color_takes_the_colour_from_a_real_terminal(folder: Path) -> None:
    shown = on_a_terminal(folder, 80, "folds", "--force", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9](;5;\d+)?m", shown)
    assert "wrote" in shown


@pytest.mark.matrix
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_options(shell: str, tmp_path: Path) -> None:
    """What the shells ask typer: the script that `kit --show-completion` prints calls the command like this."""

    def completed(words: str) -> str:
        asked = {"_KIT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words, "COMP_WORDS": words}
        asked |= {"COMP_CWORD": str(len(words.split(" ")) - 1), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        script = "import sys; from kit.__main__ import main; sys.argv = ['kit']; main()"
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, **asked}, cwd=tmp_path, capture_output=True, text=True
        )
        return done.stdout

    assert {"ensemble", "report"} <= set(re.findall(r"[a-z]+", completed("kit ")))
    assert "report" in completed("kit rep") and "train" not in completed("kit rep")
    assert "--max-hours" in completed("kit train --max")
