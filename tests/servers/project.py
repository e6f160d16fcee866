"""A project on disk with one proven candidate, made by hand: no training, no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recorded import write_candidate, write_proof

from kit.config import Config, load
from kit.store.files import write_zip
from kit.store.layout import Layout, SubmissionPaths

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


def make_candidate(
    layout: Layout, name: str = "20261121T054000Z-3f9c2ab1", cv: float = 0.88, salt: bytes = b""
) -> SubmissionPaths:
    """Write a candidate with a bundle that runs on NumPy alone."""
    paths = layout.submission(name)
    write_candidate(paths, cv=cv)
    write_zip(paths.bundle, {"model.py": MODEL, "metadata": METADATA, "salt.txt": salt})
    write_proof(paths)
    return paths
