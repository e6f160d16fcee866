"""Predict from the folder of a bundle: what the platform runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import arrays, backbones, decide, forward, names, pool, views

if TYPE_CHECKING:
    from .decode import Policy

Images = Any  # tensor (B, ...) of images, or of what networks make of them


class Fold(NamedTuple):
    """One set of weights: features and head of its network as functions, and keys.

    Equal steps before the network share ``steps``, equal backbones after equal steps share ``key``.
    """

    features: Callable[[Images], Images]
    head: Callable[[Images], Any]
    steps: str
    key: str


class Predictor:
    """All members, folds and views of the bundle in ``folder``, loaded once."""

    def __init__(self, folder: str) -> None:
        self.bundle = json.loads(Path(folder, "bundle.json").read_text(encoding="utf-8"))
        self.classes: list[str] = self.bundle["classes"]
        self.size: int = self.bundle["size"]
        self.resize: Policy = self.bundle.get("resize", "fit")
        self.several = bool(self.bundle["blend"].get("several"))
        self._networks: dict[str, tuple[Any, forward.Pass, forward.Pass]] = {}
        self._features: dict[str, Callable[[Images], Images]] = {}
        self._steps: dict[str, Callable[[Any], Any]] = {}
        self.members = [
            [self._load(member["network"], Path(folder, name)) for name in member["weights"]]
            for member in self.bundle["members"]
        ]

    def _load(self, description: backbones.Description, path: Path) -> Fold:
        before, described = forward.split(description)
        steps, text = json.dumps(before, sort_keys=True), json.dumps(described, sort_keys=True)
        if steps not in self._steps:
            self._steps[steps] = forward.preparation(before, self.size)
        if text not in self._networks:
            network = backbones.build(described)
            self._networks[text] = (network.model, *forward.compiled(network))
        model, features, head = self._networks[text]
        loaded = arrays.load(model, str(path))
        feature_arrays = [loaded[place] for place in features.positions]
        digest = hashlib.sha256((steps + text).encode())
        for array in feature_arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        key = digest.hexdigest()
        if key not in self._features:
            self._features[key] = forward.Bound(features, forward.tensors(feature_arrays))
        last = forward.Bound(head, forward.tensors([loaded[place] for place in head.positions]))
        return Fold(self._features[key], last, steps, key)

    def predict_proba(self, images: Any) -> Any:
        """Probabilities float64 (N, C) of images (N, S, S, 3), 0 to 255, in memory that does not grow with N.

        Raises `ValueError` where the shape is another, or values are not finite, or look scaled to [0, 1].
        """
        batch = self.bundle["batch_size"]
        images = check_images(images, self.size, batch)
        proba = np.empty((len(images), len(self.classes)))
        for start in range(0, len(images), batch):
            logits = np.stack(self.logits(np.asarray(images[start : start + batch])))
            proba[start : start + batch] = pool.apply(self.bundle["blend"], pool.from_logits(logits, self.several))
        return proba

    def predict(self, images: Any) -> Any:
        """Classes int64 (N,): the number that a class is written as, or its place where classes have names.

        For several labels int64 (N, C), 0 or 1; for a number float64 (N,).
        """
        decided = self.decided(self.predict_proba(images))
        return decided if self.several or decided.dtype.kind == "f" else np.array(names.answers(self.classes))[decided]

    def decided(self, proba: Any) -> Any:
        """Places of the classes int64 (N,) that probabilities (N, C) are answered with, the best of several answers.

        For several labels 0 or 1 (N, C), and numbers float64 (N,) where one is asked for.
        """
        answers = decide.decide(self.bundle.get("decision"), proba)
        return answers if self.several or answers.ndim == 1 else answers[:, 0]

    def _given(self, images: Any) -> Images:
        """Images as the networks take them."""
        return forward.tensors([images])[0]

    def logits(self, images: Any) -> list[Any]:
        """Of each member the logits float32 (V, B, C) of one batch, mean of its folds."""
        stacks: list[list[list[Any]]] = [[[] for _ in folds] for folds in self.members]
        for view in self.bundle["views"]:
            turned = self._given(views.apply(view, images))
            prepared: dict[str, Images] = {}
            features: dict[str, Images] = {}
            for stack, folds in zip(stacks, self.members, strict=True):
                for found, fold in zip(stack, folds, strict=True):
                    if fold.steps not in prepared:
                        prepared[fold.steps] = self._steps[fold.steps](turned)
                    if fold.key not in features:
                        features[fold.key] = fold.features(prepared[fold.steps])
                    found.append(np.asarray(fold.head(features[fold.key])))
        return [forward.mean_of_folds(np.stack([np.stack(found) for found in stack]), self.several) for stack in stacks]


def check_images(images: Any, size: int, batch: int = 128) -> Any:
    """``images`` as an array (N, size, size, 3), looked at batch by batch.

    Raises `ValueError` where the shape is another, a value is not a finite number, or all are at most 1 and some are
    fractional.
    """
    try:
        images = np.asarray(images)
    except (ValueError, TypeError, RuntimeError, AttributeError, OverflowError, MemoryError) as error:
        # NumPy's own words about what is no array would not say what was expected.
        kind = type(images).__name__
        raise ValueError(f"expected an array of images, got a {kind} that is none: {error}") from error
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise ValueError(f"expected images of shape (N, {size}, {size}, 3), got {images.shape}")
    if images.dtype.kind not in "uif":
        raise ValueError(f"expected numbers from 0 to 255, got dtype {images.dtype}")
    if images.dtype == np.uint8 or len(images) == 0:
        return images
    largest, fractional = -np.inf, False
    for start in range(0, len(images), batch):
        block = images[start : start + batch]
        if not np.isfinite(block).all():
            raise ValueError("the images hold NaN or infinity")
        largest, fractional = max(largest, block.max()), fractional or bool((block % 1 != 0).any())
    if largest <= 1 and fractional:
        raise ValueError("the images look scaled to [0, 1]; expected 0 to 255")
    return images
