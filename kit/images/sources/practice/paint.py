"""Paint stained cells: layers of optical density, as light passes through a smear.

Every layer is a (B, size, size) float32 coverage; stains absorb (Beer-Lambert), so the picture is
``255 * exp(-sum of layer * colour)``. Nuclei and cell bodies are sums of Gaussian blobs, whose logistic edge is about
as soft as a microscope's; separable, so a matrix product paints all blobs of a cell at once.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.images.sources.practice.draws import SLIDE, Cells, Dice, Scenes, draw_cells, draw_scenes, express, generator

Layer = NDArray[np.float32]

RED_CELLS = 6
DISCS = 14  # along the nucleus' axis
SLIDES = 16
# Rows painted at once: the layers of 20 cells of 64 px (3 MB) stay in a core's cache. Always whole blocks of the same
# rows, so that a row's bytes cannot depend on how many rows there are.
BLOCK = 20

# Optical density of full coverage in red, green and blue.
STAINS = np.array(
    [
        (0.05, 0.11, 0.08),  # plasma: the background
        (1.00, 1.00, 1.00),  # light missing at the rim of the field
        (0.10, 0.33, 0.27),  # red cell
        (0.55, 0.85, 0.25),  # specks: platelets and drops of stain
        (0.07, 0.22, 0.09),  # cytoplasm, pink
        (0.42, 0.36, 0.05),  # cytoplasm, blue
        (0.78, 1.30, 0.40),  # nucleus
        (0.14, 0.30, 0.09),  # granules, lilac
        (0.04, 0.50, 0.66),  # granules, orange
        (0.95, 1.35, 0.52),  # granules, dark violet
    ],
    np.float32,
)


def render(
    labels: NDArray[np.int64], scenes: NDArray[np.int64], size: int, seed: int, split: int, slides: range
) -> NDArray[np.uint8]:
    """Paint the cells of rows 0 to N - 1 with ``labels``: (N, size, size, 3) uint8.

    ``scenes`` (N,) says which surroundings each cell lies in, usually its own row; ``split`` is 0 for training and 1
    for the hidden test, which has other cells; ``slides`` were stained for this split.
    """
    images = np.empty((len(labels), size, size, 3), np.uint8)
    # Matrices this small gain nothing from threads, and on a busy machine waiting for them costs tenfold.
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(labels), BLOCK):
            rows = np.arange(start, start + BLOCK)
            held = np.minimum(rows, len(labels) - 1)
            cells, surroundings = draw_cells(seed, split, rows), draw_scenes(seed, split, scenes[held], size)
            block = paint(labels[held], cells, surroundings, size, seed, slides)
            images[start : start + BLOCK] = block[: len(labels) - start]
    return images


def paint(
    labels: NDArray[np.int64], cells: Cells, scenes: Scenes, size: int, seed: int, slides: range
) -> NDArray[np.uint8]:
    """Paint B cells of ``labels`` into B surroundings: (B, size, size, 3) uint8."""
    dice = Dice(scenes.uniform)
    slide = np.asarray(slides)[(dice.between(0, 1)[:, 0] * len(slides)).astype(int)]
    body, inside = _cell_layers(labels, cells, size)
    layers = np.stack([*_surroundings(dice, 1 - body, size), *inside], axis=1)
    colours = _slide_stains(seed)[slide] * dice.between(0.9, 1.1, 3)[:, None, :]
    density = colours.transpose(0, 2, 1) @ layers.reshape(len(labels), len(STAINS), -1)
    np.negative(density, out=density)
    light = np.exp(density, out=density)
    light *= 255
    light += scenes.noise * dice.between(0.8, 2.2)[:, :, None]
    np.clip(np.rint(light, out=light), 0, 255, out=light)
    return np.ascontiguousarray(light.astype(np.uint8).transpose(0, 2, 1)).reshape(-1, size, size, 3)


@lru_cache(maxsize=4)
def _slide_stains(seed: int) -> NDArray[np.float32]:
    """(SLIDES, layers, 3): each slide was stained by somebody else on another day."""
    tables = []
    for slide in range(SLIDES):
        rng = generator(seed, SLIDE, slide)
        eosin, basic = rng.uniform(0.8, 1.25, 2)
        strength = np.array([rng.uniform(0.6, 1.6), 1, eosin, basic, eosin, basic, basic, basic, eosin, basic])
        hue = 1 + rng.uniform(-0.10, 0.10, (len(STAINS), 3)) + rng.uniform(-0.08, 0.08, 3)
        hue[1] = 1
        tables.append(STAINS * strength[:, None] * hue)
    return np.array(tables, np.float32)


@lru_cache(maxsize=16)
def _axis(size: int) -> NDArray[np.float32]:
    return ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)


@lru_cache(maxsize=16)
def _knots(size: int, count: int) -> NDArray[np.float32]:
    """(size, count) weights that turn random knots into a smooth texture of variance one."""
    place = (_axis(size) + 1) * np.float32((count - 1) / 2)
    weights: Layer = np.exp(-0.5 * ((place[:, None] - np.arange(count)) / 0.7) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights.astype(np.float32)


def _texture(knots: Layer, size: int) -> Layer:
    weights = _knots(size, knots.shape[-1])
    return np.asarray(weights @ knots @ weights.T, np.float32)


def _blobs(x: Layer, y: Layer, radius: Layer, size: int, edge: float) -> Layer:
    """Sum over discs (B, D) of exp(edge * (1 - distance^2 / radius^2)): one at the rim of a lone disc."""
    axis = _axis(size)
    squeeze = np.float32(edge) / radius[..., None] ** 2
    across = np.exp(np.float32(edge / 2) - squeeze * (axis - x[..., None]) ** 2)
    down = np.exp(np.float32(edge / 2) - squeeze * (axis - y[..., None]) ** 2)
    return down.transpose(0, 2, 1) @ across


def _mask(blobs: Layer) -> Layer:
    """Coverage in [0, 1] with a logistic edge, exactly 0 far outside."""
    blobs = np.maximum(blobs - np.float32(0.02), 0)
    return blobs / (1 + blobs)


def _surroundings(dice: Dice, outside: Layer, size: int) -> list[Layer]:
    """Plasma, missing light, red cells and specks; the last two give way to the white cell."""
    axis = _axis(size)
    down, across = axis[None, :, None], axis[None, None, :]
    tilt = dice.between(-0.10, 0.10, 2)[:, :, None, None]
    rim = dice.between(-0.02, 0.10)[:, :, None]
    haze = dice.between(-0.04, 0.10)[:, :, None]
    shade = (haze + tilt[:, 0] * across + rim * across**2) + (tilt[:, 1] * down + rim * down**2)
    red = _red_cells(dice, size)
    # Two specks, platelets or drops of stain, half of them out of sight.
    angle, far = dice.between(0, 2 * np.pi, 2), dice.between(0.75, 1.7, 2)
    radius = dice.between(0.05, 0.11, 2)
    specks = _mask(_blobs(far * np.cos(angle), far * np.sin(angle), radius, size, edge=1.5)) * np.float32(0.6)
    return [np.ones_like(shade), shade, red * outside, specks * outside]


def _red_cells(dice: Dice, size: int) -> Layer:
    axis = _axis(size)
    turn = dice.between(0, 2 * np.pi) + np.arange(RED_CELLS, dtype=np.float32) * np.float32(2 * np.pi / RED_CELLS)
    angle = turn + dice.between(-0.5, 0.5, RED_CELLS)
    # A red cell that would lie in the picture's middle is sent out of it: the white cell lies on plasma.
    far = dice.between(0.76, 1.6, RED_CELLS)
    radius = dice.between(0.30, 0.38) * dice.between(0.88, 1.12, RED_CELLS)
    flat = dice.between(0.9, 1.1, RED_CELLS)
    across = ((axis - (far * np.cos(angle))[..., None]) / (radius * flat)[..., None]) ** 2
    down = ((axis - (far * np.sin(angle))[..., None]) / (radius / flat)[..., None]) ** 2
    nearest = across[:, 0, None, :] + down[:, 0, :, None]
    for k in range(1, RED_CELLS):
        np.minimum(nearest, across[:, k, None, :] + down[:, k, :, None], out=nearest)
    pale = np.clip(np.float32(1.15) - nearest * np.float32(1.9), 0, 1) * dice.between(0.15, 0.75)[:, :, None]
    red: Layer = np.clip((np.float32(1.08) - nearest) * 5, 0, 1)
    red *= 1 - pale
    return red


def _cell_layers(labels: NDArray[np.int64], cells: Cells, size: int) -> tuple[Layer, list[Layer]]:
    """The white cell's coverage, and its layers in the order of `STAINS` from the cytoplasm on."""
    trait = {name: value[:, None, None] for name, value in express(labels, cells.normal).items()}
    dice = Dice(cells.uniform)
    smooth, chromatin = _texture(cells.smooth, size), _texture(cells.coarse, size)
    centre = dice.between(-0.08, 0.08, 2)
    body = _body(trait, dice, centre, smooth[:, 0], size)
    nucleus = _nucleus(trait, dice, centre, smooth[:, 1], size) * np.minimum(body * 2, 1)
    mix = trait["coarseness"]
    texture = mix * chromatin[:, 1] + np.sqrt(1 - mix * mix) * _texture(cells.fine, size)
    grain: Layer = np.clip((texture - 1) * np.float32(0.9) + trait["granules"] * np.float32(1.2), 0, 1)
    grain *= body * (1 - nucleus * (1 - trait["covering"]))
    holes = np.clip(smooth[:, 1] * chromatin[:, 0] - 1, 0, 1) * trait["vacuoles"]
    plasm = body * (1 - nucleus) * trait["cytoplasm"] * (1 - holes)
    nucleus *= trait["nucleus_stain"] * (1 + trait["chromatin"] * chromatin[:, 0])
    dark = grain * trait["dark"]
    orange = (grain - dark) * trait["orange"]
    pink = plasm * (1 - trait["blue"])
    return body, [pink, plasm - pink, nucleus, grain - dark - orange, orange, dark]


