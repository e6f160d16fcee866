"""Augmentations: one table, each entry a factory whose keyword arguments are its keys in ``kit.toml``.

Applied to training rows only, after the split. Adding one is a function in a file here and its name in `MODULES`.
"""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from kit.base.text import nearest
from kit.config import AugmentConfig
from kit.config.base import mistake
from kit.errors import ConfigError

MODULES = {
    "layers": "flip quarter-turn dihedral crop random-resized-crop rotation zoom translation shear "
    "brightness contrast hue saturation color-degeneration channel-shift solarize posterize "
    "sharpness blur noise stain gradient jpeg cutout gridmask cutmix mixup",
    "choice": "sequence maybe one-of some-of randaugment augmix degrade",
}
# The module of every entry; its factory there has the entry's name.
OPS = {op: module for module, ops in MODULES.items() for op in ops.split()}


def factory(op: str) -> Any:
    """The factory of the entry ``op``; raises `ConfigError` where there is none."""
    if op not in OPS:
        raise ConfigError(f"unknown augmentation {op!r}", nearest(op, OPS))
    return getattr(importlib.import_module(f"kit.images.augment.{OPS[op]}"), op.replace("-", "_"))


def arguments(entry: AugmentConfig) -> dict[str, Any]:
    """The keyword arguments of the entry's factory, checked against its annotations.

    Raises `ConfigError` where the entry has a key that the factory does not know, lacks one, or gives a value that
    cannot be.
    """
    made = factory(entry.op)
    hints = get_type_hints(made, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is inspect.Parameter.empty else parameter.default)
        for name, parameter in inspect.signature(made).parameters.items()
    }
    try:
        form = create_model(entry.op, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
        found = form.model_validate(entry.options)
    except ValidationError as error:
        example = '{ op = "one-of", ops = [{ op = "flip" }] }'
        raise mistake(error, f"augmentation {entry.op!r}", lambda _: fields, example) from None
    return {name: getattr(found, name) for name in fields}


def check(entries: Sequence[AugmentConfig]) -> None:
    """Raise `ConfigError` where an entry of ``augment``, or one inside of it, cannot be built.

    Light: nothing of TensorFlow is imported, so that a mistake is found before anything is trained.
    """
    for entry in entries:
        inner = arguments(entry).get("ops")
        check(inner if isinstance(inner, tuple) else ())  # for RandAugment it is a number
