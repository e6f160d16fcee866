"""The trained network of a fold, for the processes that predict with it."""

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from kit.errors import TrainingError
from kit.runs.spec import FoldSpec
from kit.store.digests import digest

BATCH = 64

# Logits (V, N, C) of images under views.
Predict = Callable[[Any, tuple[str, ...]], Any]


def fold_predictor(spec: FoldSpec, weights: str) -> Predict:
    """The network of a fold, rebuilt from its description and filled with its weights, whose digest is ``weights``.

    Raises `TrainingError` where the weights are missing, are other ones, or are of another network.
    """
    from kit.runtime import arrays
    from kit.runtime.backbones import build
    from kit.runtime.forward import compile_forward, logits

    network = build(spec.network)
    try:
        if digest(spec.paths.weights) != weights:
            raise ValueError("they were changed after training wrote them")
        arrays.assign(network.model, str(spec.paths.weights))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        said = f"the weights of run `{spec.run}` fold {spec.fold} cannot be used: {error}"
        raise TrainingError(said, spec.again) from error
    forward = compile_forward(network.model)
    return lambda images, views: logits(forward, images, np.arange(len(images)), views, BATCH)