def _body(trait: dict[str, Layer], dice: Dice, centre: Layer, smooth: Layer, size: int) -> Layer:
    """The cell's outline: three overlapping discs, ruffled."""
    radius = trait["radius"][:, 0] * np.ones(3, np.float32)
    angle = dice.between(0, 2 * np.pi, 3)
    reach = trait["ruffle"][:, 0] * radius * 2
    x, y = centre[:, :1] + reach * np.cos(angle), centre[:, 1:] + reach * np.sin(angle)
    blobs = _blobs(x, y, radius * (1 - trait["ruffle"][:, 0]), size, edge=8)
    return _mask(blobs * np.maximum(1 + trait["ruffle"] * 3 * smooth, np.float32(0.3)) ** 2)


def _nucleus(trait: dict[str, Layer], dice: Dice, centre: Layer, smooth: Layer, size: int) -> Layer:
    """Discs along a bent axis, their width waxing and waning with the lobes."""
    at = (np.arange(DISCS, dtype=np.float32) * 2 + 1) / DISCS - 1
    own = {name: value[:, 0] for name, value in trait.items()}
    swell = np.sin(np.float32(np.pi / 2) * own["lobes"] * (at + 1)) ** 2
    width = own["nucleus_width"] * (1 - own["lobing"] * (1 - swell)) * (1 + dice.between(-0.1, 0.1, DISCS))
    bow = own["nucleus_length"] / own["bend"]
    along = bow * np.sin(at * own["bend"] / 2)
    aside = bow * np.cos(at * own["bend"] / 2)
    aside -= aside.mean(axis=1, keepdims=True)
    turn, shift = dice.between(0, 2 * np.pi), dice.between(0, 2 * np.pi)
    x = along * np.cos(turn) - aside * np.sin(turn) + own["eccentricity"] * np.cos(shift)
    y = along * np.sin(turn) + aside * np.cos(turn) + own["eccentricity"] * np.sin(shift)
    scale = own["radius"]
    blobs = _blobs(centre[:, :1] + x * scale, centre[:, 1:] + y * scale, width * scale, size, edge=3.5)
    return _mask(blobs * (1 + np.float32(0.15) * smooth) ** 2)
