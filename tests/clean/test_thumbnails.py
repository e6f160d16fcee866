"""Small grey pictures, their low frequencies and symmetries, against Pillow and by definition."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kit.runtime.decode import resize
from kit.stages.clean.measured import measure
from kit.stages.clean.thumbnails import FORMS, dihedral, fitted, grey, turned, whole


def smooth(n, side, seed=0):
    """Pictures with large shapes, as photographs have them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((side, side), Image.BICUBIC)) for c in coarse])


def frequencies(images):
    return measure(images).low


@pytest.mark.parametrize("form", range(len(FORMS)))
@pytest.mark.parametrize("side", [8, 32, 45])
def test_coefficients_of_a_turned_picture_follow_from_the_picture(form, side):
    images = smooth(5, side)
    moved = dihedral(images.transpose(0, 3, 1, 2), form).transpose(0, 2, 3, 1)
    expected = frequencies(np.ascontiguousarray(moved))
    assert np.allclose(turned(frequencies(images), form), expected, atol=0.05)


def test_the_eight_forms_are_the_symmetries_of_a_square():
    square = np.arange(9).reshape(3, 3)
    found = {dihedral(square, form).tobytes() for form in range(8)}
    expected = {np.ascontiguousarray(np.rot90(side, k)).tobytes() for side in (square, square.T) for k in range(4)}
    assert found == expected
    named = {name: dihedral(square, form) for form, name in enumerate(FORMS)}
    assert (named["mirrored"] == np.fliplr(square)).all()
    assert (named["upside down"] == np.flipud(square)).all()
    assert (named["turned by 90 degrees"] == np.rot90(square, -1)).all()
    assert (named["turned by 180 degrees"] == np.rot90(square, 2)).all()
    assert (named["turned by 270 degrees"] == np.rot90(square)).all()
    assert (named["transposed"] == square.T).all()


def test_grey_is_the_luma_of_pillow_within_rounding():
    images = smooth(3, 96)
    for image, found in zip(images, grey(images, whole(images)), strict=True):
        expected = np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.LANCZOS))
        assert np.abs(found - expected).max() < 1.5


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (7, 200), (24, 24), (1, 1000), (33, 32)])
def test_the_frame_of_a_fitted_picture_is_what_is_not_padding(size):
    (frame,) = fitted(np.array([size]), 24)
    top, left, height, width = frame.tolist()
    shown = resize(np.full((*size, 3), 255, np.uint8), 24, "fit")[..., 0] == 255
    expected = np.zeros((24, 24), bool)
    expected[top : top + height, left : left + width] = True
    assert (shown == expected).all()


def test_a_picture_of_unknown_size_is_taken_whole():
    assert fitted(np.array([[0, 0]]), 24).tolist() == [[0, 0, 24, 24]]


def test_only_the_frame_is_looked_at():
    images = smooth(3, 40)
    framed = np.random.default_rng(0).integers(0, 256, (3, 60, 60, 3)).astype(np.uint8)
    frames = np.array([[0, 0, 40, 40], [20, 5, 40, 40], [11, 20, 40, 40]])
    for picture, canvas, (top, left, height, width) in zip(images, framed, frames, strict=True):
        canvas[top : top + height, left : left + width] = picture
    assert np.allclose(grey(framed, frames), grey(images, whole(images)), atol=1e-3)
    assert np.allclose(measure(framed, frames).low, frequencies(images), atol=0.05)
