"""Augmentations: one table, each entry a factory whose keyword arguments are its keys in ``kit.toml``.

Applied to training rows only, after the split. Adding one is a function in a file here and a line in `OPS`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Sequence
from typing import Any

from kit.config import AugmentConfig
from kit.errors import ConfigError

OPS: dict[str, str] = {
    "flip": "kit.augment.geometry:flip",
    "dihedral": "kit.augment.geometry:dihedral",
    "randaugment": "kit.augment.policy:randaugment",
    "cutmix": "kit.augment.mixing:cutmix",
    "mixup": "kit.augment.mixing:mixup",
}


def factory(op: str) -> Any:
    """The factory of the entry ``op``; raises `ConfigError` where there is none."""
    if op not in OPS:
        close = difflib.get_close_matches(op, OPS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(OPS)}"
        raise ConfigError(f"unknown augmentation {op!r}", hint)
    module, name = OPS[op].split(":")
    return getattr(importlib.import_module(module), name)


def check(entries: Sequence[AugmentConfig]) -> None:
    """Raise `ConfigError` where an entry of ``augment`` names no operation or has a key that it does not know.

    Light: nothing of TensorFlow is imported, so that a mistake is found before anything is trained.
    """
    for entry in entries:
        known = list(inspect.signature(factory(entry.op)).parameters)
        for key in entry.options:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known) or 'no keys'}"
                raise ConfigError(f"augmentation {entry.op!r} has no key `{key}`", hint)
