"""``stages`` of a run, the parts of its training: which layers are trained, for how long, and how."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from kit.config.base import ConfigSection

Kind = Literal["conv", "depthwise", "dense", "norm"]


def short(key: str, *kinds: type) -> BeforeValidator:
    """A value of these kinds stands for a table with this key alone."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, kinds) else value)


class ScheduleConfig(ConfigSection):
    """``schedule``: the learning rate over a stage. A string is short for its `kind`."""

    kind: Literal["constant", "cosine", "restarts", "plateau", "exponential"] = "cosine"
    """`cosine` decays once over the stage, `restarts` decays repeatedly (SGDR), `exponential` multiplies by `decay`
    every epoch, `plateau` multiplies by `decay` if `metric` has not improved for `patience` epochs."""
    warmup: float = Field(default=0.0, ge=0)
    """Number of epochs in which the learning rate rises to the start of the schedule."""
    floor: float = Field(default=0.0, ge=0, le=1)
    """Minimum learning rate, as a share of `lr`."""
    cycle: float = Field(default=10.0, gt=0)
    """For `restarts`: length of the first cycle in epochs."""
    growth: float = Field(default=1.0, ge=1)
    """For `restarts`: factor by which each cycle is longer than the previous one."""
    decay: float = Field(default=0.9, gt=0, lt=1)
    """For `exponential` and `plateau`: factor of the learning rate."""
    patience: int = Field(default=5, ge=1)
    """For `plateau`: number of epochs without improvement before the learning rate is reduced."""
    metric: str = "nll"
    """For `plateau`: metric to monitor, on the rows that `inner_fraction` holds back."""


class EarlyStoppingConfig(ConfigSection):
    """``early_stopping``: stop a stage that no longer improves, with its best weights. A number is its `patience`."""

    metric: str = "nll"
    """Metric to monitor, on the rows that `inner_fraction` holds back. Also `calibrated_nll`: the loss at the best
    temperature."""
    patience: int = Field(default=5, ge=1)
    """Number of epochs without improvement before the stage stops."""
    min_delta: float = Field(default=0.0, ge=0)
    """Minimum change that counts as an improvement."""


class StageConfig(ConfigSection):
    """One entry of ``stages``: which layers are trained, for how long, and how."""

    train: Literal["head", "last-block", "layers", "all"]
    """Layers to train: the head, the head and the last block of the backbone, the `layers` selected below, or all."""
    from_layer: int = Field(default=0, ge=0)
    """For `layers`: index of the first layer of the backbone that is trained."""
    kinds: Annotated[tuple[Kind, ...], AfterValidator(lambda kinds: tuple(sorted(set(kinds))))] = ()
    """For `layers`: train only these kinds of layers. Empty: all kinds."""
    epochs: int = Field(ge=1, le=10_000)
    """Number of passes over the training rows."""
    optimizer: Literal["adam", "adamw", "sgd", "lion"] = "adamw"
    """Optimizer. Its other settings are the usual defaults."""
    lr: float = Field(default=1e-3, gt=0)
    """Initial learning rate."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay, except on biases and normalization layers. Not used by `adam`."""
    clip_norm: float = Field(default=0.0, ge=0)
    """Maximum global norm of the gradients. 0: no clipping."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, which is then evaluated and kept. 0: no averaging."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """BatchNorm layers of a pretrained backbone: frozen, or trained together with the other layers of the stage."""
    schedule: Annotated[ScheduleConfig, short("kind", str)] = ScheduleConfig()
    """Schedule of the learning rate."""
    early_stopping: Annotated[EarlyStoppingConfig | None, short("patience", int)] = None
    """When to stop early and keep the best weights. Not set: run all epochs and keep the last weights."""
    cached_views: int = Field(default=1, ge=0, le=64)
    """For `head`, before any stage that trains the backbone: number of copies per image (the first one not augmented)
    whose features are computed once and cached. 0: no cache."""


class TeachConfig(ConfigSection):
    """``teach``: labels that other runs give. A string or a list is short for its `by`."""

    by: Annotated[tuple[str, ...], BeforeValidator(lambda x: (x,) if isinstance(x, str) else x), Field(min_length=1)]
    """Runs whose networks of a fold teach the same fold. `ensemble`: all runs of `[ensemble]` without teachers."""
    soft: float = Field(default=0.7, ge=0, le=1)
    """Share of the label of a training image that the teachers give. The rest is its own label."""
    power: float = Field(default=1.0, gt=0)
    """Exponent of the teachers' probabilities. Above 1 makes them more certain, below 1 less."""
    pseudo: Literal["none", "test"] = "none"
    """`test`: also train on the test images, with labels of the teachers alone, where the rules allow this."""
    min_confidence: float | tuple[float, ...] = 0.0
    """Test images whose likeliest class has a lower probability are not used: one bound, or one for each class."""
