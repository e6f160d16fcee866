"""Lets the tests of this folder import their helpers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from by_hand import CONFIG, train_by_hand

from kit.project import Project


@pytest.fixture
def by_hand(make_project: Callable[..., Path]) -> Project:
    """A project of 60 pictures, red ones and blue ones, with one run."""
    folder = make_project(CONFIG)
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = rng.integers(90, 150, (60, 16, 16, 3), dtype=np.uint8)
    images[labels == 0, :, :, 0] += rng.integers(0, 60, (30, 1, 1), dtype=np.uint8)
    images[labels == 1, :, :, 2] += rng.integers(0, 60, (30, 1, 1), dtype=np.uint8)
    np.savez(folder / "small.npz", images=images, labels=labels)
    return train_by_hand(folder)
