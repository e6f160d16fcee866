"""Members that are exact copies of an earlier one."""

from __future__ import annotations

import hashlib

import numpy as np

from kit.blend.types import Array


def find_duplicates(proba: Array) -> dict[int, int]:
    """Return ``{copy: original}`` of members whose arrays are equal, the original being the first.

    Parameters
    ----------
    proba : (M, ...) array
    """
    seen: dict[bytes, int] = {}
    copies = {}
    for m, member in enumerate(proba):
        digest = hashlib.sha256(np.ascontiguousarray(member).data).digest()
        original = seen.setdefault(digest, m)
        if original != m:
            copies[m] = original
    return copies
