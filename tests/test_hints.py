"""Every hint that names a command mends what it is shown for: from the damage to a finished stage."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import InProcess, drawn

from kit.base.events import silent
from kit.config import Config
from kit.errors import KitError
from kit.stages.clean.clean import clean
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.folds import make_folds
from kit.stages.forecast.forecast import forecast
from kit.stages.stress.stress import stress, stress_if_possible
from kit.stages.table import table
from kit.stages.train.train import train
from kit.store.layout import Layout

pytestmark = pytest.mark.stage

COMMAND = re.compile(r"kit ([a-z]+)([^#,;]*)")
Damage = Callable[[Path], None]


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def as_a_list(path: Path) -> None:
    path.write_text("[]")


def of_version_99(path: Path) -> None:
    path.write_text(path.read_text().replace('"version": ', '"version": 99'))


# Files of a finished project, by a pattern that the first match of stands for.
RECORDS = (
    "data/manifest.json",
    "data/test.json",
    "folds/folds.json",
    "runs/net-*/fold-0/fold.json",
    "runs/net-*/fold-0/test.json",
    "runs/net-*/fold-0/stress.json",
    "runs/net-*/run.json",
    "runs/net-*/test.json",
    "runs/net-*/stress.json",
    "runs/net-*/forecast.json",
    "submissions/*/ensemble.json",
    "submissions/*/forecast.json",
)
FILES = (
    "data/images.npy",
    "data/index.csv",
    "data/dropped.csv",
    "data/test.npy",
    "data/test_index.csv",
    "folds/folds.csv",
    "runs/net-*/fold-0/weights.npz",
    "runs/net-*/fold-0/valid.npz",
    "runs/net-*/fold-0/test.npz",
    "runs/net-*/fold-0/stress.npz",
    "runs/net-*/oof.npz",
    "runs/net-*/test.npz",
    "runs/net-*/stress.npz",
    "runs/net-*/stress.csv",
    "submissions/*/oof.npz",
    "submissions/*/stressed.npz",
)
RECORD_DAMAGES: tuple[Damage, ...] = (halved, as_a_list, of_version_99, Path.unlink)
FILE_DAMAGES: tuple[Damage, ...] = (halved, flipped, emptied, Path.unlink)
EVERY = [(name, damage) for name in RECORDS for damage in RECORD_DAMAGES]
EVERY += [(name, damage) for name in FILES for damage in FILE_DAMAGES]
# One damage for each file; all of them are the slow tier's.
SOME = [(name, RECORD_DAMAGES[n % 4]) for n, name in enumerate(RECORDS)]
SOME += [(name, FILE_DAMAGES[n % 4]) for n, name in enumerate(FILES)]
FORECASTS = [case for case in EVERY if case[0].endswith("forecast.json")][::3]


class Commands:
    """The commands of the kit in a project, with networks that are drawn."""

    def __init__(self, layout: Layout, config: Config) -> None:
        self._layout, self._config = layout, config

    def say(self, line: str) -> None:
        command, *words = shlex.split(line)
        options = {word.removeprefix("--"): True for word in words if word in ("--force", "--reset")}
        fold = int(words[words.index("--fold") + 1]) if "--fold" in words else None
        runs = [word for word in words if word in self._config.runs]
        getattr(self, command)(runs, fold, **options)

    def clean(self, runs: list[str], fold: int | None, **options: bool) -> None:
        clean(self._layout, self._config, silent, **options)

    def folds(self, runs: list[str], fold: int | None, **options: bool) -> None:
        self.clean([], None)
        make_folds(self._layout, self._config, silent, **options)

    def train(self, runs: list[str], fold: int | None, **options: bool) -> None:
        self.folds([], None)
        launch = InProcess(drawn)
        train(self._layout, self._config, silent, runs=runs, fold=fold, launch=launch, pictures=False, **options)

    def stress(self, runs: list[str], fold: int | None, **options: bool) -> None:
        self.folds([], None)
        stress(self._layout, self._config, silent, runs=runs, launch=InProcess(drawn), **options)

    def ensemble(self, runs: list[str], fold: int | None, **options: bool) -> None:
        self.folds([], None)
        stress_if_possible(self._layout, self._config, silent, InProcess(drawn))
        self.candidate = ensemble(self._layout, self._config, silent, **options)

    def table(self, runs: list[str], fold: int | None) -> None:
        self.ensemble([], None)
        table(self._layout, self._config, self.candidate, silent)

    def forecast(self, runs: list[str], fold: int | None, **options: bool) -> None:
        self.folds([], None)
        forecast(self._layout, self._config, silent, **options)


@pytest.fixture(scope="module")
def finished(drawn_project: tuple[Layout, Config], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """The drawn project with its table."""
    layout, config = drawn_project
    root = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(layout.root, root)
    Commands(Layout(root), config).say("table")
    return root, config


def mended(commands: Commands, wanted: str) -> list[str]:
    """The hints that were followed until the command ``wanted`` ended well."""
    followed: list[str] = []
    while True:
        try:
            commands.say(wanted)
        except KitError as error:
            found = COMMAND.search(error.hint)
            assert found, f"{error.message}: the hint {error.hint!r} names no command"
            line = f"{found[1]} {found[2]}".strip()
            assert line not in followed, f"{error.message}: {line!r} was followed already"
            followed.append(line)
            commands.say(line)
        else:
            return followed


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("wanted", "cases"),
    [
        pytest.param("table", SOME, id="table"),
        pytest.param("forecast", FORECASTS, id="forecast"),
        pytest.param("table", EVERY, id="every damage", marks=pytest.mark.slow),
    ],
)
def test_hints_lead_from_any_damaged_file_to_a_finished_stage_with_the_same_results(
    finished: tuple[Path, Config], tmp_path: Path, wanted: str, cases: list[tuple[str, Damage]]
) -> None:
    source, config = finished
    answer = next(source.glob("submissions/*/submission.csv")).read_bytes()
    problems = []
    for name, damage in cases:
        root = tmp_path / "project"
        shutil.copytree(source, root)
        path = next(root.glob(name))
        others = [file for file in root.glob("runs/*/fold-*/*.npz") if file.parent != path.parent]
        untouched = {file: file.read_bytes() for file in others}
        damage(path)
        try:
            mended(Commands(Layout(root), config), wanted)
            assert {file: file.read_bytes() for file in untouched} == untouched, "another fold was trained again"
            newest = max(root.glob("submissions/*/ensemble.json")).parent
            assert wanted != "table" or (newest / "submission.csv").read_bytes() == answer, "another answer"
        except AssertionError as error:
            problems.append(f"{name}, {damage.__name__}: {str(error).splitlines()[0]}")
        shutil.rmtree(root)
    assert not problems
