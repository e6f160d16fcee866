"""The command line as a user meets it: errors on one line with a hint, exit codes, what is printed where."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from kit import __version__
from kit.__main__ import main
from kit.runtime.backbones import BACKBONES

pytestmark = pytest.mark.stage


@dataclass
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *arguments: str, together: bool = False, **environment: str) -> Done:
    """Run a command in this process, as `python -m kit` would: starting Python each time takes most of a second.

    ``together`` puts both streams into ``stdout`` in the order in which they are written, as a terminal does.
    """
    out, talk = io.StringIO(), io.StringIO()
    talk = out if together else talk
    variables = {**os.environ, "COLUMNS": "80", **environment}
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        mock.patch.object(sys, "argv", ["kit", *arguments]),
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(talk),
    ):
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Done(code, out.getvalue(), talk.getvalue())


def save(folder: Path, name: str, shape: tuple[int, ...] = (40, 16, 16, 3), labels: list[int] | None = None) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(folder / name, images=images, labels=np.array(labels or [0, 1] * (shape[0] // 2)))


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"kit {__version__}\n"


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kit", "clean"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no kit.toml")


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    assert run(tmp_path, "nonsense").returncode == 2


MISTAKES = {
    "no project": (None, ["folds"], "no kit.toml in", "kit init"),
    "no project for files": (None, ["ensemble", "--oof", "a.npz"], "no kit.toml in", "--config labels.csv"),
    "unknown key": (
        '[data]\ntrain = "digits"\ntrian = 1\n',
        ["folds"],
        "unknown key `data.trian`",
        "did you mean `train`?",
    ),
    "missing file": (
        '[data]\ntrain = "raw/train.npz"\n',
        ["folds"],
        "no such file or folder",
        "give a path, or one of",
    ),
    "unknown suffix": ('[data]\ntrain = "kit.toml"\n', ["folds"], "'.toml' is not supported", "use one of"),
    "wrong shape": ('[data]\ntrain = "shape.npz"\n', ["folds"], "images have shape (4, 5), expected (N, H, W, 3)", ""),
    "label count": ('[data]\ntrain = "count.npz"\n', ["folds"], "labels have shape (3,), expected (40,)", ""),
    "unknown run": ('[data]\ntrain = "good.npz"\n', ["train", "nobody"], "no run 'nobody'", "known: "),
    "unknown backbone": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "resnet"\n',
        ["train"],
        "runs.a: unknown backbone 'resnet'",
        "known: ",
    ),
    "small images": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "mobilenetv2"\nweights = "imagenet"\n',
        ["train"],
        "mobilenetv2 needs images of at least 32 px, but these have 16",
        "image_size = 32",
    ),
    "unknown augmentation": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "plain-cnn"\naugment = [{ op = "cutmx" }]\n',
        ["train"],
        "unknown augmentation 'cutmx'",
        "did you mean `cutmix`?",
    ),
    "unknown augmentation key": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "plain-cnn"\naugment = [{ op = "cutmix", alfa = 1 }]\n',
        ["train"],
        "augmentation 'cutmix': unknown key `alfa`",
        "did you mean `alpha`?",
    ),
    "frozen from nothing": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "plain-cnn"\nstages = [{ train = "head", epochs = 1 }]\n',
        ["train"],
        "trains `head` on a backbone without pretrained weights",
        "stages = [",
    ),
    "weights file": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "plain-cnn"\nweights = "no.h5"\n',
        ["train"],
        "does not exist",
        'weights = "imagenet"',
    ),
    "untrained": (
        '[data]\ntrain = "good.npz"\n[runs.a]\nbackbone = "plain-cnn"\n',
        ["ensemble"],
        "fold 0 of run `a` has no predictions",
        "kit train a --fold 0",
    ),
    "nothing submitted": ('[data]\ntrain = "good.npz"\n', ["lb"], "", "make folds"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_a_hint_without_traceback(case: str, tmp_path: Path) -> None:
    text, arguments, said, hint = MISTAKES[case]
    if text is not None:
        (tmp_path / "kit.toml").write_text(text, encoding="utf-8")
    save(tmp_path, "good.npz")
    save(tmp_path, "shape.npz", (4, 5))
    save(tmp_path, "count.npz", labels=[0, 1, 0])
    raw = {path.name: path.read_bytes() for path in tmp_path.glob("*.npz")}
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert not hint or hint in lines[1]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.npz")} == raw


def test_init_writes_a_project_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("mine\n")
    assert run(tmp_path, "init", "--train", "digits").returncode == 0
    assert (tmp_path / "Makefile").read_text() == "mine\n"
    assert (tmp_path / ".gitignore").exists()
    assert run(tmp_path, "clean").returncode == 0
    again = run(tmp_path, "init")
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_a_second_run_says_that_everything_is_fresh(tmp_path: Path) -> None:
    run(tmp_path, "init", "--train", "digits")
    assert run(tmp_path, "folds").returncode == 0
    before = times(tmp_path)
    second = run(tmp_path, "folds")
    assert second.stderr.splitlines() == ["clean: fresh", "folds: fresh"]
    assert times(tmp_path) == before


def times(folder: Path) -> dict[Path, int]:
    """When each file was written, but for locks and known digests, whose names begin with a dot."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_deleted_output_is_made_again_with_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path, "init", "--train", "digits")
    run(tmp_path, "folds")
    paths = [path for path in times(tmp_path) if path.parent.name in ("data", "folds")]
    assert len(paths) >= 8
    before = {path: path.read_bytes() for path in paths}
    for name in ("data/images.npy", "folds/folds.csv"):
        (tmp_path / name).unlink()
        assert run(tmp_path, "folds").returncode == 0
    assert {path: path.read_bytes() for path in paths} == before


@pytest.mark.matrix
@pytest.mark.parametrize("columns", ["80", "40"])
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_output_fits_a_narrow_terminal(columns: str, variables: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, "init", "--train", "digits")
    done = run(tmp_path, "folds", **{**variables, "COLUMNS": columns})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert all(len(line) <= int(columns) for line in done.stdout.splitlines())


def test_backbones_are_listed_as_data(tmp_path: Path) -> None:
    done = run(tmp_path, "backbones")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BACKBONES)


def test_json_is_all_there_is_on_standard_output(tmp_path: Path, make_project: Callable[..., Path]) -> None:
    folder = make_project('[data]\ntrain = "digits"\ntruth = "digits"\nimage_size = 8\n')
    run(folder, "folds")
    done = run(folder, "lb", "--json")
    assert done.returncode == 0, done.stderr
    board = json.loads(done.stdout)
    assert [row["rank"] for row in board["board"]] == [1, 2]
