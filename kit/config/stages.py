"""``stages`` of a run: which layers learn, for how long, how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from kit.config.base import Section

Kind = Literal["conv", "depthwise", "dense", "norm"]


def _short(key: str, kind: type) -> BeforeValidator:
    """A value of this kind stands for a table with this key alone."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, kind) else value)


class ScheduleConfig(Section):
    """``schedule``: how the learning rate moves over a stage; a string is short for its `kind`."""

    kind: Literal["constant", "cosine", "restarts", "plateau", "exponential"] = "cosine"
    """`cosine` falls once over the stage, `restarts` over and over (SGDR), `exponential` by `decay` every epoch,
    `plateau` by `decay` when `metric` has not improved for `patience` epochs."""
    warmup: float = Field(default=0.0, ge=0)
    """Epochs in which the rate rises to where the schedule begins."""
    floor: float = Field(default=0.0, ge=0, le=1)
    """Smallest rate, as a share of `lr`."""
    cycle: float = Field(default=10.0, gt=0)
    """For `restarts`: epochs of the first fall."""
    growth: float = Field(default=1.0, ge=1)
    """For `restarts`: how much longer each fall is than the one before."""
    decay: float = Field(default=0.9, gt=0, lt=1)
    """For `exponential` and `plateau`: the factor."""
    patience: int = Field(default=5, ge=1)
    """For `plateau`: epochs without improvement before the rate falls."""
    metric: str = "nll"
    """For `plateau`: what is watched on the rows that `inner_fraction` holds back."""


class EarlyStoppingConfig(Section):
    """``early_stopping``: end a stage that no longer gains, with its best weights; a number is its `patience`."""

    metric: str = "nll"
    """Watched on the rows that `inner_fraction` holds back: a metric of the kit, or `calibrated_nll`, the loss after
    the best temperature."""
    patience: int = Field(default=5, ge=1)
    """Epochs without improvement before the stage ends."""
    min_delta: float = Field(default=0.0, ge=0)
    """What counts as an improvement."""


class StageConfig(Section):
    """One entry of ``stages``: which layers learn, for how long, how."""

    train: Literal["head", "last-block", "layers", "all"]
    """Layers that learn: the head on a frozen backbone, also its last block, the `layers` picked below, or all."""
    from_layer: int = Field(default=0, ge=0)
    """For `layers`: number of the first layer of the backbone that learns."""
    kinds: Annotated[tuple[Kind, ...], AfterValidator(lambda kinds: tuple(sorted(set(kinds))))] = ()
    """For `layers`: only these kinds learn; empty = all."""
    epochs: int = Field(ge=1, le=10_000)
    """Passes over the training rows."""
    optimizer: Literal["adam", "adamw", "sgd", "lion"] = "adamw"
    """The optimiser, with the field's usual settings."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate at the start."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay, not on biases and normalisation; `adam` is Adam without it."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Largest norm of all gradients together; 0 = any."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is judged and kept; 0 = the weights themselves."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """BatchNorm of a pretrained backbone: kept as published, or trained with the layers that learn."""
    schedule: Annotated[ScheduleConfig, _short("kind", str)] = ScheduleConfig()
    """How the learning rate moves over the stage."""
    early_stopping: Annotated[EarlyStoppingConfig | None, _short("patience", int)] = None
    """When to end the stage early and which weights to keep; none = run to the end, keep the last."""
    cached_views: int = Field(default=1, ge=0, le=64)
    """For `head` before any stage that trains the backbone: augmented copies of every image whose features are
    computed once and kept; 0 = no cache."""
