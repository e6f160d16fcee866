"""Corruptions: seeded per picture, ordered by severity, the same at every size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter
from scipy.stats import chisquare

from kit.config import StressConfig
from kit.errors import DataError
from kit.images.corrupt import FAMILIES, GROUPS, corrupt
from kit.images.corrupt.families import GRADIENT, SCALE, STAIN, _convolved, _disk, _path
from kit.images.corrupt.plan import Mixture, apply, assign, plan_of
from kit.images.sources import practice
from kit.show.figures.sheets import CELL
from kit.stages.stress.stress import contact_sheet

SIDE = 48
EVERY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return practice.make(n=120, size=SIDE).images[:32]


@EVERY
def test_severity_zero_is_the_identity_and_a_new_array(family: str, images: np.ndarray) -> None:
    made = corrupt(images, family, 0, np.arange(32))
    assert np.array_equal(made, images)
    assert not np.shares_memory(made, images)


@EVERY
def test_damage_grows_with_severity(family: str, images: np.ndarray) -> None:
    damage = [
        np.abs(corrupt(images, family, severity, np.arange(32)).astype(int) - images).mean() for severity in range(6)
    ]
    assert np.all(np.diff(damage) > 0), damage


@EVERY
def test_a_picture_depends_on_its_own_seed_alone(family: str, images: np.ndarray) -> None:
    seeds = np.arange(100, 132)
    whole = corrupt(images, family, 3, seeds)
    order = np.random.default_rng(0).permutation(32)
    assert np.array_equal(corrupt(images[order], family, 3, seeds[order]), whole[order])
    assert np.array_equal(corrupt(images[5:6], family, 3, seeds[5:6])[0], whole[5])
    assert np.array_equal(corrupt(images, family, 3, seeds), whole)


@pytest.mark.parametrize(
    "family",
    ["motion-blur", "saturation", "colour-cast", "noise", "stain-spots", "bubbles", "occlusion", "scale", "stain",
     "gradient", "tilted-focus"],
)  # fmt: skip
def test_another_seed_is_another_picture(family: str, images: np.ndarray) -> None:
    same = np.repeat(images[:1], 8, axis=0)
    made = corrupt(same, family, 3, np.arange(8))
    assert len(np.unique(made.reshape(8, -1), axis=0)) > 1


@EVERY
@pytest.mark.parametrize("shape", [(8, 8), (17, 40), (40, 17), (1, 1)])
def test_every_size_and_shape_works(family: str, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    for severity in (1, 5):
        assert corrupt(picture, family, severity, np.arange(2)).shape == picture.shape


@pytest.mark.parametrize(
    "family",
    ["gaussian-blur", "defocus", "motion-blur", "occlusion", "stain-spots", "bubbles", "scale", "gradient",
     "tilted-focus"],
)  # fmt: skip
def test_the_same_picture_is_hurt_alike_at_twice_the_size(family: str) -> None:
    small = np.random.default_rng(0).uniform(0, 255, (16, 96, 96, 3))
    small = 127 + 12 * (gaussian_filter(small, (0, 4, 4, 0)) - 127)
    small = np.clip(small, 0, 255).astype(np.uint8)
    large = small.repeat(2, 1).repeat(2, 2)
    seeds = np.arange(16)
    hurt = [np.abs(corrupt(x, family, 4, seeds).astype(int) - x).mean() for x in (small, large)]
    assert hurt[1] == pytest.approx(hurt[0], rel=0.2)


@pytest.mark.parametrize("kernel", [_disk(2.3), _disk(0.6), _path(5.0, 0.7), _path(0.3, 2.0), _path(9.0, 0.0)])
def test_the_fourier_convolution_agrees_with_scipy(kernel: np.ndarray) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 31, 3)).astype(np.float32)
    wanted = convolve(pixels, kernel[..., None], mode="nearest")
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(_convolved(pixels, kernel), wanted, atol=1e-2)


def test_a_blur_keeps_the_mean_and_noise_has_its_spread() -> None:
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    for family in ("gaussian-blur", "defocus", "motion-blur", "pixelate"):
        assert np.array_equal(corrupt(grey, family, 5, np.arange(4)), grey)
    assert corrupt(grey, "noise", 3, np.arange(4)).std() == pytest.approx(20, rel=0.03)
    hidden = (corrupt(grey, "occlusion", 5, np.arange(4)) != 128).any(-1).mean()
    assert hidden == pytest.approx(0.28, abs=0.03)


def test_an_object_is_as_much_larger_or_smaller_as_the_scale_says() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    disk = np.where(np.hypot(y, x) < 20, 0, 255).astype(np.uint8)[None, ..., None].repeat(3, -1).repeat(16, 0)
    area = (255 - corrupt(disk, "scale", 4, np.arange(16)).astype(float)).sum((1, 2, 3))
    factor = np.sqrt(area / (255 - disk.astype(float)).sum((1, 2, 3)))
    nearest_to = np.where(factor > 1, SCALE[3], 1 / SCALE[3])
    np.testing.assert_allclose(factor, nearest_to, rtol=0.02)
    assert len(np.unique(nearest_to)) == 2


def test_a_stain_multiplies_the_optical_density_of_each_channel_and_leaves_white() -> None:
    levels = np.tile(np.arange(20, 241, dtype=np.uint8)[:, None], (1, 8, 1))[None].repeat(3, -1).repeat(16, 0)
    made = corrupt(levels, "stain", 3, np.arange(16)).astype(float)
    factors = np.log(made / 255) / np.log(levels / 255.0)
    middle = np.median(factors, axis=(1, 2))
    np.testing.assert_allclose(np.abs(np.log(middle)).max(1), STAIN[2], rtol=0.02)
    np.testing.assert_allclose(255 * (levels / 255.0) ** middle[:, None, None], made, atol=1)
    white = np.full((4, 8, 8, 3), 255, np.uint8)
    assert np.array_equal(corrupt(white, "stain", 5, np.arange(4)), white)


def test_a_gradient_is_a_plane_of_light_and_a_tilted_focus_is_sharp_at_one_border_only() -> None:
    grey = np.full((8, 41, 41, 3), 100, np.uint8)
    light = corrupt(grey, "gradient", 3, np.arange(8)) / 100.0
    np.testing.assert_allclose(light[:, ::-1, ::-1] + light, 2, atol=0.02)
    np.testing.assert_allclose(light.max((1, 2, 3)), 1 + GRADIENT[2], atol=0.01)
    assert np.array_equal(corrupt(grey, "tilted-focus", 5, np.arange(8)), grey)
    stripes = np.zeros((64, 96, 96, 3), np.uint8)
    stripes[:, ::4], stripes[:, 1::4] = 200, 200
    moved = np.abs(corrupt(stripes, "tilted-focus", 5, np.arange(64)).astype(float) - stripes).mean(-1)
    corners = np.sort(
        np.stack([moved[:, :8, :8], moved[:, :8, -8:], moved[:, -8:, :8], moved[:, -8:, -8:]]).mean((2, 3)), 0
    )
    assert np.all(corners[0] < 0.15 * corners[3])


def test_groups_of_corruptions_stand_for_their_families_and_without_names_no_laboratory_is_meant() -> None:
    groups = plan_of(StressConfig(families=("laboratory", "noise")))
    assert groups.families == ("scale", "stain", "gradient", "tilted-focus", "noise")
    assert plan_of(StressConfig()) == plan_of(StressConfig(families=("optics", "colour", "objects")))
    assert len(plan_of(StressConfig()).families) == 15
    assert len(plan_of(StressConfig(families=tuple(GROUPS))).families) == len(FAMILIES)


def test_mistakes_are_named(images: np.ndarray) -> None:
    with pytest.raises(DataError, match="unknown corruption 'nois'") as caught:
        corrupt(images, "nois", 1, np.arange(32))
    assert "noise" in caught.value.hint
    with pytest.raises(DataError, match="severity 6"):
        corrupt(images, "noise", 6, np.arange(32))
    with pytest.raises(DataError, match="3 seeds for 32"):
        corrupt(images, "noise", 1, np.arange(3))
    with pytest.raises(DataError, match="float"):
        corrupt(images.astype(float), "noise", 1, np.arange(32))


def test_a_mixture_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="unknown"):
        Mixture(("noise", "rain")).check()
    with pytest.raises(DataError, match="twice"):
        Mixture(("noise", "jpeg", "noise")).check()
    Mixture().check()


def test_the_shares_come_out() -> None:
    mixture = Mixture(("noise", "jpeg"), clean=0.3, severities=(3, 2, 1, 1, 0))
    fate = assign(mixture, [str(i) for i in range(20_000)], 7)
    seen = [int(((fate.family == f) & (fate.severity == s)).sum()) for f, s in mixture.cells]
    positive = mixture.shares > 0
    assert np.all(np.array(seen)[~positive] == 0)
    assert chisquare(np.array(seen)[positive], mixture.shares[positive] * 20_000).pvalue > 0.001


def test_a_picture_keeps_its_fate_whatever_its_row_and_company(images: np.ndarray, tmp_path) -> None:
    ids = np.array([f"cell-{i}" for i in range(32)])
    mixture = Mixture()
    whole = apply(mixture, images, ids, 1)
    order = np.random.default_rng(0).permutation(32)[:11]
    assert np.array_equal(apply(mixture, images[order], ids[order], 1), whole[order])
    assert not np.array_equal(apply(mixture, images, ids, 2), whole)
    target = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, images.shape)
    target[:] = images
    assert np.array_equal(apply(mixture, target, ids, 1), whole)
    untouched = assign(mixture, ids, 1).family == "clean"
    assert untouched.any()
    assert np.array_equal(whole[untouched], images[untouched])


def test_blocks_do_not_show() -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 3), np.uint8)
    ids = [str(i) for i in range(600)]
    tail = apply(Mixture(), images[300:], ids[300:], 3)
    assert np.array_equal(apply(Mixture(), images, ids, 3)[300:], tail)


def test_the_sheet_has_a_row_for_every_family(images: np.ndarray) -> None:
    sheet = contact_sheet(images)
    assert sheet.size[0] // CELL == 6 and sheet.size[1] > CELL * len(FAMILIES)
