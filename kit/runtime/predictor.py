"""Predict from the folder of a bundle: what the platform runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from . import arrays, backbones, forward, pool


class Predictor:
    """All members, folds and views of a bundle, loaded once.

    Parameters
    ----------
    folder : str
        The folder with ``bundle.json`` and the weights that it names.
    """

    def __init__(self, folder: str) -> None:
        self.bundle = json.loads(Path(folder, "bundle.json").read_text(encoding="utf-8"))
        self.classes = self.bundle["classes"]
        self._members = [self._load_member(folder, member) for member in self.bundle["members"]]

    @staticmethod
    def _load_member(folder: str, member: Any) -> list[Any]:
        passes = []
        for weights in member["weights"]:
            model = backbones.build(member["network"]).model
            arrays.assign(model, str(Path(folder, weights)))
            passes.append(forward.compile_forward(model))
        return passes

    def predict_proba(self, images: Any) -> Any:
        """Probabilities float64 (N, C) of images (N, S, S, 3), 0 to 255.

        Raises
        ------
        ValueError
            Where the shape is another, or values are not finite, or look scaled to [0, 1].
        """
        images = check_images(images, self.bundle["size"])
        batch = self.bundle["batch_size"]
        blocks = [self._predict_batch(images[start : start + batch]) for start in range(0, len(images), batch)]
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.classes)))

    def predict(self, images: Any) -> Any:
        """Class indices int64 (N,)."""
        return self.predict_proba(images).argmax(axis=1)

    def _predict_batch(self, images: Any) -> Any:
        rows = np.arange(len(images))
        members = []
        for passes in self._members:
            folds = [forward.logits(one, images, rows, self.bundle["views"], len(rows)) for one in passes]
            members.append(forward.softmax(forward.mean_of_folds(np.stack(folds)).astype(np.float64)))
        return pool.apply(self.bundle["blend"], np.stack(members))


def check_images(images: Any, size: int) -> Any:
    """``images`` as an array (N, size, size, 3); a wrong shape, NaN or a wrong range is a ValueError that says so."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise ValueError(f"expected images of shape (N, {size}, {size}, 3), got {images.shape}")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise ValueError("the images hold NaN or infinity")
        if images.size and images.max() <= 1 and (images % 1 != 0).any():
            raise ValueError("the images look scaled to [0, 1]; expected 0 to 255")
    elif images.dtype.kind not in "ui":
        raise ValueError(f"expected numbers from 0 to 255, got dtype {images.dtype}")
    return images
