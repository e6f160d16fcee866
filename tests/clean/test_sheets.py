"""Contact sheets show every picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from kit.config.sections import CleanConfig
from kit.images.sources.practice import make
from kit.show.figures.sheets import CELL, Tile, png, sheet
from kit.stages.clean.plan import plan
from kit.stages.clean.review import contact_sheets


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
    short = sheet([[tile(0, caption="\n".join("abcd")), tile(9, caption="")]], "")
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


def test_a_plan_has_a_sheet_for_every_reason_with_the_pictures_and_their_twins():
    practice = make(n=300, size=32, seed=1)
    result = plan(practice.images, practice.labels, CleanConfig(outliers="knn", outlier_share=0.05))
    sheets = contact_sheets(practice.images, practice.labels, result, [f"cell-{row}" for row in range(300)])
    assert list(sheets) == sorted({finding.reason for finding in (*result.dropped, *result.noted)})
    assert {"contamination", "exact-copy", "near-copy", "outlier", "shared-background"} <= set(sheets)
    copy = next(finding for finding in result.dropped if finding.reason == "exact-copy")
    shown = colours(sheets["exact-copy"])
    assert set(map(tuple, practice.images[copy.twin].reshape(-1, 3).tolist())) <= shown


def test_a_plan_without_findings_has_no_sheets():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    labels = np.zeros(3, np.int64)
    assert contact_sheets(images, labels, plan(images, labels, CleanConfig()), []) == {}
