"""The ``[clean]`` section of ``kit.toml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.config.base import Section


class CleanConfig(Section):
    """What happens to duplicated, contaminated and doubtful images; nothing is changed in the raw files."""

    exact: Literal["drop-copies", "group", "keep"] = "drop-copies"
    """Identical pixels under one label: keep one representative, keep all in one fold, or only list them."""
    near: Literal["group", "drop-copies", "keep", "off"] = "group"
    """Flipped, turned, re-compressed, brighter, cropped copies: all in one fold, keep one, only list, not sought."""
    conflicting: Literal["majority", "drop", "keep"] = "majority"
    """Identical pixels under several labels: keep the label most copies bear (then the commoner class), drop
    the picture, or keep every label in one fold. Listed in every case."""
    contamination: bool = True
    """Drop, without a representative, pictures copied far more often than the rest or under many labels."""
    background: Literal["group", "keep"] = "group"
    """Different pictures on one identical background: keep all in one fold, or only list them."""
    quality: bool = True
    """List dark, light, blurry, empty and grey images; never dropped, a line in `clean_overrides.csv` does that."""
    outliers: Literal[False, "isolation-forest", "knn"] = False
    """List the images least like their class in colour and texture; `drop_outliers` drops them."""
    outlier_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """How much of each class `outliers` lists."""
    drop_outliers: bool = False
    """Drop what `outliers` lists. The same share goes whether it is odd or not: look at the sheet first."""
