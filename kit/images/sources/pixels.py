"""Arrays of pixels in any of their usual forms: one rule for what is white, which axis is colour, and transparency."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from kit.base.arrays import ImageArray
from kit.config import DataConfig
from kit.errors import DataError
from kit.runtime import decode

Array = npt.NDArray[Any]
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


def readable(images: Array, where: str) -> tuple[Array, int]:
    """``images`` as (N, H, W, C) with C in `CHANNELS`, not copied, and the value that is white in all of them.

    They may be (N, H, W), (N, H, W, C), (N, C, H, W), or one row an image, (N, H * W) or (N, 3 * H * W), of square
    ones. Raises `DataError` where they have another shape or no known scale of values; ``where`` they stand.
    """
    shape = images.shape
    if images.ndim == 2 and images.size:
        images = _squares(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[-1] not in CHANNELS and images.shape[1] in CHANNELS:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[-1] not in CHANNELS or 0 in images.shape:
        raise DataError(f"{where}: images have shape {shape}, expected (N, H, W, 3) or (N, H, W)")
    if images.dtype == np.uint8 and images.max() > 1:
        return images, 255
    try:
        return images, decode.white_of(images, (1, 255, 65535), slack=0.5)
    except decode.Unreadable as error:
        low, high = (images.min(), images.max()) if images.dtype.kind in "if" else (0, 0)
        scaled = "(images + 1) / 2" if -1 <= low < 0 < high <= 1 else "(images - images.min()) / np.ptp(images)"
        raise DataError(f"{where}: {error}", f"images = {scaled}") from error


def _squares(rows: Array) -> Array:
    """Rows of values as square images: (N, H, H, 3) or (N, 3, H, H) where they are three squares, else (N, H, H).

    CIFAR writes a row channel by channel, tables of pixels value by value: in the right order neighbours are alike.
    """
    side, colour = math.isqrt(rows.shape[1]), math.isqrt(rows.shape[1] // 3)
    if side * side == rows.shape[1]:
        return rows.reshape(-1, side, side)
    if 3 * colour * colour != rows.shape[1]:
        return rows
    orders = [rows.reshape(-1, colour, colour, 3), rows.reshape(-1, 3, colour, colour).transpose(0, 2, 3, 1)]
    return min(orders, key=lambda images: float(np.abs(np.diff(images[:100].astype(float), axis=2)).mean()))


def block_reader(
    images: Array, white: int, data: DataConfig
) -> Callable[[int, int], tuple[ImageArray, dict[int, str]]]:
    """The `read` of a `RawSet` over what `readable` gave."""

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        block = (
            images[start:stop]
            if images.dtype == np.uint8 and white == 255
            else decode.levels(images[start:stop], white)
        )
        if block.shape[-1] == 1:
            block = np.repeat(block, 3, axis=-1)
        if block.shape[-1] == 4:
            block = np.stack([decode.to_rgb(Image.fromarray(image)) for image in np.ascontiguousarray(block)])
        if data.image_size and block.shape[1:3] != (data.image_size, data.image_size):
            block = np.stack(
                [decode.resize(np.ascontiguousarray(image), data.image_size, data.resize) for image in block]
            )
        return block, {}

    return read
