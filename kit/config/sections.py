"""The small sections of ``kit.toml``: folds, machine, ensemble."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kit.config.base import Name, Section


class FoldsConfig(Section):
    """``[folds]``: how rows are split."""

    name: Name = "folds"
    """The file under `folds/`."""
    method: Literal["k-fold", "hold-out"] = "k-fold"
    """`hold-out` holds out the first fold alone: one network a run, judged on 1/n of the rows."""
    n: int = Field(default=5, ge=2, le=100)
    """Number of folds."""
    repeats: int = Field(default=1, ge=1, le=20)
    """Independent splits; every run trains n networks on each, and a row's prediction is their mean."""
    seed: int = Field(default=0, ge=0)
    """Shuffles the groups before they are dealt out."""

    @property
    def held_out(self) -> int:
        """How many folds of a repeat are held out."""
        return self.n if self.method == "k-fold" else 1


class TrainConfig(Section):
    """``[train]``: how the machine is used; nothing here changes a result."""

    workers: int = Field(default=0, ge=0, le=64)
    """Folds trained at the same time; 0 = one a graphics card, or where there is none one for every two cores."""
    tensorboard: bool = False
    """Write what every epoch measured for TensorBoard, under `runs/RUN/fold-K/tensorboard/`."""


class EnsembleConfig(Section):
    """``[ensemble]``: which runs are blended and how the blend is judged."""

    runs: tuple[str, ...] = ()
    """Names of runs; empty = all."""
    metric: str = "nll"
    """What weights and temperatures are fitted for."""
    fit_on: Literal["clean", "stressed", "mixture"] = "mixture"
    """Held-out rows that members, weights, temperatures and views are fitted on: as they are, as `kit stress` hurt
    them, or both. Scores are out of fold on clean and on stressed rows whatever it is. Where the key is missing and
    `kit stress` could not run, clean rows it is."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""
    max_members: int | None = Field(default=None, ge=1)
    """Most members of the blend; the least useful go first."""
    max_views: int | None = Field(default=None, ge=1)
    """Most views that are predicted at test time."""
    max_seconds_per_1000: float | None = Field(default=None, gt=0)
    """Longest time to predict 1,000 images, as measured on the machine that trained."""
    max_bundle_mb: float | None = Field(default=None, gt=0)
    """Most megabytes of weights."""
