"""Contact sheets: pictures side by side with captions, so that a person can look."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from kit.base.arrays import ImageArray

CELL = 132
GAP = 8
LINE = 14
CAPTION_LINES = 5
MARGIN = 16
TITLE = 34
PER_LINE = 8
NEAREST = Image.Resampling.NEAREST
PAPER, INK, RULE = (255, 255, 255), (32, 32, 32), (208, 208, 208)


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture (H, W, 3) uint8 and what to write under it; lines beyond the fifth are left out."""

    picture: ImageArray
    caption: str


def sheet(rows: Sequence[Sequence[Tile]], title: str) -> Image.Image:
    """Draw a contact sheet under a title.

    What belongs together begins on a line of its own; more than eight tiles go on to the next line. Pictures up to half
    a cell are enlarged by whole factors, pixel by pixel, others fitted to it.
    """
    font = ImageFont.load_default(11)
    lines = [
        (start, [(tile.picture, _wrapped(tile.caption, font)[:CAPTION_LINES]) for tile in row[start:][:PER_LINE]])
        for row in rows
        for start in range(0, len(row), PER_LINE)
    ]
    widest = max([len(line) for _, line in lines], default=1)
    height = CELL + LINE * max([len(words) for _, line in lines for _, words in line], default=0) + GAP
    size = (2 * MARGIN + max(3, widest) * (CELL + GAP) - GAP, MARGIN + TITLE + max(1, len(lines)) * (height + GAP))
    paper = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((MARGIN, MARGIN), title, INK, ImageFont.load_default(17))
    for number, (start, line) in enumerate(lines):
        top = MARGIN + TITLE + number * (height + GAP)
        if number and not start:  # the first line of a row
            pen.line((MARGIN, top - GAP, size[0] - MARGIN, top - GAP), RULE)
        for place, (pixels, words) in enumerate(line):
            left, picture = MARGIN + place * (CELL + GAP), _fitted(Image.fromarray(np.ascontiguousarray(pixels)))
            paper.paste(picture, (left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2))
            pen.multiline_text((left, top + CELL + 2), "\n".join(words), INK, font, spacing=2)
    return paper


def png(image: Image.Image, **texts: str) -> bytes:
    """The bytes of a PNG file, with ``texts`` by name beside its pixels; the same image gives the same bytes."""
    beside = PngInfo()
    for name, text in texts.items():
        beside.add_text(name, text)
    with io.BytesIO() as file:
        image.save(file, "PNG", pnginfo=beside)
        return file.getvalue()


def _fitted(picture: Image.Image) -> Image.Image:
    """As large as the cell allows: small pictures by whole factors, so that no pixel is invented."""
    factor = CELL / max(picture.size)
    if factor >= 2:
        return picture.resize((picture.width * int(factor), picture.height * int(factor)), NEAREST)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Break at line ends and, where a line is wider than the cell, between words or inside a long one."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            if line and font.getlength(f"{line} {word}") > CELL:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
            while font.getlength(line) > CELL:
                fits = max(n for n in range(1, len(line) + 1) if n == 1 or font.getlength(line[:n]) <= CELL)
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line)
    return lines
