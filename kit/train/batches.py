"""Batches as pure functions of (seed, fold, stage, epoch, row), prepared in a thread while the network works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.records import IntArray
from kit.runs import seed_of

PREFETCH = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows of one fold: ``inputs`` (images or features, by row of the data) and soft labels of all rows."""

    inputs: Any
    soft_labels: npt.NDArray[np.float32]
    rows: IntArray


def soft_labels(labels: IntArray, classes: int, smoothing: float) -> npt.NDArray[np.float32]:
    """One-hot labels (N, C) float32 with ``smoothing`` of the mass spread evenly over all classes (Szegedy 2016)."""
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    return (1 - smoothing) * one_hot + np.float32(smoothing / classes)


def class_weights(labels: IntArray, classes: int, mode: str) -> npt.NDArray[np.float32]:
    """(C,) weights: ones, or for `balanced` n / (C x count), 0 for a class without rows."""
    if mode == "none":
        return np.ones(classes, np.float32)
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0).astype(np.float32)


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Whole batches only: the rest comes up in another epoch, and BatchNorm never sees a batch of one."""
    return max(1, n // batch_size)


def row_seeds(epoch_seed: int, rows: IntArray) -> npt.NDArray[np.int32]:
    """(B, 2) int32: a key for each image of an epoch, whatever its place in the order (splitmix64 of seed and row)."""
    with np.errstate(over="ignore"):
        z = np.uint64(epoch_seed) + (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.ascontiguousarray(z).view(np.int32).reshape(-1, 2)


Augment = Callable[[Any, Any, Any], tuple[Any, Any]]


def epoch_batches(data: Rows, batch_size: int, epoch_seed: int, augment: Augment | None) -> Iterator[tuple[Any, Any]]:
    """Batches of one epoch, shuffled and augmented: inputs (B, ...) float32 and soft labels (B, C).

    ``epoch_seed`` is all that the order and the augmentation depend on.
    """
    order = np.random.default_rng(epoch_seed).permutation(data.rows)
    for step in range(steps_per_epoch(len(order), batch_size)):
        rows = order[step * batch_size : (step + 1) * batch_size]
        # Sorted reading is what a memory map likes; the batch keeps its members either way.
        inputs = np.asarray(data.inputs[np.sort(rows)], dtype=np.float32)
        labels = data.soft_labels[np.sort(rows)]
        yield augment(inputs, labels, row_seeds(epoch_seed, np.sort(rows))) if augment else (inputs, labels)


def epoch_seed(seed: int, fold: int, stage: int, epoch: int) -> int:
    """The seed of one epoch's order and augmentation."""
    return seed_of("batches", seed, fold, stage, epoch)


def prefetched(batches: Iterator[Any], depth: int = PREFETCH) -> Iterator[Any]:
    """The same batches, prepared ahead in a thread; an error in the thread is raised here."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: tuple[str, Any]) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                break
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put(("batch", batch))
                if stop.is_set():
                    return
            put(("end", None))
        except BaseException as error:  # noqa: BLE001 - handed over and raised in the main thread
            put(("error", error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
