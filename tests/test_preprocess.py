"""Preprocessors do what their definitions say, and are part of the network wherever it goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from kit.runtime.preprocess import PREPROCESSORS, side_after

pytestmark = pytest.mark.tf


def pictures(n: int = 2, side: int = 24) -> Any:
    """Dark discs on a bright, unevenly lit background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    images = np.empty((n, side, side, 3), np.float32)
    for image in images:
        cy, cx = rng.uniform(side / 3, 2 * side / 3, 2)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < (side / 6) ** 2
        image[:] = (200 + 40 * x / side - 110 * disc)[..., None] + rng.normal(0, 3, (side, side, 3))
    return np.clip(images, 0, 255).round().astype(np.float32)


def run(op: str, images: Any, **keys: Any) -> Any:
    return np.asarray(PREPROCESSORS[op](images, **keys))


@pytest.mark.parametrize("op", PREPROCESSORS)
def test_an_image_is_treated_by_itself_and_stays_in_range(op: str) -> None:
    images = pictures(3)
    whole = run(op, images)
    assert whole.min() >= 0
    assert whole.max() <= 255
    assert np.allclose(run(op, images[1:2]), whole[1:2], atol=1e-3)
    assert not np.allclose(run(op, images)[:, :4, :4], images[:, :4, :4]) or op in ("segmentation", "resize")


@pytest.mark.parametrize("op", ["illumination", "clahe", "bilateral", "segmentation"])
def test_it_commutes_with_turns_and_flips(op: str) -> None:
    images = pictures()
    turned = np.ascontiguousarray(np.rot90(images, 1, (1, 2))[:, ::-1])
    assert np.allclose(run(op, turned), np.rot90(run(op, images), 1, (1, 2))[:, ::-1], atol=0.05)


def test_illumination_is_the_closing_and_the_blur_of_scipy() -> None:
    (image,) = pictures(1)
    closed = ndimage.grey_erosion(ndimage.grey_dilation(image, size=(7, 7, 1)), size=(7, 7, 1))
    background = ndimage.gaussian_filter(closed, (2, 2, 0), radius=(6, 6, 0), mode="reflect")
    expected = np.clip(image / background * background.mean(axis=(0, 1)), 0, 255)
    assert np.allclose(run("illumination", image[None], radius=3, sigma=2)[0], expected, atol=0.05)


def test_illumination_evens_the_background_out() -> None:
    images = pictures()
    edges = np.s_[:, :, [0, 1, -2, -1]]
    slope = images[edges].mean(axis=(1, 3)) @ [-1, -1, 1, 1]
    after = run("illumination", images, radius=6, sigma=4)[edges].mean(axis=(1, 3)) @ [-1, -1, 1, 1]
    assert (np.abs(after) < 0.5 * np.abs(slope)).all()


def test_one_tile_without_a_limit_is_histogram_equalisation() -> None:
    levels = np.random.default_rng(1).integers(90, 160, (1, 20, 20)).astype(np.float32)
    images = np.repeat(levels[..., None], 3, axis=3)
    counts = np.bincount(levels.astype(int).ravel(), minlength=256)
    expected = (counts.cumsum() * 255 / 400)[levels.astype(int)]
    assert np.allclose(run("clahe", images, clip=1e6, tiles=1)[..., 0], expected, atol=0.01)


def test_a_low_limit_leaves_contrast_as_it_is_and_a_high_one_raises_it() -> None:
    images = np.clip(pictures() * 0.2 + 100, 0, 255)
    spread = [run("clahe", images, clip=clip).std() for clip in (1.0, 2.0, 8.0)]
    assert spread[0] < spread[1] < spread[2]


def test_bilateral_is_its_formula() -> None:
    images = pictures(1, 9)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")[0].astype(float)
    expected = np.zeros((9, 9, 3))
    for y, x in np.ndindex(9, 9):
        window = padded[y : y + 3, x : x + 3]
        far = np.array([[2, 1, 2], [1, 0, 1], [2, 1, 2]]) / (2 * 1.5**2)
        weight = np.exp(-far - ((window - padded[y + 1, x + 1]) ** 2).sum(axis=2) / (2 * 20.0**2))
        expected[y, x] = (weight[..., None] * window).sum(axis=(0, 1)) / weight.sum()
    assert np.allclose(run("bilateral", images, radius=1, sigma_space=1.5, sigma_color=20)[0], expected, atol=0.01)


def test_otsu_is_the_best_of_all_thresholds() -> None:
    from kit.runtime.preprocess import otsu

    luma = np.random.default_rng(2).integers(0, 256, (3, 12, 12)).astype(np.float32)
    luma[0] = np.where(luma[0] > 100, 180, 40) + luma[0] / 10
    for image, threshold in zip(luma, np.asarray(otsu(luma)), strict=True):
        values = image.round().ravel()

        def within(t: float, values: Any = values) -> float:
            return sum(part.var() * part.size for part in (values[values <= t], values[values > t]) if part.size)

        assert within(threshold) == pytest.approx(min(within(t + 0.5) for t in range(255)), rel=1e-4)


def test_segmentation_paints_the_background_and_keeps_the_object() -> None:
    images = pictures()
    found = run("segmentation", images, radius=1)
    dark = images.mean(axis=3) < 150
    assert (found[dark] == images[dark]).mean() > 0.8
    assert (found[images.mean(axis=3) > 180] == 255).mean() > 0.98


def test_a_network_holds_its_preprocessing() -> None:
    from kit.runtime.backbones import build

    steps = [{"op": "clahe", "tiles": 2}, {"op": "resize", "size": 32}]
    described = {"backbone": "plain-cnn", "size": 24, "classes": 3, "head": {}, "preprocess": steps}
    network = build(described)
    assert network.model.input_shape == (None, 24, 24, 3)
    assert network.backbone.input_shape == (None, 32, 32, 3)
    assert side_after(steps, 24) == 32
    images = pictures(2)
    by_hand = run("resize", run("clahe", images, tiles=2), size=32)
    expected = np.asarray(network.backbone(by_hand / 255)).mean(axis=(1, 2))
    assert np.allclose(network.features(images), expected, atol=1e-4)
