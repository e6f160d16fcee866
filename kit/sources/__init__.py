"""Where images come from: one table, one reader for training, test and hidden images.

A source is a function ``open(spec, data, root, part) -> RawSet``; adding one is a file and a line in `BUILT_IN`
or `BY_SUFFIX`. Sources only read; nothing outside ``data/`` is ever opened for writing.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

from kit.config import DataConfig
from kit.errors import ConfigError, DataError
from kit.sources.raw import RawSet

__all__ = ["BUILT_IN", "BY_SUFFIX", "Part", "RawSet", "open_source"]

Part = Literal["train", "test", "truth"]

BUILT_IN: dict[str, str] = {
    "practice": "kit.sources.generated:open_practice",
    "digits": "kit.sources.generated:open_digits",
}
BY_SUFFIX: dict[str, str] = {
    ".npz": "kit.sources.npz:open_npz",
}


def open_source(data: DataConfig, root: Path, part: Part) -> RawSet:
    """Open the images that ``[data]`` names for ``part``; a relative path starts at ``root``.

    Raises
    ------
    DataError
        Where the files are missing or are not what they should be.
    ConfigError
        Where nothing reads such a file.
    """
    spec = str(getattr(data, part))
    module, function = _reader(spec, root, part).split(":")
    raw: RawSet = getattr(importlib.import_module(module), function)(spec, data, root, part)
    if len(raw.ids) == 0:
        raise DataError(f"data.{part} = {spec!r} holds no images")
    return raw


def _reader(spec: str, root: Path, part: Part) -> str:
    if spec in BUILT_IN:
        return BUILT_IN[spec]
    path = root / Path(spec).expanduser()
    if not path.exists():
        names = ", ".join(BUILT_IN)
        raise DataError(f"data.{part} = {spec!r}: no such file or folder", f"give a path, or one of: {names}")
    suffix = "folder" if path.is_dir() else path.suffix.lower()
    if suffix not in BY_SUFFIX:
        raise ConfigError(f"data.{part} = {spec!r}: nothing reads {suffix!r}", f"known: {', '.join(BY_SUFFIX)}")
    return BY_SUFFIX[suffix]
