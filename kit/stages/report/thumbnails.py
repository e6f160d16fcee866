"""Photographs inside the page, as small WebP files in data addresses."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Twice the side that a thumbnail has on the page, for screens with two dots a pixel.
SIDE = 160
SHEET = 1440


@dataclass(frozen=True)
class Tile:
    """A photograph: a data address, the image's id, a note, and words instead; perhaps the same as a network saw it."""

    source: str
    name: str
    note: str
    alternative: str
    seen: str = ""
    alternative_seen: str = ""


@dataclass(frozen=True)
class Group:
    """Photographs under one heading."""

    title: str
    tiles: list[Tile]
    note: str = ""


def thumbnail(image: Any, side: int = SIDE) -> str:
    """A ``data:`` address of an image (H, W, 3) uint8, shrunk to ``side`` where it is larger and never enlarged."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _address(picture, 84)


def sheet(path: Path, widest: int = SHEET) -> tuple[str, int, int]:
    """A picture file as a ``data:`` address, with its width and height in pixels."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((widest, 4 * widest), Image.Resampling.LANCZOS)
    return _address(picture, 78), picture.width, picture.height


def _address(picture: Image.Image, quality: int) -> str:
    with io.BytesIO() as file:
        picture.save(file, "WEBP", quality=quality, method=4)
        return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
