"""``[data]``: the images and labels."""

from __future__ import annotations

from pydantic import Field

from kit.config.base import Section


class PracticeConfig(Section):
    """``[data.practice]``: the size of the generated competition; only with `train = "practice"`."""

    n: int = Field(default=1600, ge=200, le=200_000)
    """Training images, planted ones included."""
    size: int = Field(default=64, ge=16, le=512)
    """Pixels along each side."""
    seed: int = Field(default=0, ge=0)
    """Another seed is another competition."""


class DataConfig(Section):
    """``[data]``: the images and labels. `train` alone is enough."""

    train: str
    """A `.npz`, a folder, a `.csv`, or the name of a built-in set: `practice`, `digits`."""
    test: str = ""
    """Images to predict, where the competition gives them."""
    truth: str = ""
    """Hidden labelled images that only the local platform reads, to score."""
    classes: str = ""
    """A text file with one class name a line, in label order."""
    image_size: int = Field(default=0, ge=0, le=4096)
    """Pixels along each side that images are resized to; 0 = as they are (all the same size)."""
    practice: PracticeConfig = PracticeConfig()
    """What the built-in set `practice` is made with."""
