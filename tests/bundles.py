"""Bundles of networks with weights of no meaning, for tests that need one to run and not to be right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.arrays import ImageArray
from kit.stages.bundle.contents import METADATA, MODEL, PACKAGE, runtime_files
from kit.store.files import write_zip

CLASSES = ("cat", "dog", "hen")


def bundle_files(
    folder: Path,
    *,
    backbones: Sequence[str] = ("plain-cnn",),
    folds: int = 2,
    size: int = 16,
    views: Sequence[str] = ("identity", "rot90"),
    contract: str = "an2dl-2024",
    classes: Sequence[str] = CLASSES,
) -> dict[str, Path | bytes]:
    """Name and content of every file; the weights are written to ``folder``. Loads TensorFlow."""
    import keras

    from kit.runtime import arrays
    from kit.runtime.backbones import build

    keras.utils.set_random_seed(0)
    files: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in runtime_files()}
    files |= {"model.py": MODEL[contract].encode(), "metadata": METADATA}
    members: list[dict[str, Any]] = []
    for number, backbone in enumerate(backbones):
        network = {"backbone": backbone, "size": size, "classes": len(classes), "head": {"dropout": 0.1, "units": [8]}}
        names = [f"weights/m{number}-{fold}.npz" for fold in range(folds)]
        for fold, name in enumerate(names):
            files[name] = folder / f"m{number}-{fold}.npz"
            np.savez(files[name], **arrays.of(_filled(build(network).model, size, fold)))
        members.append({"name": f"m{number}", "network": network, "weights": names})
    m = len(members)
    views_of, bias = [1 / len(views)] * len(views), [0.0] * len(classes)
    part = {"share": 1.0, "temperatures": [1.0] * m, "weights": [1 / m] * m, "centre": 1.0, "slopes": [0.0] * m}
    description = {
        "version": 1,
        "classes": list(classes),
        "size": size,
        "views": list(views),
        "members": members,
        "blend": {"views": views_of, "parts": [{**part, "bias": bias}], "bias": []},
        "resize": "fit",
        "batch_size": 4,
    }
    return files | {"bundle.json": json.dumps(description).encode()}


def _filled(model: Any, size: int, seed: int) -> Any:
    """The model with statistics of what each layer sees, or all images would be alike at the end."""
    for layer in model._flatten_layers():
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0
    model(images(32, size, seed).astype(np.float32), training=True)
    return model


def images(n: int, size: int = 16, seed: int = 0) -> ImageArray:
    """Images (n, size, size, 3) that differ as a whole, not by their noise alone."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 200, (n, 1, 1, 3)) + rng.integers(0, 56, (n, size, size, 3))).astype(np.uint8)


def make_bundle(folder: Path, **options: Any) -> Path:
    """The zip of `bundle_files`."""
    return write_zip(folder / "b.zip", bundle_files(folder, **options))
