"""``[runs.<name>]``: what is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from kit.config.base import PathName, Section
from kit.config.stages import StageConfig


class AugmentConfig(BaseModel):
    """An augmentation or a preprocessor: `op` names it, the other keys are its own and checked against its table."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    op: str

    @property
    def options(self) -> dict[str, JsonValue]:
        """The keys beside `op`."""
        return dict(self.__pydantic_extra__)


class HeadConfig(Section):
    """``head``: what stands on the backbone, up to the logits."""

    pooling: Literal["avg", "max", "flatten"] = "avg"
    """How the map of features becomes one row."""
    batch_norm: tuple[Literal["features", "units"], ...] = ()
    """Where BatchNorm stands: on the pooled features, after the dense layers, or both."""
    dropout: float | tuple[float, ...] = 0.2
    """Share set to zero while training: everywhere the same, or on the features and after each dense layer."""
    units: tuple[int, ...] = ()
    """Widths of dense layers between the features and the logits."""
    activation: Literal["relu", "gelu", "silu", "elu", "tanh"] = "relu"
    """Of the dense layers."""
    l1: float = Field(default=0.0, ge=0)
    """Penalty on the absolute weights of the dense layers."""
    l2: float = Field(default=0.0, ge=0)
    """Penalty on their squares."""

    @model_validator(mode="after")
    def _rates(self) -> HeadConfig:
        rates = self.dropout if isinstance(self.dropout, tuple) else (self.dropout,)
        if any(not 0 <= rate < 1 for rate in rates):
            raise ValueError("dropout is a share from 0 to less than 1")
        if len(rates) not in (1, len(self.units) + 1):
            raise ValueError(f"dropout has {len(rates)} rates; give one, or {len(self.units) + 1}")
        return self


class RunConfig(Section):
    """``[runs.<name>]``: one network, trained on every fold."""

    backbone: str
    """A name from `kit backbones`."""
    weights: PathName = "none"
    """`imagenet`, the path of a weights file, or `none` to start from scratch."""
    head: HeadConfig = HeadConfig()
    """Layers between features and logits."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Keys of the network itself, where it is one of the kit's own: `l2 = 1e-4`."""
    preprocess: tuple[AugmentConfig, ...] = ()
    """Steps before the network, in training and at test alike; part of the bundle."""
    augment: tuple[AugmentConfig, ...] = ()
    """Applied in order to training images only, after the split."""
    validate_augment: tuple[AugmentConfig, ...] = ()
    """Applied to held-out rows for a second score beside the one on clean rows; never used for anything else."""
    stages: tuple[StageConfig, ...] = (StageConfig(train="all", epochs=12),)
    """Trained one after the other."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Rows in one step."""
    loss: Literal["crossentropy", "focal"] = "crossentropy"
    """`focal` weighs rows down that are already right."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How far `focal` does; 0 is cross-entropy."""
    sampling: Literal["none", "over", "under"] = "none"
    """Rows of an epoch: all once, rare classes repeated to the size of the largest, or all cut to the smallest."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each class by the inverse of its share; right with soft labels too."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Numbers in which the steps compute; weights, logits and every prediction are float32 whatever it says."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the label given to all classes evenly."""
    inner_fraction: float = Field(default=0.1, gt=0, le=0.5)
    """Share of the training rows that is held back where a stage has `early_stopping` or the schedule `plateau`: these
    watch it, never the held-out fold."""
    seed: int = Field(default=0, ge=0)
    """Seed of the weights, the order and the augmentation."""
    views: tuple[str, ...] = ("identity", "flip-lr", "flip-ud", "rot180")
    """Turned, flipped, brighter or darker copies that are predicted as well, for test-time augmentation."""

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
            raise ValueError('views start with "identity" and name each view once')
        return views
