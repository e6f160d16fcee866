"""The sections of ``kit.toml`` that say what the competition is and where its data lie."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kit.config.base import Section


class CompetitionConfig(Section):
    """``[competition]``: where submissions go and how they are scored."""

    name: str = "competition"
    """A name for tables and pictures."""
    platform: Literal["local", "codabench", "kaggle"] = "local"
    """Who scores: a platform's name, or `local` for the scorer that comes with the kit."""
    id: str = ""
    """The competition's number (Codabench) or slug (Kaggle)."""
    phase: str = ""
    """The phase's name, where the platform has phases; empty = the current one."""
    metric: Literal["accuracy", "macro_f1", "balanced_accuracy", "auc", "qwk", "nll", "brier"] = "accuracy"
    """What the platform scores by."""
    task: Literal["multiclass", "binary"] = "multiclass"
    """Binary is two classes; multi-label and regression are outside the kit."""


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


class FoldsConfig(Section):
    """``[folds]``: how rows are split."""

    name: str = Field(default="folds", pattern=r"^[A-Za-z0-9_-]+$")
    """The file under `folds/`."""
    n: int = Field(default=5, ge=2, le=100)
    """Number of folds."""
    seed: int = Field(default=0, ge=0)
    """Shuffles the groups before they are dealt out."""


class TrainConfig(Section):
    """``[train]``: how the machine is used; nothing here changes a result."""

    workers: int = Field(default=0, ge=0, le=64)
    """Folds trained at the same time; 0 = one for every two cores."""


class EnsembleConfig(Section):
    """``[ensemble]``: which runs are blended and how the blend is judged."""

    runs: tuple[str, ...] = ()
    """Names of runs; empty = all."""
    metric: str = "nll"
    """What weights and temperatures are fitted for."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""


class BundleConfig(Section):
    """``[bundle]``: the shape of the zip."""

    contract: Literal["an2dl-2024", "codalab-legacy"] = "an2dl-2024"
    """What the platform imports: `class Model` or the older `class model(path)`."""
    batch_size: int = Field(default=128, ge=1, le=4096)
    """Images in one forward pass; bounds the memory."""
