"""One decoder: every kind of file gives the stated pixels or the stated reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import RGB, bad, encoded, good
from PIL import Image

from kit.runtime import decode
from kit.runtime.decode import Unreadable

GOOD, BAD = good(), bad()


@pytest.fixture(autouse=True)
def _quiet():
    with decode.quiet():
        yield


def test_there_are_forty_files_and_more():
    assert len(GOOD) + len(BAD) >= 40


@pytest.mark.parametrize("name", GOOD)
def test_a_readable_file_gives_the_golden_pixels(name):
    sample = GOOD[name]
    pixels = decode.decode(sample.data)
    assert pixels.dtype == np.uint8 and pixels.shape == sample.pixels.shape
    assert np.abs(pixels.astype(int) - sample.pixels.astype(int)).max() <= sample.within


@pytest.mark.parametrize("name", GOOD)
def test_the_header_gives_the_size_of_the_pixels(name):
    assert decode.header_size(GOOD[name].data) == decode.decode(GOOD[name].data).shape[:2]


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_gives_the_reason(name):
    with pytest.raises(Unreadable) as caught:
        decode.decode(BAD[name].data)
    assert BAD[name].reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_any_pixel_is_decoded(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(Unreadable, match="decompression bomb"):
        decode.decode(BAD["large.png"].data)


def test_sixteen_bits_are_scaled_and_not_cut_off():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(2, axis=0)
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    np.testing.assert_array_equal(decode.decode(out.getvalue())[0, :, 0], np.arange(256))


@pytest.mark.parametrize("policy", ["fit", "crop", "stretch"])
@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), size=st.integers(1, 64))
def test_every_policy_gives_the_size_and_the_same_pixels_twice(policy, height, width, size):
    pixels = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    once, again = (decode.resize(pixels, size, policy) for _ in range(2))
    assert once.shape == (size, size, 3) and once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("policy", ["fit", "crop", "stretch"])
def test_an_image_of_the_right_size_is_not_touched(policy):
    square = RGB[:5, :5]
    np.testing.assert_array_equal(decode.resize(square, 5, policy), square)


def test_fit_shows_everything_on_black_crop_fills_and_stretch_distorts():
    white = np.full((20, 40, 3), 255, np.uint8)
    fit = decode.resize(white, 20, "fit")
    assert (fit[:5] == 0).all() and (fit[15:] == 0).all() and (fit[5:15] == 255).all()
    halves = np.concatenate([np.zeros((20, 10, 3)), np.full((20, 20, 3), 200), np.zeros((20, 10, 3))], 1).astype(
        np.uint8
    )
    assert (decode.resize(halves, 20, "crop") == 200).all()
    assert (decode.resize(halves, 20, "stretch")[:, 0] == 0).all()


def test_a_strip_keeps_at_least_one_line_of_pixels():
    strip = np.full((1, 1000, 3), 255, np.uint8)
    assert (decode.resize(strip, 32, "fit") == 255).any()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_to_any_file_raises_anything_but_a_reason(data):
    samples = [sample.data for sample in (GOOD | BAD).values() if sample.data]
    content = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        try:
            pixels = decode.decode(damaged, 16, "fit")
        except Unreadable as error:
            assert str(error)
        else:
            assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8


def test_a_resized_file_is_its_pixels_resized():
    data = encoded(Image.fromarray(RGB), "PNG")
    for policy in ("fit", "crop", "stretch"):
        np.testing.assert_array_equal(decode.decode(data, 32, policy), decode.resize(RGB, 32, policy))
