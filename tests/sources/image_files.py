"""Generated image files: the bytes of each, and the pixels or the reason that they must give."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 5, 7
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
ALPHA = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Sample:
    """A file: what it gives, within ``within`` levels where its format loses some, or why it gives nothing."""

    data: bytes
    pixels: np.ndarray | None = None
    reason: str = ""
    within: int = 0


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(colour * share + 255 * (1 - share)).astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, colour: int, raw: bytes, *extra: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def rows_of(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)


def turned(kind: str, orientation: int, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(RGB), kind, exif=exif, **options)


# What each EXIF orientation asks for, in NumPy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


def palette() -> tuple[Image.Image, np.ndarray]:
    colours = RNG.integers(0, 256, (4, 3), dtype=np.uint8)
    indices = RNG.integers(0, 4, (HEIGHT, WIDTH), dtype=np.uint8)
    image = Image.fromarray(indices, "L")
    image.putpalette(colours.tobytes())
    return image, colours[indices]


def cmyk() -> tuple[Image.Image, np.ndarray]:
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[..., 0], inks[..., 3] = 255, 0
    inks[0, :, :] = (0, 0, 0, 255)
    expected = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    expected[1:] = (0, 255, 255)
    return Image.fromarray(inks, "CMYK"), expected


def animation(kind: str) -> bytes:
    frames = [Image.fromarray(three(np.full((HEIGHT, WIDTH), level))) for level in (40, 120, 250)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def smooth() -> np.ndarray:
    x = np.linspace(40, 200, 32)
    return np.stack([x[None] + 0 * x[:, None], x[:, None] + 0 * x[None], 0 * x[None] + 90 + 0 * x[:, None]], -1).astype(
        np.uint8
    )


def good() -> dict[str, Sample]:
    rgb, grey = Image.fromarray(RGB), Image.fromarray(GREY)
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    la = Image.merge("LA", [grey, Image.fromarray(ALPHA)])
    listed, colours = palette()
    inks, from_inks = cmyk()
    bits = GREY > 127
    frame = three(np.full((HEIGHT, WIDTH), 40))
    wide = three(np.rint(WIDE / 257))
    clear = RGB.copy()
    clear[0, 0] = 255
    made = {
        "rgb.png": Sample(encoded(rgb, "PNG"), RGB),
        "rgb.bmp": Sample(encoded(rgb, "BMP"), RGB),
        "rgb.tif": Sample(encoded(rgb, "TIFF"), RGB),
        "rgb-lzw.tif": Sample(encoded(rgb, "TIFF", compression="tiff_lzw"), RGB),
        "rgb-lossless.webp": Sample(encoded(rgb, "WEBP", lossless=True), RGB),
        "rgb.ppm": Sample(encoded(rgb, "PPM"), RGB),
        "rgb-lossless.jp2": Sample(encoded(rgb, "JPEG2000"), RGB, within=1),
        "rgb.jpg": Sample(encoded(Image.fromarray(smooth()), "JPEG", quality=95), smooth(), within=6),
        "progressive.jpg": Sample(
            encoded(Image.fromarray(smooth()), "JPEG", quality=95, progressive=True), smooth(), within=6
        ),
        "grey.png": Sample(encoded(grey, "PNG"), three(GREY)),
        "grey.jpg": Sample(
            encoded(Image.fromarray(smooth()[..., 0]), "JPEG", quality=95), three(smooth()[..., 0]), within=3
        ),
        "grey-alpha.png": Sample(encoded(la, "PNG"), over_white(three(GREY), ALPHA), within=1),
        "rgb-alpha.png": Sample(encoded(rgba, "PNG"), over_white(RGB, ALPHA), within=1),
        "rgb-alpha.webp": Sample(encoded(rgba, "WEBP", lossless=True, exact=True), over_white(RGB, ALPHA), within=1),
        "rgb-alpha.tif": Sample(encoded(rgba, "TIFF"), over_white(RGB, ALPHA), within=1),
        "one-bit.png": Sample(encoded(Image.fromarray(bits), "PNG"), three(bits * 255)),
        "one-bit.tif": Sample(encoded(Image.fromarray(bits), "TIFF"), three(bits * 255)),
        "palette.png": Sample(encoded(listed, "PNG"), colours),
        "palette.gif": Sample(encoded(listed, "GIF"), colours),
        "palette-transparent.png": Sample(
            encoded(listed, "PNG", transparency=0),
            np.where((np.asarray(listed) == 0)[..., None], 255, colours).astype(np.uint8),
        ),
        "colour-key.png": Sample(encoded(rgb, "PNG", transparency=tuple(RGB[0, 0].tolist())), clear),
        "cmyk.tif": Sample(encoded(inks, "TIFF"), from_inks),
        "cmyk.jpg": Sample(encoded(inks, "JPEG", quality=100, subsampling=0), from_inks, within=3),
        "grey-16.png": Sample(encoded(Image.fromarray(WIDE), "PNG"), wide),
        "grey-16.tif": Sample(encoded(Image.fromarray(WIDE), "TIFF"), wide),
        "grey-16-transparent.png": Sample(png(WIDTH, HEIGHT, 16, 0, rows_of(WIDE), chunk(b"tRNS", b"\0\0")), wide),
        "grey-16.pgm": Sample(b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + WIDE.astype(">u2").tobytes(), wide),
        "rgb-16.png": Sample(png(WIDTH, HEIGHT, 16, 2, rows_of(np.repeat(WIDE, 3, axis=1))), three(WIDE // 256)),
        "grey-alpha-16.png": Sample(
            png(WIDTH, HEIGHT, 16, 4, rows_of(np.dstack([WIDE, np.full_like(WIDE, 65535)]).reshape(HEIGHT, -1))),
            three(WIDE // 256),
        ),
        "float-to-1.tif": Sample(
            encoded(Image.fromarray((GREY / np.float32(255)).astype(np.float32)), "TIFF"), three(GREY)
        ),
        "float-to-255.tif": Sample(encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), three(GREY)),
        "grey-32.tif": Sample(encoded(Image.fromarray(WIDE.astype(np.int32)), "TIFF"), wide),
        "animated.gif": Sample(animation("GIF"), frame),
        "animated.webp": Sample(animation("WEBP"), frame),
        "animated.png": Sample(animation("PNG"), frame),
        "pages.tif": Sample(animation("TIFF"), frame),
        "one-pixel.png": Sample(encoded(rgb.crop((0, 0, 1, 1)), "PNG"), RGB[:1, :1]),
        "wrong-suffix.jpg": Sample(encoded(rgb, "PNG"), RGB),
    }
    made |= {f"exif-{n}.png": Sample(turned("PNG", n), UPRIGHT[n](RGB)) for n in UPRIGHT}
    made |= {f"exif-{n}.tif": Sample(turned("TIFF", n), UPRIGHT[n](RGB)) for n in (3, 6, 7)}
    made["exif-6.webp"] = Sample(turned("WEBP", 6, lossless=True), UPRIGHT[6](RGB))
    exif = Image.Exif()
    exif[0x0112] = 8
    jpeg = encoded(Image.fromarray(smooth()), "JPEG", quality=95, exif=exif)
    return made | {"exif-8.jpg": Sample(jpeg, np.rot90(smooth()), within=6)}


def bad() -> dict[str, Sample]:
    whole = encoded(Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)), "PNG")
    jpeg = encoded(Image.fromarray(smooth()), "JPEG")
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 255
    huge = png(50_000, 50_000, 8, 0, b"")
    large = png(10_000, 10_000, 8, 0, b"")
    high = np.full((HEIGHT, WIDTH), 3e6, np.float32)
    return {
        "empty.png": Sample(b"", reason="empty file"),
        "text.jpg": Sample(b"file not found\n" * 100, reason="text, not an image: 'file not found"),
        "page.jpg": Sample("<!DOCTYPE html><p>ä".encode(), reason="text, not an image: '<!DOCTYPE"),
        "pointer.png": Sample(b"version https://git-lfs.github.com/spec/v1\n", reason="text, not an image: 'version"),
        "random.png": Sample(RNG.bytes(500), reason="not an image of a known format"),
        "zeros.jpg": Sample(bytes(500), reason="not an image of a known format"),
        "script.eps": Sample(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", reason="text, not an image"),
        "truncated.png": Sample(whole[: len(whole) // 2], reason="damaged PNG"),
        "truncated.jpg": Sample(jpeg[:-40], reason="damaged JPEG"),
        "header-only.jpg": Sample(jpeg[:100], reason="damaged JPEG"),
        "truncated.gif": Sample(encoded(palette()[0], "GIF")[:-12], reason="damaged GIF"),
        "truncated.tif": Sample(encoded(Image.fromarray(RGB), "TIFF")[:60], reason="damaged TIFF"),
        "header-only.png": Sample(whole[:40], reason="damaged PNG"),
        "flipped-bit.png": Sample(bytes(broken), reason="damaged PNG"),
        "bomb.png": Sample(huge, reason="too large, perhaps a decompression bomb"),
        "large.png": Sample(large, reason="too large, perhaps a decompression bomb: 10000 x 10000 pixels in"),
        "float-huge.tif": Sample(encoded(Image.fromarray(high), "TIFF"), reason="3e+06: no known scale"),
        "float-nan.tif": Sample(encoded(Image.fromarray(high * np.nan), "TIFF"), reason="NaN"),
        "int-huge.tif": Sample(
            encoded(Image.fromarray(high.astype(np.int32)), "TIFF"), reason="3000000: no known scale"
        ),
        "no-width.png": Sample(png(0, 5, 8, 0, b""), reason=""),
    }
