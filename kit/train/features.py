"""Features of a frozen backbone, computed once for all folds, epochs and runs that share it."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np

from kit.augment.pipeline import Pipeline
from kit.config import RunConfig
from kit.data import load_images
from kit.files import sha256_json, write_atomic
from kit.runs import FoldSpec, seed_of
from kit.runtime.forward import compile_forward
from kit.train.batches import row_seeds
from kit.train.networks import make_network
from kit.units.worker import Report

BATCH = 64


def feature_files(spec: FoldSpec, number: int) -> list[Path]:
    """The cached feature files of stage ``number``, one per augmented view; none where it trains on images."""
    return _files(spec, views_of(spec.settings)[number])


def all_feature_files(spec: FoldSpec) -> list[Path]:
    """The cached feature files of all stages."""
    return _files(spec, max(views_of(spec.settings)))


def views_of(settings: RunConfig) -> list[int]:
    """Cached views of every stage: those that train the head before any other one has trained the backbone."""
    frozen = takewhile(lambda stage: stage.train == "head", settings.stages)
    views = [stage.cached_views for stage in frozen]
    return views + [0] * (len(settings.stages) - len(views))


def _files(spec: FoldSpec, views: int) -> list[Path]:
    if views == 0:
        return []
    names = ["clean", *(f"augmented-{view}" for view in range(1, views))]
    folder = spec.layout.features / feature_key(spec)[:16]
    return [folder / f"{name}.npy" for name in names]


def feature_key(spec: FoldSpec) -> str:
    """Hash of what the features depend on: backbone, weights, images and augmentation, not the fold or the head."""
    settings = spec.settings
    return sha256_json(
        {
            "backbone": settings.backbone,
            "weights": spec.weights,
            "images": spec.data,
            "size": spec.size,
            "options": settings.options,
            "preprocess": [step.model_dump(mode="json") for step in settings.preprocess],
            "pooling": settings.head.pooling,
            "augment": [entry.model_dump(mode="json") for entry in settings.augment],
            "seed": settings.seed,
        }
    )


def open_features(path: Path) -> Any:
    """Features (N, F) float32, memory-mapped."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def write_features(spec: FoldSpec, report: Report) -> None:
    """Compute the missing feature files of all stages, for every row of the data."""
    files = all_feature_files(spec)
    missing = [(view, path) for view, path in enumerate(files) if not path.exists()]
    if not missing:
        return
    network = make_network(spec)
    forward = compile_forward(network.features)
    images = load_images(spec.layout)
    # Features are kept per image, so nothing is mixed here.
    augment = Pipeline(spec.settings.augment, spec.size, len(spec.classes), mixing=False) if len(files) > 1 else None
    for view, path in missing:
        _write_view(spec, view, path, (forward, images, augment), report)


def _write_view(spec: FoldSpec, view: int, path: Path, tools: tuple[Any, Any, Any], report: Report) -> None:
    forward, images, augment = tools
    labels = np.zeros((BATCH, len(spec.classes)), np.float32)
    seed = seed_of("features", spec.settings.seed, view)

    def fill(file: IO[bytes]) -> None:
        for start in range(0, len(images), BATCH):
            batch = np.asarray(images[start : start + BATCH], dtype=np.float32)
            if view > 0:
                seeds = row_seeds(seed, np.arange(start, start + len(batch)))
                batch = augment(batch, labels[: len(batch)], seeds)[0].numpy()
            block = forward(batch)
            if start == 0:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), block.shape[1])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
            report({"event": "features", "view": view, "done": start + len(batch), "total": len(images)})

    write_atomic(path, fill)
