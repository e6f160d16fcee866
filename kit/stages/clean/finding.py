"""One fact about one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an image was dropped, grouped or listed."""

    row: int  # of the raw array
    reason: str  # a word that can be counted: exact-copy, contamination, near-copy ...
    twin: int = -1  # the raw row that is the evidence, -1 where there is none
    detail: str = ""  # the evidence in figures
