"""A section of the page: its words and numbers, and photographs as small WebP files in data addresses."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kit.errors import KitError


@dataclass(frozen=True)
class Section:
    """One section: ``title`` says what to conclude, ``lead`` what is shown and how to read it, ``data`` is drawn.

    Where that is None, ``run`` is the command that writes its files. The page adds the rest: ``key`` is the anchor and
    the name of the template, ``label`` stands in the table of contents, ``problems`` are of files that cannot be read.
    """

    title: str = ""
    lead: str = ""
    data: object = None
    run: str = ""
    key: str = ""
    label: str = ""
    problems: tuple[KitError, ...] = ()


def number(value: float | None, digits: int = 4) -> str:
    """A score; a long dash for what is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A difference, with a proper minus."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """A share of 1 as per cent; what is not 0 does not become it."""
    return "<\u00a01\u00a0%" if 0 < share < 0.01 else f"{100 * share:.0f}\u00a0%"


def count(n: int, noun: str, plural: str = "") -> str:
    """A number and its noun.

    >>> count(1, "image"), count(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(words: list[str]) -> str:
    """Words as a sentence lists them."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


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
