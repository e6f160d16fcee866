"""``[runs.<name>]``: what is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kit.config.base import Section


class AugmentConfig(BaseModel):
    """One augmentation: `op` names it, the other keys are its own and are checked against its table entry."""

    model_config = ConfigDict(frozen=True, extra="allow")

    op: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside `op`."""
        return dict(self.model_extra or {})


class HeadConfig(Section):
    """``head``: what stands on the backbone's pooled features, before the logits."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the features set to zero while training."""
    units: tuple[int, ...] = ()
    """Widths of relu layers between the features and the logits."""


class StageConfig(Section):
    """One entry of ``stages``: which layers learn, for how long, how."""

    train: Literal["head", "last-block", "all"]
    """Layers that learn: the head on a frozen backbone, also its last block, or everything."""
    epochs: int = Field(ge=1, le=10_000)
    """Passes over the training rows."""
    optimizer: Literal["adam", "adamw", "sgd", "lion"] = "adamw"
    """The optimiser, with the field's usual settings."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate at the start."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate falls over the stage."""
    cached_views: int = Field(default=1, ge=0, le=64)
    """For `head`: augmented copies of every image whose features are computed once and kept; 0 = no cache."""


class RunConfig(Section):
    """``[runs.<name>]``: one network, trained on every fold."""

    backbone: str
    """A name from `kit backbones`."""
    weights: str = "none"
    """`imagenet`, the path of a weights file, or `none` to start from scratch."""
    head: HeadConfig = HeadConfig()
    """Layers between features and logits."""
    augment: tuple[AugmentConfig, ...] = ()
    """Applied in order to training images only, after the split."""
    stages: tuple[StageConfig, ...] = (StageConfig(train="all", epochs=12),)
    """Trained one after the other."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Rows in one step."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each class by the inverse of its share; right with soft labels too."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the label given to all classes evenly."""
    seed: int = Field(default=0, ge=0)
    """Seed of the weights, the order and the augmentation."""
    views: tuple[str, ...] = ("identity", "flip-lr", "flip-ud", "rot180")
    """Turned or flipped copies that are predicted as well, for test-time augmentation."""

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
