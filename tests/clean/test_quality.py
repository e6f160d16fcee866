"""Statistics, quality and outliers: what is odd is listed, the nature of the data is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from kit.config.sections import CleanConfig
from kit.images.sources.practice import make
from kit.stages.clean.measured import measure
from kit.stages.clean.plan import plan
from kit.stages.clean.quality import METHODS, odd_sizes, outlier_scores, quality, strangest


@pytest.fixture(scope="module")
def cells():
    practice = make(n=200, size=48, seed=2)
    changed = {row for row, _, _ in practice.planted}
    return practice.images[[row for row in range(200) if row not in changed]]


def found(images):
    rows = np.arange(len(images))
    return {(finding.row, finding.reason) for finding in quality(measure(images[rows]).statistics, rows)}


SPOILT = {
    "dark": lambda image: image // 5,
    "light": lambda image: 245 + image // 26,
    "blurry": lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(4))),
    "low-information": lambda image: np.where(image > 128, 200, 60).astype(np.uint8),
    "grey": lambda image: np.repeat(image[..., 1:2], 3, axis=2),
}


def test_good_pictures_have_no_problem(cells):
    assert found(cells) == set()


@pytest.mark.parametrize("reason", SPOILT)
def test_a_spoilt_picture_is_listed(reason, cells):
    images = cells.copy()
    images[7] = SPOILT[reason](images[7])
    assert (7, reason) in found(images)
    assert {row for row, _ in found(images)} == {7}


@pytest.mark.parametrize("reason", ["dark", "light", "grey"])
def test_what_most_pictures_show_is_the_nature_of_the_data(reason, cells):
    images = np.stack([SPOILT[reason](image) for image in cells])
    assert reason not in {name for _, name in found(images)}


def test_statistics_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3)).astype(np.uint8)
    got = measure(images[[4, 1]]).statistics
    darkest, middle, brightest, got_entropy, _, chroma = got.T[:6]
    flat = images[[4, 1]].astype(float)
    assert np.allclose(got[:, 6:9], flat.mean(axis=(1, 2)), atol=1e-3)
    assert np.allclose(got[:, 9:12], flat.std(axis=(1, 2)), atol=1e-3)
    assert np.allclose(chroma, (flat.max(-1) - flat.min(-1)).mean(axis=(1, 2)), atol=1e-3)
    luma = np.stack([np.asarray(Image.fromarray(images[row]).convert("L")) for row in (4, 1)])
    for column, percent in ((darkest, 5), (middle, 50), (brightest, 99)):
        assert np.abs(column - np.percentile(luma, percent, axis=(1, 2))).max() <= 1.5
    entropy = [Image.fromarray(one).entropy() for one in luma]
    assert np.allclose(got_entropy, entropy, atol=0.05)
    assert got.shape == (2, 13)


@given(st.integers(0, 10**6), st.integers(0, 3))
def test_odd_sizes_are_far_from_the_rest(seed, many):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(90, 110, (40, 2))
    sizes[:many] = np.array([[30, 30], [400, 300], [100, 900]])[:many]
    assert [finding.row for finding in odd_sizes(sizes, np.arange(40))] == list(range(many))


def test_equal_sizes_are_not_odd_and_none_is_no_problem():
    assert odd_sizes(np.full((10, 2), 96), np.arange(10)) == []
    assert odd_sizes(np.empty((0, 2), int), np.arange(0)) == []


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_of_its_own_class_is_the_strangest(method):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    features = rng.normal(size=(200, 4)) + 10 * labels[:, None]
    features[17] += 10  # ordinary for class 1, not for its own
    scores = outlier_scores(features, labels, method)
    assert strangest(scores, labels, 0.01)[0] == 17
    assert len(strangest(scores, labels, 0.05)) == 10


@pytest.mark.parametrize("method", METHODS)
def test_outlier_scores_depend_on_the_seed_alone_and_say_nothing_of_small_classes(method):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(119, 3)), np.repeat([-1, 3], [100, 19])
    scores = outlier_scores(features, labels, method, seed=4)
    assert (scores == outlier_scores(features, labels, method, seed=4)).all()
    assert (scores[labels == 3] == 0).all() and (scores[labels == -1] > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_of_something_else_is_listed_and_kept(method, cells):
    images = cells.copy()
    images[5] = (np.mgrid[:48, :48].sum(axis=0) * 2)[..., None]
    result = plan(images, np.zeros(len(images), np.int64), CleanConfig(outliers=method))
    assert [finding.row for finding in result.noted if finding.reason == "outlier"] == [5]
    assert len(result.keep) == len(images)


def test_outliers_are_dropped_with_their_copies_where_that_is_asked_for(cells):
    images = np.concatenate([cells, cells[5:6]])
    images[[5, -1]] = (np.mgrid[:48, :48].sum(axis=0) * 2)[..., None]
    settings = CleanConfig(outliers="isolation-forest", drop_outliers=True, exact="keep", contamination=False)
    result = plan(images, np.zeros(len(images), np.int64), settings)
    assert [(finding.row, finding.reason) for finding in result.dropped] == [
        (5, "outlier"),
        (len(images) - 1, "outlier"),
    ]
    pinned = plan(images, np.zeros(len(images), np.int64), settings, overrides={5: "keep"})
    assert [finding.row for finding in pinned.dropped] == [len(images) - 1]


def test_nothing_is_listed_where_it_is_switched_off(cells):
    images = cells.copy()
    images[7] //= 5
    assert plan(images, np.zeros(len(images), np.int64), CleanConfig(quality=False)).noted == ()
