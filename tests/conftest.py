"""Shared by all tests: where data outside the repository are, projects to work in, and tiers that can be resumed."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from in_process import InProcess

    from kit.config import Config
    from kit.store.layout import Layout

REPOSITORY = Path(__file__).parent.parent
# Examples of a law; those that are fuzzed, or where few are met by chance, ask for more. No test is timed.
settings.register_profile("kit", deadline=None, max_examples=30)
settings.load_profile("kit")
# What a killed process wrote is there all the same: it guards against a loss of power, of which no test knows, and a
# project would wait for the disk two hundred times.
os.fsync = lambda descriptor: None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resume", action="store_true", help="skip tests that passed before, on the same code")
    parser.addoption("--fast", action="store_true", help="only tests that carry none of the marks of a slower tier")


SLOWER = ("stage", "tf", "matrix", "slow", "compat")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast tier does not import what is marked as a whole: all imports take as long as all fast tests."""
    if not config.getoption("--fast") or not collection_path.name.startswith("test_"):
        return None
    marks = re.search(r"^pytestmark = [^\n[]*(\[[^\]]*\])?", collection_path.read_text(encoding="utf-8"), re.MULTILINE)
    return True if marks and re.search(rf"mark\.({'|'.join(SLOWER)})\b", marks[0]) else None


# What runs side by side never splits a module, and never these: the first look at all processes, the second parse the
# whole kit.
TOGETHER = (("tests/engine/",), ("tests/test_architecture.py", "tests/test_docs.py"))


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Modules that load TensorFlow come first, then the others that take long, so that none is left for the end.

    In the fast tier those with the most tests come first: one of six seconds at the end would be waited for alone.
    """
    marked = [{item.path for item in items if item.get_closest_marker(name)} for name in ("tf", "matrix")]
    tests = Counter(item.path for item in items) if config.getoption("--fast") else Counter()
    items.sort(key=lambda item: (*(item.path not in paths for paths in marked), -tests[item.path]))
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            name = item.path.relative_to(REPOSITORY).as_posix()
            group = next((names[0] for names in TOGETHER if name.startswith(names)), name)
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--fast"):
        config.option.markexpr = " and ".join(f"not {name}" for name in SLOWER)
    if config.getoption("--resume"):
        config.pluginmanager.register(Resume(), "resume")


class Resume:
    """Keeps a list of what passed for a state of the code: a tier of hours goes on where it was stopped."""

    def __init__(self) -> None:
        state = subprocess.run(
            ["git", "stash", "create"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()
        head = subprocess.run(
            ["git", "rev-parse", f"{state or 'HEAD'}^{{tree}}"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        self._path = REPOSITORY / ".pytest_cache" / f"passed-{head.stdout.strip()[:12]}"
        self._passed = set(self._path.read_text().splitlines()) if self._path.exists() else set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = [item for item in items if item.nodeid in self._passed]
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item.nodeid not in self._passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("a") as file:
                file.write(report.nodeid + "\n")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that some tests use; they are skipped where it is missing."""
    folder = Path(os.environ.get("KIT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of real data: set KIT_SHARED")
    return folder


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Write a ``kit.toml`` into an empty folder and return the folder."""

    def make(text: str, name: str = "project") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "kit.toml").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="module")
def here() -> Iterator[InProcess]:
    """Units of training and stress run in the process of the tests of this module, which loads TensorFlow once."""
    from in_process import in_this_process

    with in_this_process() as launch:
        yield launch


@pytest.fixture(scope="session")
def drawn_project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Config]:
    """A project with everything up to its forecast, made without TensorFlow; not to be changed."""
    import lineage

    return lineage.make(tmp_path_factory.mktemp("drawn") / "project")
