"""What the templates of several sections draw."""

from __future__ import annotations

from dataclasses import dataclass

from kit.show.figures import Panel


@dataclass(frozen=True)
class Tile:
    """A photograph: a data address, the image's id, a note, and words instead; perhaps the same as a network saw it."""

    source: str
    name: str
    note: str
    alternative: str
    seen: str = ""
    alternative_seen: str = ""


@dataclass(frozen=True)
class Group:
    """Photographs under one heading."""

    title: str
    tiles: list[Tile]
    note: str = ""


@dataclass(frozen=True)
class Panels:
    """Small pictures side by side, and what is said of all of them."""

    panels: list[Panel]
    name: str = ""
    note: str = ""
