"""Identical pixels."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from kit.base.arrays import ImageArray, IntArray


def picture_numbers(images: ImageArray) -> IntArray:
    """Number the distinct pictures of (N, H, W, 3) uint8, by first row; a memmap is read one image at a time.

    Numbers (N,) are equal exactly where all pixels are equal (128-bit BLAKE2b).
    """
    seen: dict[bytes, int] = {}
    digests = (blake2b(image.tobytes(), digest_size=16).digest() for image in images)
    return np.fromiter((seen.setdefault(digest, len(seen)) for digest in digests), np.int64, len(images))


def clusters(numbers: IntArray, rows: IntArray) -> list[IntArray]:
    """Rows that share a number: one ascending array per number borne by two rows or more, by first row."""
    order = np.argsort(numbers[rows], kind="stable")
    parts = np.split(rows[order], np.flatnonzero(np.diff(numbers[rows][order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))
