"""The small sections of ``kit.toml``: ``[folds]``, ``[train]`` and ``[ensemble]``."""

from typing import Literal

from pydantic import Field

from kit.config.base import ConfigSection, Name


class FoldsConfig(ConfigSection):
    """``[folds]``: how rows are split."""

    name: Name = "folds"
    """Name of the file in `folds/`."""
    method: Literal["k-fold", "hold-out"] = "k-fold"
    """`hold-out` only uses the first fold for validation: one network per run, evaluated on 1/n of the rows."""
    n: int = Field(default=5, ge=2, le=100)
    """Number of folds."""
    repeats: int = Field(default=1, ge=1, le=20)
    """Number of independent splits. Every run trains n networks per split. Predictions are averaged over the splits."""
    seed: int = Field(default=0, ge=0)
    """Seed for shuffling the groups."""

    @property
    def held_out(self) -> int:
        """How many folds of a repeat are held out."""
        return self.n if self.method == "k-fold" else 1


class TrainConfig(ConfigSection):
    """``[train]``: how training uses this machine. No key changes a result."""

    workers: int = Field(default=0, ge=0, le=64)
    """Number of folds trained at the same time. 0: one per GPU, or one per two cores if there is no GPU."""
    tensorboard: bool = False
    """Write the metrics of every epoch for TensorBoard to `runs/RUN/fold-K/tensorboard/`."""


class EnsembleConfig(ConfigSection):
    """``[ensemble]``: which runs are blended and how the blend is judged."""

    runs: tuple[str, ...] = ()
    """Names of the runs to blend. Empty: all runs."""
    metric: str = "nll"
    """Metric that weights and temperatures are fitted for."""
    fit_on: Literal["clean", "stressed", "mixture"] = "mixture"
    """Held-out rows that members, weights, temperatures and views are fitted on: `clean`, corrupted by `kit stress`, or
    both (`mixture`). Scores on clean and on stressed rows are always out-of-fold. If the key is not set and
    `kit stress` cannot run, clean rows are used."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""
    max_members: int | None = Field(default=None, ge=1)
    """Maximum number of members. The least useful ones are removed first."""
    max_views: int | None = Field(default=None, ge=1)
    """Maximum number of views for test-time augmentation."""
    max_seconds_per_1000: float | None = Field(default=None, gt=0)
    """Maximum seconds to predict 1,000 images, as measured on the machine that trained the networks."""
    max_bundle_mb: float | None = Field(default=None, gt=0)
    """Maximum size of all weights in megabytes."""
