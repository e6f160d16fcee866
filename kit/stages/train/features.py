"""Features of a frozen backbone, computed once for all folds, epochs and runs that share it."""

from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from kit.base.events import silent
from kit.images.augment.pipeline import Pipeline
from kit.runs.batches import row_seeds
from kit.runs.pretrained import make_network
from kit.runs.results import unless_damaged
from kit.runs.spec import VERSION, FoldSpec, seed_of
from kit.runs.units.worker import Report
from kit.runtime.backbones import BACKBONES
from kit.runtime.forward import compile_forward
from kit.stages.train.teach import pictures
from kit.store.data import load_index
from kit.store.files import sha256_json, write_atomic
from kit.store.record import Digests, Made, digests_of

# Worth a cache: ten epochs of a head on 12,168 blood cells took a tenth of the time in five folds (docs/training.md).
BATCH = 64


class FeatureRecord(Made):
    """Beside a file of cached features: what they are of."""

    COMMAND: ClassVar[str] = "kit train"


def feature_files(spec: FoldSpec, number: int | None = None) -> list[Path]:
    """The cached files of stage ``number``, or of all, one per augmented view; none where it trains on images."""
    views = max(views_of(spec)) if number is None else views_of(spec)[number]
    names = ["clean", *(f"augmented-{view}" for view in range(1, views))][:views]
    folder = spec.layout.features / sha256_json(feature_lineage(spec))[:16] if names else Path()
    return [folder / f"{name}.npy" for name in names]


def views_of(spec: FoldSpec) -> list[int]:
    """Cached views of every stage: those that train the head before another size, or other layers, are trained."""
    stages, sizes = spec.settings.stages, spec.sizes
    frozen = takewhile(lambda it: it[0].train == "head" and it[1] == sizes[0], zip(stages, sizes, strict=False))
    views = [stage.cached_views for stage, _ in frozen]
    return views + [0] * (len(stages) - len(views))


def feature_lineage(spec: FoldSpec) -> Digests:
    """What the features are made from: backbone, weights, images and augmentation, not the fold, labels or head."""
    settings = spec.settings
    described = settings.model_dump(mode="json", include={"backbone", "options", "preprocess", "augment", "seed"})
    resized = [spec.sizes[0]] if spec.sizes[0] != spec.size else []
    return {
        **({"test": spec.pseudo} if spec.pseudo else {}),
        "train": str(VERSION),
        "weights": spec.weights,
        "images": load_index(spec.layout).parts["images"],
        "settings": sha256_json([described, spec.size, settings.head.pooling, *resized]),
        "backbone": sha256_json(repr(BACKBONES[settings.backbone])),
    }


def features_complete(spec: FoldSpec) -> bool:
    """Whether the cached features of all stages are here, whole and as they were written."""
    return all(_record(spec, path) is not None for path in feature_files(spec))


def _record(spec: FoldSpec, path: Path) -> FeatureRecord | None:
    """The record of a file of features; a damaged file is a cache that has to be made again, and nothing more."""
    return unless_damaged(lambda: FeatureRecord.fresh(path.with_suffix(".json"), feature_lineage(spec)), silent)


def open_features(path: Path) -> Any:
    """Features (N, F) float32, memory-mapped; raises `StageError` where they are damaged."""
    FeatureRecord.load(path.with_suffix(".json")).check(path.parent)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def write_features(spec: FoldSpec, report: Report) -> None:
    """Compute the missing feature files of all stages, for every row of the data."""
    files = feature_files(spec)
    missing = [(view, path) for view, path in enumerate(files) if _record(spec, path) is None]
    if not missing:
        return
    forward, images = compile_forward(make_network(spec, spec.sizes[0]).features), pictures(spec)
    # Features are kept per image, so nothing is mixed here.
    augment = Pipeline(spec.settings.augment, spec.size, spec.classes, mixing=False) if len(files) > 1 else None
    labels = np.zeros((BATCH, spec.classes), np.float32)

    def fill(file: IO[bytes], view: int) -> None:
        seed = seed_of("features", spec.settings.seed, view)
        for start in range(0, len(images), BATCH):
            batch = np.asarray(images[start : start + BATCH], dtype=np.float32)
            if augment is not None and view > 0:
                seeds = row_seeds(seed, np.arange(start, start + len(batch)))
                batch = augment(batch, labels[: len(batch)], seeds)[0].numpy()
            block = forward(batch)
            if start == 0:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), block.shape[1])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
            report({"event": "features", "view": view, "done": start + len(batch), "total": len(images)})

    for view, path in missing:
        path.with_suffix(".json").unlink(missing_ok=True)
        write_atomic(path, partial(fill, view=view))
        record = FeatureRecord(made_from=feature_lineage(spec), files=digests_of(path.parent, path))
        record.save(path.with_suffix(".json"))
