"""Where a network looked: Grad-CAM, in a process of its own, for TensorFlow must not be loaded by a report.

``python -m kit.stages.report.cam JOBS.json OUT.npz`` writes one map per image. The method is that of Selvaraju et al.
2017: the map that the pooling sees, its channels weighted by the mean gradient of the named class, negative
parts cut off.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kit.runtime.lazy import keras, tf
from kit.store.candidate import Network
from kit.store.files import write_atomic
from kit.store.record import Part, Record


class Job(Part):
    """A fold's network and weights, and what to ask it: rows of the images, each with a class."""

    network: Network
    weights: str
    looks: tuple[tuple[int, int], ...]


class Jobs(Record):
    """All that a process works off; ``key`` names it in what is written."""

    key: str
    images: str
    jobs: tuple[Job, ...]


def attention_maps(network: Any, images: Any, classes: Any) -> Any:
    """Maps (N, h, w) float32, 0 to 1, of images (N, S, S, 3) for ``classes`` (N,); None where a network has no map."""
    pools = [layer for layer in network.features.layers if layer.name == "pool"]
    if not pools:
        return None
    before = keras.Model(network.features.input, pools[0].input)
    with tf.GradientTape() as tape:
        seen = before(tf.constant(images, tf.float32), training=False)
        tape.watch(seen)
        logits = network.head(pools[0](seen), training=False)
        chosen = tf.gather(logits, tf.constant(classes), axis=1, batch_dims=1)
    slopes = tf.reduce_mean(tape.gradient(chosen, seen), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(slopes * seen, axis=-1)).numpy()
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def main() -> None:
    """Work off the jobs of a description: a network, its weights, rows of the images, a class for each."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kit.runtime import arrays
    from kit.runtime.backbones import build

    asked, out = Jobs.load(Path(sys.argv[1])), Path(sys.argv[2])
    images = np.load(asked.images, mmap_mode="r", allow_pickle=False)
    rows: list[int] = []
    found: list[Any] = []
    for job in asked.jobs:
        network = build(job.network)
        arrays.assign(network.model, job.weights)
        here = [row for row, _ in job.looks]
        maps = attention_maps(network, np.asarray(images[here]), [named for _, named in job.looks])
        if maps is not None:
            rows += here
            found += list(maps)
    stack = np.stack(found).astype(np.float32) if found else np.zeros((0, 1, 1), np.float32)
    write_atomic(out, lambda file: np.savez(file, key=asked.key, rows=np.array(rows, np.int64), maps=stack))


if __name__ == "__main__":
    main()
