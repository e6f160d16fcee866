"""Fixtures for everything that talks to a stand-in server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from servers.codabench import Codabench

from kit.platforms import Waits


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home and no credentials in the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("CODABENCH_TOKEN", "CODABENCH_USERNAME", "CODABENCH_PASSWORD", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "KAGGLE_API_V1_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    yield folder


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that the kit asked for."""
    return []


@pytest.fixture
def waits(pauses: list[float]) -> Waits:
    """Impatient, and never asleep: the clock goes with the pauses."""
    return Waits(
        first=1, longest=8, connect=2, read=3, tries=3, sleep=pauses.append, clock=lambda: time.time() + sum(pauses)
    )


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Codabench]:
    """A Codabench site that is done with a submission when it is first asked; its token is in the environment."""
    with Codabench() as server:
        monkeypatch.setenv("CODABENCH_TOKEN", server.token)
        server.walk = ["Finished"]
        yield server
