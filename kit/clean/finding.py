"""One fact about one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an image was dropped, grouped or listed.

    Parameters
    ----------
    row : int
        Row of the raw array.
    reason : str
        A word that can be counted: ``exact-copy``, ``contamination``, ``near-copy`` ...
    twin : int
        The raw row that is the evidence, -1 where there is none.
    detail : str
        The evidence in figures.
    """

    row: int
    reason: str
    twin: int = -1
    detail: str = ""
