"""Small synthetic competitions on disk: pictures of coloured squares, written as people receive them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from kit.images.sources import RawSet

COLOURS = {"cat": (200, 60, 60), "dog": (60, 200, 60), "hen": (60, 60, 200)}


def picture(name: str, seed: int, size: int = 32) -> Image.Image:
    """A noisy square of the class's colour somewhere in the frame."""
    rng = np.random.default_rng([seed, *name.encode()])
    pixels = rng.integers(0, 120, (size, size, 3))
    side = size // 2
    top, left = rng.integers(0, size - side, 2)
    pixels[top : top + side, left : left + side] += np.array(COLOURS[name]) // 2
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def names(n: int) -> list[str]:
    return [list(COLOURS)[row % len(COLOURS)] for row in range(n)]


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def all_images(raw: RawSet) -> np.ndarray:
    """Every image of a source, each of which can be read."""
    blocks = [(images, problems) for _, images, problems in raw.blocks()]
    assert not any(problems for _, problems in blocks)
    return np.concatenate([images for images, _ in blocks])


def folder_competition(root: Path, n: int = 36) -> None:
    """``raw/<class>/<row>.png``, three of them damaged, and ``hidden/<class>/``."""
    for folder, count, seed in (("raw", n, 0), ("hidden", 12, 1000)):
        for row, name in enumerate(names(count)):
            target = root / folder / name
            target.mkdir(parents=True, exist_ok=True)
            picture(name, seed + row).save(target / f"{row:03d}.png")
    (root / "raw/cat/empty.png").write_bytes(b"")
    (root / "raw/cat/text.jpg").write_text("not found")
    whole = (root / "raw/dog/001.png").read_bytes()
    (root / "raw/dog/half.png").write_bytes(whole[: len(whole) // 2])
    (root / "raw/.DS_Store").write_bytes(b"x")


def kaggle_competition(root: Path, n: int = 36, tests: int = 9) -> None:
    """``raw/train.csv`` with patients and weights, ``raw/train/``, ``raw/test/`` and a sample file of labels."""
    for folder in ("raw/train", "raw/test"):
        (root / folder).mkdir(parents=True)
    rows: list[list[object]] = []
    for row, name in enumerate(names(n)):
        picture(name, row).save(root / "raw/train" / f"img_{row:03d}.png")
        rows.append([f"img_{row:03d}", f"p{row // 3}", 1 + row % 2, name])
    write_csv(root / "raw/train.csv", ["image_id", "patient", "trust", "label"], rows)
    for row, name in enumerate(names(tests)):
        picture(name, 5000 + row).save(root / "raw/test" / f"test_{row:02d}.png")
    order = [(row * 4) % tests for row in range(tests)]  # not sorted, as hosts do
    write_csv(root / "raw/sample_submission.csv", ["image_id", "label"], [[f"test_{row:02d}", "cat"] for row in order])
