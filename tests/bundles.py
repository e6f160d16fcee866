"""Bundles of networks with weights of no meaning, for tests that need one to run and not to be right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.bundle import MODEL, PACKAGE
from kit.bundle.contents import METADATA, runtime_files
from kit.files import write_zip

CLASSES = ("cat", "dog", "hen")


def bundle_files(
    folder: Path,
    *,
    backbones: Sequence[str] = ("plain-cnn",),
    folds: int = 2,
    size: int = 16,
    views: Sequence[str] = ("identity", "rot90"),
    contract: str = "an2dl-2024",
) -> dict[str, Path | bytes]:
    """Name and content of every file; the weights are written to ``folder``. Loads TensorFlow."""
    from kit.runtime import arrays
    from kit.runtime.backbones import build

    files: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in runtime_files()}
    files |= {"model.py": MODEL[contract].encode(), "metadata": METADATA}
    members: list[dict[str, Any]] = []
    for number, backbone in enumerate(backbones):
        network = {"backbone": backbone, "size": size, "classes": len(CLASSES), "head": {"dropout": 0.1, "units": [8]}}
        names = [f"weights/m{number}-{fold}.npz" for fold in range(folds)]
        for fold, name in enumerate(names):
            rng = np.random.default_rng([number, fold])
            weights = {key: rng.normal(0, 0.3, value.shape) for key, value in arrays.of(build(network).model).items()}
            path = folder / f"m{number}-{fold}.npz"
            np.savez(path, **{key: np.abs(value).astype(np.float32) if value.ndim < 2 else value.astype(np.float32)
                              for key, value in weights.items()})  # fmt: skip
            files[name] = path
        members.append({"name": f"m{number}", "network": network, "weights": names})
    m = len(members)
    part = {"share": 1.0, "temperatures": [1.0] * m, "weights": [1 / m] * m, "centre": 1.0, "slopes": [0.0] * m}
    description = {
        "version": 1,
        "classes": list(CLASSES),
        "size": size,
        "views": list(views),
        "members": members,
        "blend": {"views": [1 / len(views)] * len(views), "parts": [{**part, "bias": [0.0] * 3}], "bias": []},
        "resize": "fit",
        "batch_size": 4,
    }
    return files | {"bundle.json": json.dumps(description).encode()}


def make_bundle(folder: Path, **options: Any) -> Path:
    """The zip of `bundle_files`."""
    return write_zip(folder / "b.zip", bundle_files(folder, **options))
