"""What an average of weights is worth beside the last weights: moving averages by step, and the mean of late epochs.

    python benchmarks/averages.py fashion.npz [--rows 2000] [--test 4000] [--epochs 10] [--seeds 3]
        [--rates cosine constant]

The file has `x_train`, `y_train`, `x_test` and `y_test`. `resnet-small` learns from some rows with the recipe of `kit
init` for small images, or with a rate that stays as it is after the warm-up. `epochs` is the mean of the weights after
each epoch of the last third (SWA: Izmailov et al. 2018), `ema` the moving average that `ema` of a stage keeps. After
`+ norm` the statistics of BatchNorm were computed anew, as means over one pass of the training rows. Gains are in
points of test accuracy over the last weights of the same training, with the standard error over seeds.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import machine

from kit.config import StageConfig
from kit.runtime.backbones import build
from kit.runtime.forward import compile_forward
from kit.stages.train.networks import NORM, cross_entropy, layers_inside, make_optimizer
from kit.stages.train.steering import learning_rate
from kit.stages.train.trainer import compile_step

BATCH, SMOOTHING, DECAYS = 64, 0.1, (0.9, 0.98)


def pictures(array: Any) -> Any:
    """(N, H, W) or (N, H, W, 3) as float32 of three channels."""
    return np.repeat(array[..., None], 3, axis=-1).astype(np.float32) if array.ndim == 3 else array.astype(np.float32)


def renewed(model: Any, x: Any) -> None:
    """Compute the statistics of BatchNorm as means over the batches of one pass."""
    norms = [layer for layer in layers_inside(model) if type(layer).__name__ == NORM]
    for number, start in enumerate(range(0, len(x) - BATCH + 1, BATCH)):
        for layer in norms:
            layer.momentum = number / (number + 1)
        model(x[start : start + BATCH], training=True)


def trained(x: Any, y: Any, stage: StageConfig, seed: int, judge: Any) -> dict[str, float]:
    """Test accuracies of one training, by what was kept of it."""
    import keras

    keras.utils.set_random_seed(seed)
    model = build({"backbone": "resnet-small", "size": x.shape[1], "classes": 10, "head": {}}).model
    optimizer = make_optimizer(stage, model.trainable_variables)
    step = compile_step(model, optimizer, cross_entropy, 10)
    labels = (1 - SMOOTHING) * np.eye(10, dtype=np.float32)[y] + np.float32(SMOOTHING / 10)
    rng, steps = np.random.default_rng(seed), len(x) // BATCH
    moving: dict[float, Any] = {}
    late: list[Any] = []
    now: Any = None
    for epoch in range(stage.epochs):
        order = rng.permutation(len(x))
        for number in range(steps):
            rows = order[number * BATCH : (number + 1) * BATCH]
            batch = np.where(rng.random((BATCH, 1, 1, 1)) < 0.5, x[rows], x[rows, :, ::-1])
            step(batch, labels[rows], np.float32(learning_rate(stage, epoch * steps + number, steps)))
            # Copied: else a view of memory that the next step writes to.
            now = [variable.numpy().copy() for variable in model.trainable_variables]
            for decay in DECAYS:
                before = moving.get(decay, now)
                moving[decay] = [decay * a + (1 - decay) * b for a, b in zip(before, now, strict=True)]
        if epoch >= stage.epochs * 2 // 3:
            late.append(now)
    last = model.get_weights()
    found: dict[str, float] = {}
    averages = {"last": now} | {f"ema {decay}": value for decay, value in moving.items()}
    averages[f"epochs ({len(late)})"] = [np.mean(group, axis=0) for group in zip(*late, strict=True)]
    for name, average in averages.items():
        model.set_weights(last)
        for variable, value in zip(model.trainable_variables, average, strict=True):
            variable.assign(value)
        found[name] = judge(model)
        renewed(model, x)
        found[f"{name} + norm"] = judge(model)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    for name, default in {"rows": 2000, "test": 4000, "epochs": 10, "seeds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rates", nargs="+", default=["cosine", "constant"])
    given = parser.parse_args()
    print(machine(), flush=True)
    data = np.load(given.file)
    x_test, y_test = pictures(data["x_test"][: given.test]), data["y_test"][: given.test]

    def judge(model: Any) -> float:
        forward = compile_forward(model)
        said = [forward(x_test[start : start + 500]).argmax(axis=1) for start in range(0, len(x_test), 500)]
        return float(np.mean(np.concatenate(said) == y_test))

    print(f"{'rate':10}{'kept':20}{'accuracy':>10}{'gain':>8}{'+-':>6}")
    for kind in given.rates:
        schedule = {"kind": kind, "warmup": given.epochs / 5}
        stage = StageConfig.model_validate(
            {"train": "all", "epochs": given.epochs, "optimizer": "sgd", "lr": 0.1, "weight_decay": 5e-3}
            | {"schedule": schedule}
        )
        scores: dict[str, list[float]] = defaultdict(list)
        for seed in range(given.seeds):
            rows = np.random.default_rng(seed).permutation(len(data["x_train"]))[: given.rows]
            for name, score in trained(
                pictures(data["x_train"][rows]), data["y_train"][rows], stage, seed, judge
            ).items():
                scores[name].append(score)
        for name, found in scores.items():
            gain = 100 * (np.array(found) - scores["last"])
            error = gain.std(ddof=1) / len(gain) ** 0.5
            print(f"{kind:10}{name:20}{np.mean(found):10.4f}{gain.mean():+8.2f}{error:6.2f}", flush=True)


if __name__ == "__main__":
    main()
