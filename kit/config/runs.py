"""``[runs.<name>]``: what is trained, and its ``stages``: which layers, for how long, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from kit.config.base import UNLABELLED, ConfigSection, PathName

Kind = Literal["conv", "depthwise", "dense", "norm"]
Side = Annotated[int, Field(ge=0, le=2048)]


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


class Sized(ConfigSection):
    """A table that may name a `size`: where it does not, its digest is as it was before there were sizes."""

    @model_serializer(mode="wrap")
    def _where_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "size" or value}


class StageConfig(Sized):
    """One entry of ``stages``: which layers are trained, for how long, and how."""

    train: Literal["head", "last-block", "layers", "all"]
    """Layers to train: the head, the head and the last block of the backbone, the `layers` selected below, or all."""
    from_layer: int = Field(default=0, ge=0)
    """For `layers`: index of the first layer of the backbone that is trained."""
    kinds: Annotated[tuple[Kind, ...], AfterValidator(lambda kinds: tuple(sorted(set(kinds))))] = ()
    """For `layers`: train only these kinds of layers. Empty: all kinds."""
    epochs: int = Field(ge=1, le=10_000)
    """Number of passes over the training rows."""
    size: Side = 0
    """Input size of the network in this stage, in pixels. 0: the `size` of the run."""
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
    """For `head`, before any stage with another size or that trains the backbone: number of copies per image (the first
    one not augmented) whose features are computed once and cached. 0: no cache."""


class TeachConfig(ConfigSection):
    """``teach``: labels that other runs give. A string or a list is short for its `by`."""

    by: Annotated[tuple[str, ...], BeforeValidator(lambda x: (x,) if isinstance(x, str) else x), Field(min_length=1)]
    """Runs whose networks of a fold teach the same fold. `ensemble`: all runs of `[ensemble]` without teachers."""
    soft: float = Field(default=0.2, ge=0, le=1)
    """Share of the label of a training image that the teachers give. The rest is its own label."""
    power: float = Field(default=1.0, gt=0)
    """Exponent of the teachers' probabilities. Above 1 makes them more certain, below 1 less."""
    pseudo: Literal["none", "test", "unlabelled", "both"] = "none"
    """Also train on images without labels, with labels of the teachers alone: those of `[data] unlabelled`, or of
    `[data] test` where the rules allow this, or both."""
    min_confidence: float | tuple[float, ...] = 0.0
    """Images without labels whose likeliest class has a lower probability are not used: one bound, or one for each
    class."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The images without labels that are trained on."""
        return {"none": (), "both": UNLABELLED}.get(self.pseudo, (self.pseudo,))


class AugmentConfig(BaseModel, frozen=True, extra="allow", allow_inf_nan=False):
    """An augmentation or a preprocessor. `op` is its name, and the other keys are its parameters."""

    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    op: str

    @property
    def options(self) -> dict[str, JsonValue]:
        """The keys beside `op`."""
        return dict(self.__pydantic_extra__)


class HeadConfig(ConfigSection):
    """``head``: the layers between the backbone and the logits."""

    pooling: Literal["avg", "max", "flatten"] = "avg"
    """How the feature map becomes a vector."""
    batch_norm: tuple[Literal["features", "units"], ...] = ()
    """Where to put BatchNorm: on the pooled features, after the dense layers, or both."""
    dropout: float | tuple[float, ...] = 0.2
    """Dropout rate: one for all places, or a list with one for the features and one after each dense layer."""
    units: tuple[int, ...] = ()
    """Sizes of the dense layers between the features and the logits."""
    activation: Literal["relu", "gelu", "silu", "elu", "tanh"] = "relu"
    """Activation of the dense layers."""
    l1: float = Field(default=0.0, ge=0)
    """L1 penalty on the weights of the dense layers."""
    l2: float = Field(default=0.0, ge=0)
    """L2 penalty on the weights of the dense layers."""

    @model_validator(mode="after")
    def _rates(self) -> HeadConfig:
        rates = self.dropout if isinstance(self.dropout, tuple) else (self.dropout,)
        if any(not 0 <= rate < 1 for rate in rates):
            raise ValueError("dropout must be at least 0 and less than 1")
        if len(rates) not in (1, len(self.units) + 1):
            raise ValueError(f"dropout has {len(rates)} rates; give one, or {len(self.units) + 1}")
        return self


