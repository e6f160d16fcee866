"""The one decoder: the bytes of an image file to uint8 (H, W, 3), for training, test and prediction alike.

It needs NumPy and Pillow, and travels in the bundle, where only those who hand it files need it. docs/data.md has a
table of what is read and how.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, features

from . import dicom

# Raised whenever the same file would give other pixels: data decoded before are then stale.
VERSION = 1

Policy = Literal["fit", "crop", "stretch"]
Array = Any  # (H, W, 3) uint8

# Named, because Pillow would hand an EPS file to Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF")
# From here on Pillow itself warns of a bomb; the decoded image is 270 MB.
MAX_PIXELS = 89_478_485
PADDING = (0, 0, 0)
ORIENTATION = 0x0112  # EXIF tag; 5 to 8 swap height and width

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"RIFF": "WEBP",
}  # fmt: skip
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
# What the decoders of damaged files have been seen to raise: they are fed with other people's bytes.
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    RuntimeError, ImportError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
# Marks a reason that is no fault of the file.
LACKS = ": pip install "


class Unreadable(ValueError):
    """There is no image in the bytes, or one that must not be decoded; the message is the reason, on one line."""


class LacksLibrary(Unreadable):
    """What can read the image is not installed."""

    def __init__(self, kind: str, library: str, package: str) -> None:
        super().__init__(f"{kind} needs {library}{LACKS}'{package}'")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about odd files; entered once around a pool, because filters are per process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode(data: bytes, size: int = 0, policy: Policy = "fit") -> Array:
    """Pixels (H, W, 3) uint8 of a whole image file, brought to ``size`` by the ``policy`` of `resize`; 0 = as it is.

    Raises `Unreadable` where there is no image in the bytes, it is damaged, or it is too large. A pure function of its
    arguments and of the Pillow version. A flipped bit inside a JPEG may decode without complaint: it has no checksum.
    """
    if data.startswith(b"DICM", 128):
        header_size(data)  # refuses bombs
        with _told("DICOM"):
            return resize(dicom.pixels(data), size, policy)
    image = _open(data)
    with _told(str(image.format)):
        image.load()
        return resize(to_rgb(ImageOps.exif_transpose(image)), size, policy)


def header_size(data: bytes) -> tuple[int, int]:
    """Height and width that `decode` would give, from the header alone; raises `Unreadable` as it does."""
    if data.startswith(b"DICM", 128):
        with _told("DICOM"):
            try:
                rows, columns = dicom.size(data)
            except ImportError as error:
                if error.name == dicom.PLUGINS:
                    raise LacksLibrary(f"DICOM in {error}", dicom.PLUGINS, f"{dicom.PLUGINS}[all]") from error
                raise LacksLibrary("DICOM", "pydicom", "kit[dicom]") from error
        _check_size(columns, rows, len(data))
        return rows, columns
    image = _open(data)
    width, height = image.size
    with suppress(*_DAMAGE):
        if image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8):
            return width, height
    return height, width


def _open(data: bytes) -> Image.Image:
    """The image with only its header read; bombs are refused here, before any pixel is decoded."""
    if not data:
        raise Unreadable("empty file")
    Image.init()  # else a format of ours that has not been met yet is a KeyError
    _check_library(_brand(data))
    try:
        image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise Unreadable(f"too large, perhaps a decompression bomb: {_first_line(error)}") from error
    except _DAMAGE as error:
        raise Unreadable(_what_else(data)) from error
    _check_size(*image.size, len(data))
    return image


def _check_size(width: int, height: int, held: int) -> None:
    if width * height > MAX_PIXELS:
        size = f"{width} x {height} pixels in {held} bytes, at most {MAX_PIXELS} pixels are decoded"
        raise Unreadable(f"too large, perhaps a decompression bomb: {size}")
    if width <= 0 or height <= 0:
        raise Unreadable(f"no pixels: {width} x {height}")


@contextmanager
def _told(kind: str) -> Iterator[None]:
    """What goes wrong with the pixels of a file whose header was read."""
    try:
        yield
    except Unreadable:
        raise
    except _DAMAGE as error:
        raise Unreadable(f"damaged {kind}: {_first_line(error)}") from error


def _brand(data: bytes) -> str:
    """AVIF or HEIC by the box that their files begin with, else empty; HEIC names many brands."""
    if data[4:8] != b"ftyp":
        return ""
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 128)]
    return "AVIF" if b"avi" in brands else "HEIC" if b"mif1" in brands or b"msf1" in brands or b"he" in brands else ""


def _check_library(kind: str) -> None:
    """Raise `LacksLibrary` where Pillow does not read a format that it reads with help alone."""
    if kind == "AVIF" and ("AVIF" not in Image.OPEN or not features.check("avif")):
        raise LacksLibrary("AVIF", "Pillow 11.3 or newer", "kit[heic]")
    if kind == "HEIC" and "HEIF" not in Image.OPEN:
        try:
            from pillow_heif import register_heif_opener
        except ImportError as error:
            raise LacksLibrary("HEIC", "pillow-heif", "kit[heic]") from error
        register_heif_opener()


def _what_else(data: bytes) -> str:
    """What a file is whose header cannot be read."""
    if kind := _brand(data) or next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), ""):
        return f"damaged {kind}: its header cannot be read"
    head = data[:512]
    try:
        text = head.decode("utf-8", errors="strict" if len(data) <= 512 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if any(not (char.isprintable() or char.isspace()) for char in text):
        return "not an image of a known format"
    return f"text, not an image: {' '.join(text.split())[:40]!r}"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error).strip() else type(error).__name__


def to_rgb(image: Image.Image) -> Array:
    """Pixels (H, W, 3) uint8 of an image in any mode; what is transparent is seen over white."""
    if image.mode == "F" or image.mode.startswith("I"):  # with I;16 in any order of bytes
        values = np.asarray(image)
        return np.repeat(levels(values, white_of(values))[..., None], 3, axis=-1)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        # Not every mode with alpha has a direct way to RGBA.
        image = Image.alpha_composite(white, (image.convert("LA") if image.mode == "La" else image).convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def white_of(values: Any, whole: tuple[int, ...] = (65535,), slack: float = 0.0) -> int:
    """What is white in pixels of any type: the smallest of 1, 255 and 65535 that none of them exceeds.

    ``whole`` are the choices for whole numbers: a file says how many bits it has, and a dark one stays dark. Floats
    have 1 or 255, and may pass them by ``slack`` levels of 255, as resizing leaves them. Raises `Unreadable` where
    there is no such scale; -1 to 1 could be several.
    """
    kind = values.dtype.kind
    if kind not in "buif":
        raise Unreadable(f"pixels have the type {values.dtype}, which is not numbers")
    low, high = values.min().item(), values.max().item()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Unreadable("floating-point pixels are NaN or infinite")
    scales = (1, 255) if kind == "f" else whole
    over = slack / 255 if kind == "f" else 0.0
    white = next((white for white in scales if -over * white <= low and high <= white * (1 + over)), 0)
    if white:
        return white
    if kind == "f":
        raise Unreadable(f"floating-point pixels from {low:g} to {high:g}: no known scale, expected 0 to 1 or 0 to 255")
    raise Unreadable(f"whole numbers from {low} to {high}: no known scale, expected 0 to 65535")


def levels(values: Any, white: int) -> Array:
    """Pixels whose white is 1, 255 or 65535 as uint8, rounded."""
    scaled = values / 257.0 if white == 65535 else values * 255.0 if white == 1 else values
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def fitted(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Where ``fit`` puts an image in its square of ``size`` pixels: top, left, height and width."""
    # ImageOps.pad makes an image nothing high whose sides are as 1 to 200.
    scale = size / max(width, height)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    return (size - high) // 2, (size - wide) // 2, high, wide


def resize(pixels: Array, size: int, policy: Policy = "fit") -> Array:
    """Bring an image (H, W, 3) to (size, size, 3), bicubic, by a policy of docs/data.md, unless it has that size."""
    height, width = pixels.shape[:2]
    if size == 0 or (height, width) == (size, size):
        return pixels
    image, bicubic = Image.fromarray(pixels), Image.Resampling.BICUBIC
    if policy == "crop":
        return np.asarray(ImageOps.fit(image, (size, size), bicubic))
    if policy == "stretch":
        return np.asarray(image.resize((size, size), bicubic))
    top, left, high, wide = fitted(height, width, size)
    canvas = Image.new("RGB", (size, size), PADDING)
    canvas.paste(image.resize((wide, high), bicubic), (left, top))
    return np.asarray(canvas)
