"""Contact sheets show every picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from kit.clean.sheets import CELL, Tile, png, sheet


def tile(colour, side=96, caption="name"):
    return Tile(np.full((side, side, 3), colour, np.uint8), caption)


def colours(image):
    return {colour for _, colour in image.getcolors(1 << 24)}


def test_every_picture_is_on_the_sheet_whatever_its_size():
    shades = [(10 * k, 255 - 10 * k, 77) for k in range(20)]
    rows = [[tile(shade, side) for shade, side in zip(shades[:17], range(5, 400, 20), strict=False)]]
    rows += [[tile(shade)] for shade in shades[17:]]
    assert set(shades) <= colours(sheet(rows, "Twenty"))


def test_small_pictures_are_enlarged_by_whole_factors():
    square = np.array([[[0, 0, 0], [250, 0, 0]], [[0, 250, 0], [0, 0, 250]]], np.uint8)
    drawn = np.asarray(sheet([[Tile(square, "")]], ""))
    assert (drawn == (250, 0, 0)).all(-1).sum() == (CELL // 2) ** 2


def test_a_long_caption_is_broken_and_nothing_leaves_its_column():
    long = sheet([[tile(0, caption="a/very/long/path/without/spaces/" * 3), tile(9, caption="")]], "")
    short = sheet([[tile(0, caption=""), tile(9, caption="")]], "")
    left = 16 + CELL + 1
    assert np.array_equal(np.asarray(long)[:, left:], np.asarray(short)[:, left:])
    assert not np.array_equal(np.asarray(long), np.asarray(short))


def test_an_empty_sheet_is_a_sheet():
    assert sheet([], "Nothing found").size[0] > 0


def test_the_same_sheet_has_the_same_bytes_and_opens_again():
    rows = [[tile(3), tile(200)]]
    assert png(sheet(rows, "x")) == png(sheet(rows, "x"))
    with Image.open(io.BytesIO(png(sheet(rows, "x")))) as image:
        assert image.format == "PNG"
