"""``[bundle]``: the interface of the zip and its limits."""

from typing import Literal

from pydantic import Field

from kit.config.base import ConfigSection

# Of the time that is allowed: the rest is for loading and for a busier machine.
PREDICTING = 0.8
# Code and description beside the weights, in megabytes.
CODE_MB = 0.5


class BundleConfig(ConfigSection):
    """``[bundle]``: the interface of the zip and its limits."""

    contract: Literal["an2dl-2024", "codalab-legacy"] = "an2dl-2024"
    """Interface that the platform imports: `class Model`, or the older `class model(path)`."""
    batch_size: int = Field(default=128, ge=1, le=4096)
    """Number of images per forward pass. Limits the memory use."""
    half_precision: Literal["auto", True, False] = "auto"
    """Store weights as float16. `auto`: only if the zip would exceed `max_mb`. Refused if it changes the score."""
    max_mb: float | None = Field(default=None, gt=CODE_MB)
    """Maximum size of the zip in megabytes. The blend drops members to stay below it."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Maximum seconds to load and predict `images` images on this machine. The blend drops members to stay below."""
    images: int = Field(default=1000, ge=1)
    """Number of images that `max_seconds` refers to."""
    max_memory_mb: float | None = Field(default=None, gt=0)
    """Maximum resident memory in megabytes, including about 500 MB for TensorFlow itself. No limit if not set."""
    model_license: str = "not stated"
    """License of the trained weights, as stated in `card.md`."""
    data_license: str = "not stated"
    """License of the training images, as stated in `card.md`."""

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
