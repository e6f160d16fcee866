"""A project on disk with one proven candidate, made by hand: no training, no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recorded import write_candidate, write_proof
from servers.base import Server

from kit.base.events import Event
from kit.config import Config, load
from kit.platforms import Waits
from kit.stages.submit import Choice, submit
from kit.store.files import write_zip
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import Attempt, attempts, load_submissions

NAME = "20261121T054000Z-3f9c2ab1"

MODEL = b"""
import numpy as np

class Model:
    def predict(self, X):
        return (np.asarray(X).reshape(len(X), -1).mean(axis=1) > 127).astype(np.int64)
"""
METADATA = b"description: a stand-in\n"


def make_project(root: Path, **competition: Any) -> tuple[Layout, Config]:
    """Write ``kit.toml`` with a ``[competition]`` of these keys."""
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {_toml(value)}" for key, value in competition.items()]
    (root / "kit.toml").write_text("\n".join(["[competition]", *lines, "[data]", 'train = "raw.npz"', ""]))
    layout = Layout(root)
    return layout, load(layout.config)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int) else '"' + str(value) + '"'


def make_candidate(layout: Layout, name: str = NAME, cv: float = 0.88, salt: bytes = b"") -> SubmissionPaths:
    """Write a candidate with a bundle that runs on NumPy alone."""
    paths = layout.submission(name)
    write_candidate(paths, cv=cv)
    write_zip(paths.bundle, {"model.py": MODEL, "metadata": METADATA, "salt.txt": salt})
    write_proof(paths)
    return paths


def at_codabench(site: Server, root: Path, **more: Any) -> tuple[Layout, Config]:
    """A project with the candidate, which submits to a stand-in of Codabench."""
    layout, config = make_project(root / "project", platform="codabench", url=site.url, id="7", **more)
    make_candidate(layout)
    return layout, config


def run(project: tuple[Layout, Config], waits: Waits, **options: Any) -> str:
    """One `kit submit` of the candidate; what it said."""
    said: list[Event] = []
    submit(*project, project[0].submission(NAME), said.append, Choice(**options), waits)
    return "\n".join(event.text for event in said)


def sent(project: tuple[Layout, Config]) -> list[Attempt]:
    """Every attempt in the ledger."""
    return attempts(load_submissions(project[0]))


def states(project: tuple[Layout, Config]) -> list[str]:
    """What became of each."""
    return [attempt.state for attempt in sent(project)]
