"""``kit predict``: the predictions of any bundle on a folder, an array or a table of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.archive import opened
from kit.config import DataConfig
from kit.errors import BundleError, DataError
from kit.files import write_csv
from kit.records import Emit, Event
from kit.sources import open_source

if TYPE_CHECKING:
    from kit.runtime.predictor import Predictor


def predict(bundle: Path, images: Path, out: Path, emit: Emit, *, image_size: int = 0) -> None:
    """Predict images with a bundle's description and weights; none of its code is run.

    Parameters
    ----------
    bundle : Path
        A zip that `kit bundle` made, here or elsewhere.
    images : Path
        A ``.npz``, a folder, or a ``.csv``: whatever ``[data] test`` can name.
    out : Path
        Table with ``id``, ``label`` and one column of probabilities for each class.

    Raises
    ------
    BundleError
        Where the zip is not one that can be trusted.
    DataError
        Where the images cannot be read, or are of another size than the networks take.
    """
    with opened(bundle) as folder:
        predictor = _load(folder, bundle.name)
        size = int(predictor.bundle["size"])
        data = DataConfig(
            train="unused.npz",
            test=str(images.resolve()),
            image_size=image_size or size,
            resize=predictor.bundle.get("resize", "fit"),
        )
        source = open_source(data, Path.cwd(), "test")
        if source.shape != (size, size):
            raise DataError(f"the images are {source.shape}, the bundle takes {size} x {size}", f"--image-size {size}")
        blocks = []
        for start, block, problems in source.blocks():
            for row, reason in problems.items():
                raise DataError(f"image {source.ids[row]!r} cannot be read: {reason}")
            blocks.append(predictor.predict_proba(block))
            emit(Event("progress", f"predict: {start + len(block)} of {len(source.ids)}", {"stage": "predict"}))
        proba = np.concatenate(blocks)
    names = predictor.classes
    rows = (
        (name, names[int(line.argmax())], *(f"{value:.6f}" for value in line))
        for name, line in zip(source.ids, proba, strict=True)
    )
    write_csv(out, ("id", "label", *names), rows)
    emit(Event("wrote", "", {"paths": [out.resolve()]}))


def _load(folder: Path, name: str) -> Predictor:
    from kit.runtime.predictor import Predictor

    try:
        return Predictor(str(folder))
    except (ValueError, KeyError, TypeError) as error:
        # The description was checked, but networks and arrays of others need not fit each other.
        raise BundleError(f"{name} describes networks that its weights do not fit: {error}") from error
