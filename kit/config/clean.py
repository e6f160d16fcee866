"""The ``[clean]`` section of ``kit.toml``."""

from typing import Annotated, Literal

from pydantic import Field

from kit.config.base import ConfigSection


class CleanConfig(ConfigSection):
    """What happens to duplicated, contaminated and doubtful images. The raw files are never changed."""

    exact: Literal["drop-copies", "group", "keep"] = "drop-copies"
    """Identical images with the same label: keep one of them, keep all of them in one fold, or only list them."""
    near: Literal["group", "drop-copies", "keep", "off"] = "group"
    """Flipped, rotated, re-compressed, brightened or cropped copies: keep all of them in one fold, keep one, only list
    them, or do not search for them."""
    conflicting: Literal["majority", "drop", "keep"] = "majority"
    """Identical images with different labels: keep one with the most frequent label among the copies (on a tie, of the
    larger class), drop all of them, or keep all of them in one fold. They are always listed."""
    contamination: bool = True
    """Drop all copies of images that appear far more often than other duplicates, or under many labels."""
    background: Literal["group", "keep"] = "group"
    """Different images with an identical background: keep all of them in one fold, or only list them."""
    quality: bool = True
    """List dark, light, blurry, empty and grey images. To drop one, add a line to `clean_overrides.csv`."""
    outliers: Literal[False, "isolation-forest", "knn"] = False
    """List the images that differ most from their class in colour and texture. `drop_outliers` also drops them."""
    outlier_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Share of each class that `outliers` lists."""
    drop_outliers: bool = False
    """Drop the images that `outliers` lists. The share is fixed, however unusual they are: look at the sheet first."""
