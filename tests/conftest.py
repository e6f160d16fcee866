"""Shared by all tests: where data outside the repository are, and projects to work in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


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
