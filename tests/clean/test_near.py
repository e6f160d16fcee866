"""Near copies of photographs-like pictures are found, different pictures are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from kit.config.sections import CleanConfig
from kit.images.sources.generated import digits as load
from kit.images.sources.practice import make
from kit.runtime.decode import resize
from kit.stages.clean import background
from kit.stages.clean.background import shared_backgrounds
from kit.stages.clean.measured import measure
from kit.stages.clean.near import FULL, near_copies
from kit.stages.clean.plan import plan
from kit.stages.clean.thumbnails import FORMS, dihedral, fitted

pytestmark = pytest.mark.stage


def jpeg(image, quality):
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=quality)
        return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def crop(image, left, top, right, bottom):
    box = (left, top, image.width - right, image.height - bottom)
    return image.crop(box).resize(image.size, Image.BICUBIC)


def shift(image, across, down):
    return Image.fromarray(np.roll(np.asarray(image), (down, across), (0, 1)))


CHANGES = {
    "jpeg 60": lambda image: jpeg(image, 60),
    "jpeg 90": lambda image: jpeg(image, 90),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "crop of 2 px all round": lambda image: crop(image, 2, 2, 2, 2),
    "crop of 2 px in a corner": lambda image: crop(image, 2, 2, 0, 0),
    "shift": lambda image: shift(image, 1, -1),
    "mirrored jpeg": lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 75),
    "turned crop": lambda image: crop(image.transpose(Image.Transpose.ROTATE_90), 1, 1, 1, 1),
}


@pytest.fixture(scope="module")
def cells():
    practice = make(n=400, size=96, seed=3)
    changed = {row for row, _, _ in practice.planted}
    return practice.images[[row for row in range(400) if row not in changed]]


def pairs_of(images):
    return set(map(tuple, near_copies(images, np.arange(len(images))).pairs.tolist()))


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(name, cells):
    originals = cells[:150]
    copies = np.stack([np.asarray(CHANGES[name](Image.fromarray(image))) for image in originals[:20]])
    found = pairs_of(np.concatenate([originals, copies]))
    expected = {(row, 150 + row) for row in range(20)}
    assert found <= expected
    assert len(found) >= 19


@pytest.mark.parametrize("form", range(1, 8))
def test_every_flip_and_turn_is_found_and_named(form, cells):
    picture = cells[:1]
    moved = dihedral(picture.transpose(0, 3, 1, 2), form).transpose(0, 2, 3, 1)
    found = near_copies(np.concatenate([picture, moved, cells[1:20]]), np.arange(21))
    assert found.pairs.tolist() == [[0, 1]]
    inverse = {5: 6, 6: 5}.get(form, form)
    assert found.form[0] in (form, inverse)
    assert FORMS[found.form[0]] in found.told(0)


def test_different_pictures_are_no_copies(cells):
    assert pairs_of(cells) == set()


def test_only_the_rows_asked_for_are_compared(cells):
    images = np.concatenate([cells[:10], cells[:10, :, ::-1]])
    assert near_copies(images, np.array([2, 5, 12, 17])).pairs.tolist() == [[2, 12]]


def test_flat_pictures_are_no_copies_of_each_other():
    images = np.repeat(np.arange(0, 200, 10, dtype=np.uint8), 32 * 32 * 3).reshape(20, 32, 32, 3)
    assert pairs_of(images) == set()


def test_pictures_that_all_reduce_to_the_same_are_no_copies_of_each_other():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 1, 1, 3), np.uint8)
    assert not len(near_copies(pixels, np.arange(40), measure(pixels)).pairs)


def test_no_or_one_picture_is_no_problem(cells):
    assert pairs_of(cells[:0]) == pairs_of(cells[:1]) == set()


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (8, 8), (200, 30)])
def test_any_shape_can_be_searched(shape):
    noise = np.random.default_rng(0).integers(0, 256, (6, *shape, 3)).astype(np.uint8)
    images = np.concatenate([noise, noise[:2, ::-1]])
    assert pairs_of(images) == {(0, 6), (1, 7)}


@pytest.mark.matrix
@pytest.mark.parametrize("size", [32, 64])
def test_what_was_planted_in_the_practice_set_is_found_and_dropped_or_grouped(size):
    practice = make(n=800, size=size, seed=1)
    result = plan(practice.images, practice.labels, CleanConfig())
    place = dict(zip(result.keep.tolist(), result.group.tolist(), strict=True))
    dropped = {finding.row: finding for finding in result.dropped}
    by_kind = {}
    for row, kind, of in practice.planted:
        by_kind.setdefault(kind, []).append((row, of))
    for row, _ in by_kind["foreign-all-labels"] + by_kind["foreign-one-label"]:
        assert dropped[row].reason == "contamination"
    for kind in ("exact", "conflicting"):
        assert all((row in place) != (of in place) for row, of in by_kind[kind])
    for kind in ("dihedral", "recompressed", "cropped"):
        assert all(place[row] == place[of] for row, of in by_kind[kind])
    assert len({place[row] for row, _ in by_kind["background"]}) == 1
    explained = {row for row, kind, _ in practice.planted if kind != "noisy-label"}
    explained |= {of for _, kind, of in practice.planted if kind not in ("noisy-label", "background")}
    assert set(dropped) <= explained
    grouped = [row for row in place if list(place.values()).count(place[row]) > 1]
    assert set(grouped) <= explained


def test_one_background_is_listed_with_all_its_pictures():
    practice = make(n=600, size=48, seed=5)
    planted = sorted(row for row, kind, _ in practice.planted if kind == "background")
    result = plan(practice.images, practice.labels, CleanConfig(background="keep"))
    assert sorted(f.row for f in result.noted if f.reason == "shared-background") == planted
    assert set(planted) <= set(result.keep.tolist())


def test_pictures_without_texture_share_no_background():
    images = np.full((30, 32, 32, 3), 240, np.uint8)
    images[:, 8:24, 8:24] = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3))
    assert shared_backgrounds(images, np.arange(30)) == []


def test_strokes_that_touch_the_edge_are_no_background():
    images = np.zeros((40, 32, 32, 3), np.uint8)
    images[:, :, 12:18] = 255
    images[:, 8:24, 8:24] = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3))
    assert shared_backgrounds(images, np.arange(40)) == []


def test_a_background_under_most_pictures_is_listed_but_groups_nothing():
    rng = np.random.default_rng(0)
    images = np.repeat(rng.integers(0, 256, (1, 32, 32, 3)).astype(np.uint8), 60, axis=0)
    images[:, 6:26, 6:26] = rng.integers(0, 256, (60, 20, 20, 3))
    result = plan(images, np.zeros(60, np.int64), CleanConfig())
    assert sum(f.reason == "shared-background" for f in result.noted) == 60
    assert len(set(result.group.tolist())) == 60


def with_copies(seed):
    """Noise pictures and flips, brighter ones and exact copies of them, with labels."""
    rng = np.random.default_rng(seed)
    base = rng.integers(20, 200, (8, 16, 16, 3)).astype(np.uint8)
    choice, form = rng.integers(0, 8, 24), rng.integers(0, 8, 24)
    images = np.stack(
        [dihedral(base[c].transpose(2, 0, 1), f).transpose(1, 2, 0) for c, f in zip(choice, form, strict=True)]
    )
    return (images + rng.integers(0, 3, (24, 1, 1, 1)) * 10).astype(np.uint8), rng.integers(-1, 2, 24)


NEAR = st.sampled_from(["group", "drop-copies", "keep"])


@pytest.mark.matrix
@settings(max_examples=30)
@example(18608, "drop-copies", "keep")
@given(st.integers(0, 10**6), NEAR, st.sampled_from(["drop-copies", "group", "keep"]))
def test_dropping_near_copies_is_idempotent_and_blind_to_the_order(seed, near, exact):
    images, labels = with_copies(seed)
    config = CleanConfig(near=near, exact=exact, conflicting="keep")

    def outcome(images, labels):
        result = plan(images, labels, config)
        again = plan(images[result.keep], labels[result.keep], config)
        assert again.dropped == ()
        assert again.group.tolist() == result.group.tolist()
        kept = [(images[row].tobytes(), int(labels[row])) for row in result.keep]
        return sorted(
            sorted(item for item, group in zip(kept, result.group, strict=True) if group == number)
            for number in set(result.group.tolist())
        )

    order = np.random.default_rng(seed).permutation(len(images))
    assert outcome(images, labels) == outcome(images[order], labels[order])


@pytest.mark.parametrize("exact", ["keep", "group"])
def test_a_picture_under_two_labels_is_never_dropped_for_a_near_copy(exact, cells):
    images = np.concatenate([cells[:20], cells[:1], cells[:1, ::-1], cells[:1, ::-1]])
    labels = np.zeros(23, np.int64)
    labels[[20, 22]] = 1
    config = CleanConfig(near="drop-copies", exact=exact, conflicting="keep")
    for order in (np.arange(23), np.arange(23)[::-1]):
        assert len(plan(images[order], labels[order], config).keep) == 23


def test_a_near_copy_dropped_has_a_direct_copy_that_stays(cells):
    images = np.concatenate([cells[:30], cells[:10, ::-1]])
    result = plan(images, np.zeros(40, np.int64), CleanConfig(near="drop-copies"))
    assert len(result.keep) == 30
    assert all(finding.twin in result.keep for finding in result.dropped)
    assert {abs(finding.row - finding.twin) for finding in result.dropped} == {30}


def test_near_copies_under_two_labels_are_listed_as_such_and_never_dropped(cells):
    images = np.concatenate([cells[:5], cells[:1, :, ::-1]])
    result = plan(images, np.array([0, 0, 0, 0, 0, 1]), CleanConfig(near="drop-copies"))
    assert len(result.keep) == 6
    assert [(f.row, f.twin) for f in result.noted if f.reason == "near-conflict"] == [(0, 5), (5, 0)]
    assert result.group[0] == result.group[5]


def film(n, size=16):
    """One scene of a fixed camera with a little noise."""
    scene = make(n=120, size=size, seed=0).images[:1].astype(int)
    return np.clip(scene + np.random.default_rng(0).integers(-2, 3, (n, size, size, 3)), 0, 255).astype(np.uint8)


def test_the_frames_of_a_film_are_as_alike_as_usual_and_no_copies():
    images = film(3000)
    assert pairs_of(images) == set()


def test_a_series_of_look_alikes_becomes_no_group(cells):
    """Each picture is a near copy of the next one, the first and the last are different pictures."""
    first, last = cells[:2].astype(float)
    series = np.stack([first + (last - first) * step / 60 for step in range(61)]).round().astype(np.uint8)
    result = plan(
        np.concatenate([cells[2:], series]), np.zeros(len(cells) + 59, np.int64), CleanConfig(background="keep")
    )
    sizes = np.bincount(result.group)
    assert 2 <= sizes.max() <= 1 + 2 * FULL


def grey_sets(size):
    """Grey pictures of very different likeness: digits, and stripes with a little noise."""
    rng = np.random.default_rng(0)
    stripes = 120 + 80 * np.sin(np.arange(size) / 3 + rng.uniform(0, 7, (300, 1, 1)))
    noisy = np.repeat(stripes, size, axis=1) + rng.normal(0, 12, (300, size, size))
    return {"digits": load(size=size).images[:600], "stripes": np.repeat(noisy[..., None], 3, 3).astype(np.uint8)}


@pytest.mark.parametrize("name", ["digits", "stripes"])
def test_pictures_alike_by_nature_are_told_from_copies(name):
    images = grey_sets(32)[name]
    changes = [CHANGES[change] for change in ("jpeg 90", "darker", "brighter")]
    copies = [np.asarray(change(Image.fromarray(image))) for change in changes for image in images[:20]]
    found = pairs_of(np.concatenate([images, np.stack(copies)]))
    planted = {(row, len(images) + 20 * k + row) for row in range(20) for k in range(3)}
    assert len(planted & found) >= 0.95 * len(planted)
    of_one = {(one, other) for one, other in found if other >= len(images) and one >= len(images)}
    assert len(found - planted - of_one) <= 0.01 * len(images)


@pytest.mark.parametrize("proportion", [0.5, 0.75, 1.6])
def test_padding_makes_nothing_alike_and_hides_no_copy(proportion, cells):
    size = np.array([96, round(96 * proportion)])
    frame = np.tile(fitted(size[None], 64), (140, 1))
    stretched = [Image.fromarray(image).resize(tuple(size[::-1].tolist())) for image in cells[:120]]
    stretched += [jpeg(image, 75) for image in stretched[:20]]
    images = np.stack([resize(np.asarray(image), 64, "fit") for image in stretched])
    result = plan(images, np.zeros(140, np.int64), CleanConfig(), measured=measure(images, frame))
    assert not [finding for finding in result.noted if finding.reason == "shared-background"]
    expected = [*range(120), *range(20)]
    assert result.group.tolist() == expected


def radiographs(n: int) -> list[Image.Image]:
    """Two dark lungs in a bright body with ribs, a mark in a corner, and often black borders; no two alike."""
    rng, found = np.random.default_rng(0), []
    for row in range(n):
        height, width = ((150, 120), (120, 150), (140, 140), (128, 100))[row % 4]
        y, x = (axis / length - 0.5 for axis, length in zip(np.mgrid[:height, :width], (height, width), strict=True))
        x, y = x - rng.normal(0, 0.03), y - rng.normal(0, 0.03)
        grey = 200 * np.clip(1.4 - (x / rng.uniform(0.36, 0.46)) ** 2 - (y / rng.uniform(0.45, 0.6)) ** 2, 0, 1)
        for side in (-1, 1):
            lung = ((x - side * rng.uniform(0.17, 0.2)) / rng.uniform(0.09, 0.13)) ** 2 + (
                y / rng.uniform(0.26, 0.34)
            ) ** 2
            grey -= rng.uniform(90, 130) * np.exp(-(lung**2))
        grey += (
            12 * np.sin(2 * np.pi * (y * rng.uniform(8, 11) + x**2 * rng.uniform(4, 12) + rng.uniform())) * (grey > 60)
        )
        grey += 60 * np.exp(-((x / 0.03) ** 2)) + rng.normal(0, rng.uniform(1, 5), grey.shape)
        border = int(rng.integers(0, 7))
        grey[:, :border] = grey[:, width - border :] = 0
        grey[6:12, -18:-12] = 250
        found.append(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB"))
    return found


@pytest.mark.parametrize("size", [32, 96])
def test_radiographs_of_several_proportions_are_not_linked_and_copies_of_them_are_found(size):
    pictures = radiographs(109)
    pictures += [jpeg(image, 75) for image in pictures[:20]]
    images = np.stack([resize(np.asarray(image), size, "fit") for image in pictures])
    frames = fitted(np.array([image.size[::-1] for image in pictures]), size)
    result = plan(images, np.arange(129) % 109 % 2, CleanConfig(), measured=measure(images, frames))
    assert not [finding for finding in result.noted if finding.reason == "shared-background"]
    assert result.group.tolist() == [*range(109), *range(20)]


@pytest.mark.parametrize("thickness", [1, 3, 6])
def test_bars_and_drawn_frames_are_no_background(thickness, cells):
    images = cells[:60].copy()
    images[:, :thickness] = images[:, -thickness:] = 0
    images[30:, :, :thickness] = images[30:, :, -thickness:] = 200
    assert shared_backgrounds(images, np.arange(60)) == []


def test_a_common_scene_is_found_in_a_sample_of_many_pictures(monkeypatch):
    monkeypatch.setattr(background, "MOST_PAIRS", 1000)
    monkeypatch.setattr(background, "SAMPLE", 50)
    images = np.concatenate([film(200, 24), np.random.default_rng(1).integers(0, 256, (20, 24, 24, 3))])
    found = background.shared_backgrounds(images.astype(np.uint8), np.arange(220))
    assert [part.tolist() for part in found] == [list(range(200))]


def test_outlines_that_are_more_or_less_alike_are_no_background():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 28, 28, 3), np.uint8)
    measured = measure(images)
    common, *others = (way / np.linalg.norm(way) for way in rng.standard_normal((201, measured.edges.shape[1])))
    # A few pullovers are as one, and most are somewhat like them: cosines with what is common.
    cosine = np.r_[rng.uniform(0.93, 0.96, 20), rng.uniform(0.6, 0.75, 180)][:, None]
    across = np.stack([way - way @ common * common for way in others])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    edges = (cosine * common + np.sqrt(1 - cosine**2) * across).astype(np.float32)
    measured = measured._replace(edges=edges, strength=np.ones(200, np.float32))
    assert shared_backgrounds(images, np.arange(200), measured) == []


@pytest.mark.parametrize("size", [8, 16, 32])
def test_strokes_of_digits_are_no_background(size):
    images = load(size=size).images
    assert background.shared_backgrounds(images, np.arange(len(images))) == []
