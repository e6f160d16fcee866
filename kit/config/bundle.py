"""``[bundle]``: the shape of the zip and what it may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kit.config.base import Section

# Of the time that is allowed: the rest is for loading and for a busier machine.
PREDICTING = 0.8
# Code and description beside the weights, in megabytes.
CODE_MB = 0.5


class BundleConfig(Section):
    """``[bundle]``: the shape of the zip and what it may cost."""

    contract: Literal["an2dl-2024", "codalab-legacy"] = "an2dl-2024"
    """What the platform imports: `class Model` or the older `class model(path)`."""
    batch_size: int = Field(default=128, ge=1, le=4096)
    """Images in one forward pass; bounds the memory."""
    half_precision: Literal["auto", True, False] = "auto"
    """float16 weights: `auto` where the zip is larger than `max_mb` otherwise; never where they move the score."""
    max_mb: float | None = Field(default=None, gt=CODE_MB)
    """Most megabytes of the zip; the blend leaves members out to keep it."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Longest time to load and to predict `images` images on this machine; the blend leaves members out to keep it."""
    images: int = Field(default=1000, ge=1)
    """How many images `max_seconds` is for."""
    max_memory_mb: float | None = Field(default=None, gt=0)
    """Most resident memory, TensorFlow's own half gigabyte included; without it there is no limit."""
    model_license: str = "not stated"
    """What `card.md` says of the trained weights."""
    data_license: str = "not stated"
    """What `card.md` says of the training images."""

    @property
    def weights_mb(self) -> float | None:
        """Megabytes that `max_mb` leaves for weights."""
        return None if self.max_mb is None else self.max_mb - CODE_MB

    @property
    def seconds_per_1000(self) -> float | None:
        """Seconds that `max_seconds` leaves for predicting 1,000 images."""
        return None if self.max_seconds is None else PREDICTING * self.max_seconds * 1000 / self.images

    def limits(self) -> dict[str, float | str | None]:
        """What of this section the blend depends on; empty without limits."""
        if self.max_mb is None and self.max_seconds is None:
            return {}
        return {"weights_mb": self.weights_mb, "seconds": self.seconds_per_1000, "half": self.half_precision}
