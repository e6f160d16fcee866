"""Corruptions of images: what another microscope, camera or hand does to a picture, at five severities.

One table; each entry is a function of one picture, a severity and a generator in `kit.images.corrupt.families`. The
families and the scale of five follow ImageNet-C (Hendrycks and Dietterich 2019); stains, bubbles and the choice of what
matters to a microscope follow MedMNIST-C (Di Salvo et al. 2024). Parameters that are lengths are shares of the side, so
that 32 px and 224 px are hurt alike.
"""

import zlib
from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kit.base.text import nearest
from kit.errors import DataError

Images = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Rng = np.random.Generator
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # the weights of grey
Corruption = Callable[[Pixels, int, Rng], Pixels]

SEVERITIES = (1, 2, 3, 4, 5)

GROUPS = {
    "optics": "gaussian-blur defocus motion-blur pixelate jpeg",  # what lenses, hands and files do
    "colour": "brightness-up brightness-down contrast-up contrast-down saturation colour-cast noise",  # lamps, sensors
    "objects": "stain-spots bubbles occlusion",  # what lies on the slide
    "laboratory": "scale stain gradient tilted-focus",  # another one's optics, stain, lamp and stage
}
FAMILIES = {family: group for group, families in GROUPS.items() for family in families.split()}
# What is tried where nothing else is said: damage, without the differences between laboratories that harm no picture.
STANDARD = tuple(family for family, group in FAMILIES.items() if group != "laboratory")


def corrupt(images: Images, family: str, severity: int, seeds: NDArray[np.integer]) -> Images:
    """Corrupt every picture (N, H, W, 3) uint8 in one way, at a severity from 0 (nothing happens) to 5.

    ``seeds`` (N,) are integers, one a picture, not negative. The result is a new array, of which row i depends on
    (image i, family, severity, seed i) alone, not on the batch or its order. Where something lies, its colour and
    direction depend on (family, seed) alone, so that severities are comparable.

    Raises `DataError` if the family or severity is unknown, or an array has another shape or type.
    """
    operation = lookup(family)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise DataError(f"images to corrupt are {images.dtype} {images.shape}, not uint8 (N, H, W, 3)")
    if severity not in (0, *SEVERITIES):
        raise DataError(f"severity {severity} is not an integer from 0 to 5")
    if len(seeds) != len(images):
        raise DataError(f"{len(seeds)} seeds for {len(images)} images")
    if severity == 0:
        return images.copy()
    made = np.empty_like(images)
    for row, seed in enumerate(seeds):
        rng = np.random.default_rng([zlib.crc32(family.encode()), int(seed)])
        pixels = operation(images[row].astype(np.float32), severity, rng)
        made[row] = np.rint(np.clip(pixels, 0, 255))
    return made


@cache
def lookup(family: str) -> Corruption:
    """The function of a family; raises `DataError` where there is none."""
    if family not in FAMILIES:
        raise DataError(f"unknown corruption {family!r}", nearest(family, FAMILIES))
    from kit.images.corrupt import families  # with it comes SciPy

    return cast(Corruption, getattr(families, family.replace("-", "_")))
