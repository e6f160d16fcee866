"""How many images every corruption makes in a second of one core's own time; the peer is Pillow's own Gaussian blur.

python benchmarks/corrupt_speed.py --size 96 --sheet sheet.png
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image, ImageFilter

from kit.images.corrupt import FAMILIES, corrupt
from kit.images.sources import practice
from kit.stages.stress.stress import contact_sheet


def rate(images: np.ndarray, family: str) -> float:
    seeds = np.arange(len(images))
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        for severity in (1, 3, 5):
            corrupt(images, family, severity, seeds)
        best = min(best, (time.process_time() - start) / 3)
    return len(images) / best


def peer(images: np.ndarray) -> float:
    start = time.process_time()
    for image in images:
        np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.3)))
    return len(images) / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    print(machine())
    images = practice.make(n=120, size=options.size).images[:100]
    base = peer(images)
    rates = {family: rate(images, family) for family in FAMILIES}
    for family, value in rates.items():
        print(f"{family:16s} {value:8.0f} images/s   {value / base:5.2f} x Pillow's blur ({base:.0f})")
    mean = len(rates) / sum(1 / value for value in rates.values())
    print(f"{'mean time':16s} {mean:8.0f} images/s   target 500: {'reached' if mean >= 500 else 'missed'}")
    if options.sheet:
        contact_sheet(images).save(options.sheet)


if __name__ == "__main__":
    main()