class RunConfig(Sized):
    """``[runs.<name>]``: one network, trained on every fold."""

    backbone: str
    """Name of the network, as listed by `kit backbones`."""
    weights: PathName = "none"
    """`imagenet`, the path of a weights file, or `none` to train from scratch."""
    head: HeadConfig = HeadConfig()
    """Layers between the backbone and the logits."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Parameters of the network, for the kit's own networks, such as `l2 = 1e-4`."""
    size: Side = 0
    """Input size of the network in pixels. Images are resized to it after the views and `preprocess`. 0: the size of
    the last stage, or else the stored size."""
    preprocess: tuple[AugmentConfig, ...] = ()
    """Steps before the network, in training and in prediction. They are part of the bundle."""
    augment: tuple[AugmentConfig, ...] = ()
    """Augmentations, applied in order, to training images only."""
    validate_augment: tuple[AugmentConfig, ...] = ()
    """Augmentations of held-out images, for an additional score. Not used for anything else."""
    stages: tuple[StageConfig, ...] = (StageConfig(train="all", epochs=12),)
    """Stages of the training, one after the other."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Number of images per training step."""
    loss: Literal["crossentropy", "focal", "cumulative", "huber"] = "crossentropy"
    """`focal` gives less weight to rows that are already classified correctly. `cumulative` is for classes in order:
    the mean log loss of the questions whether the class is above each of the others. `huber` is for the task
    `regression`: the cross-entropy plus the Huber loss of the mean, in bins."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """Strength of the focal loss. 0 is the cross-entropy."""
    sampling: Literal["none", "over", "under"] = "none"
    """Rows of an epoch: `none` uses each row once, `over` repeats rare classes up to the size of the largest class,
    `under` reduces all classes to the size of the smallest."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weights each class by the inverse of its frequency, or of several labels each one and its absence.
    Also correct for soft labels."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Precision of the training steps. Weights, logits and all predictions are always float32."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the label that is distributed evenly over all classes."""
    inner_fraction: float = Field(default=0.1, gt=0, le=0.5)
    """Share of the training rows that is held back if a stage uses `early_stopping` or the schedule `plateau`. Both are
    evaluated on these rows, never on the held-out fold."""
    teach: Annotated[TeachConfig | None, short("by", str, list, tuple)] = None
    """Teachers of a student, which learns what other runs predict. Not set: it learns from labels alone."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights, the order of the rows and the augmentation."""
    views: tuple[str, ...] = ("identity", "flip-lr", "flip-ud", "rot180")
    """Views for test-time augmentation: copies that are also predicted. They are rotated, flipped, cropped, larger,
    smaller, brighter or darker."""

    def sizes(self, stored: int) -> tuple[int, ...]:
        """(S + 1,) input sizes of the stages, and that of predictions, for images that are stored with a size."""
        predicted = self.size or self.stages[-1].size or stored
        return (*(stage.size or predicted for stage in self.stages), predicted)

    @property
    def pseudo_parts(self) -> tuple[str, ...]:
        """The images without labels that it is trained on."""
        return self.teach.parts if self.teach else ()

    @property
    def is_steered(self) -> bool:
        """Whether a stage watches a metric: it stops early, or its rate falls from plateaus."""
        return any(stage.early_stopping or stage.schedule.kind == "plateau" for stage in self.stages)

    @field_validator("stages")
    @classmethod
    def _some_stage(cls, stages: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
        if not stages:
            raise ValueError('needs at least one stage, for example [{ train = "all", epochs = 12 }]')
        return stages

    @field_validator("views")
    @classmethod
    def _identity_first(cls, views: tuple[str, ...]) -> tuple[str, ...]:
        if not views or views[0] != "identity" or len(set(views)) != len(views):
            raise ValueError('views must start with "identity" and contain each view only once')
        return views
