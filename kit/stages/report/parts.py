"""What the templates of several sections draw."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


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
class Cell:
    """A cell of a tinted table: ``tint`` per cent of the colour of its ``kind``; a pointer over it says ``title``."""

    text: str
    kind: str = ""
    tint: int = 0
    title: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a tinted table, and how many images it counts."""

    name: str
    cells: list[Cell]
    all: int = 0


@dataclass(frozen=True)
class Panels:
    """Small pictures side by side, each with its name and a note, and what is said of all of them."""

    panels: list[tuple[Markup, str, str]]
    name: str = ""
    note: str = ""
