"""Batches as pure functions of (seed, fold, stage, epoch, row), prepared in a thread while the network works."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.runs.spec import seed_of

DEPTH, AHEAD = 4, 1 << 28  # batches that are prepared ahead, and how many bytes of them


@dataclass(frozen=True, eq=False)
class EpochRows:
    """One epoch: inputs (images or features) and labels (N, C) by row of the data, and the rows in their order."""

    inputs: Any
    labels: npt.NDArray[np.float32]
    rows: IntArray

    def depth(self, batch_size: int) -> int:
        """How many batches are prepared ahead; of large pictures fewer."""
        return int(np.clip(AHEAD // (4 * batch_size * self.inputs[self.rows[:1]].size), 1, DEPTH))


def soft_labels(masses: npt.NDArray[np.float32], outcomes: int, smoothing: float) -> npt.NDArray[np.float32]:
    """`Task.masses` (N, W) with ``smoothing`` of the mass spread evenly over all ``outcomes`` (Szegedy 2016)."""
    return (1 - smoothing) * masses + np.float32(smoothing / outcomes)


def class_weights(masses: npt.NDArray[np.float32], outcomes: int, mode: str) -> npt.NDArray[np.float32]:
    """(W,) weights of `Task.masses`: ones, or for `balanced` n / (outcomes x mass), 0 where there is none."""
    if mode == "none":
        return np.ones(masses.shape[1], np.float32)
    counts = masses.sum(axis=0, dtype=np.float64)
    return np.where(counts > 0, len(masses) / (outcomes * np.maximum(counts, 1)), 0).astype(np.float32)


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


def epoch_order(labels: IntArray, rows: IntArray, sampling: str, seed: int) -> IntArray:
    """The rows of one epoch in order: ``rows`` (n,) of those that have ``labels`` (N,), a function of ``seed``.

    ``sampling`` is `none`: all once. `over`: the rows of a rare class repeated until it is as large as the largest, no
    row more than once oftener than another of its class. `under`: a draw from each class as large as the smallest.
    """
    rng = np.random.default_rng(seed)
    if sampling == "none":
        return rng.permutation(rows)
    groups = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    sizes = [len(group) for group in groups]
    size = max(sizes) if sampling == "over" else min(sizes)
    drawn = [np.concatenate([np.tile(g, size // len(g)), rng.permutation(g)[: size % len(g)]]) for g in groups]
    return rng.permutation(np.concatenate(drawn))


def copy_numbers(order: IntArray) -> IntArray:
    """How often each entry stood in ``order`` before: 0 at first, so that copies of a row are augmented apart."""
    by_row = np.argsort(order, kind="stable")
    numbers = np.empty(len(order), np.int64)
    numbers[by_row] = np.arange(len(order)) - np.searchsorted(order[by_row], order[by_row])
    return numbers


def batch_maker(
    data: EpochRows, batch_size: int, epoch_seed: int, augment: Augment | None
) -> Callable[[int], tuple[Any, Any]]:
    """The function from a step to its batch: inputs (B, ...) float32 and labels (B, C), augmented.

    The order of ``data.rows`` and ``epoch_seed`` are all that it depends on.
    """
    copies = copy_numbers(data.rows)

    def make(step: int) -> tuple[Any, Any]:
        chosen = slice(step * batch_size, (step + 1) * batch_size)
        # Sorted reading is what a memory map likes; the batch keeps its members either way.
        by_row = np.argsort(data.rows[chosen], kind="stable")
        rows = data.rows[chosen][by_row]
        inputs, labels = np.asarray(data.inputs[rows], dtype=np.float32), data.labels[rows]
        keys = rows + (copies[chosen][by_row] << 40)
        return augment(inputs, labels, row_seeds(epoch_seed, keys)) if augment else (inputs, labels)

    return make


def epoch_seed(seed: int, fold: int, stage: int, epoch: int) -> int:
    """The seed of one epoch's order and augmentation."""
    return seed_of("batches", seed, fold, stage, epoch)


def prefetched(make: Callable[[int], Any], steps: range, workers: int = 2, depth: int = DEPTH) -> Iterator[Any]:
    """``make(step)`` for every step, in order, ``depth`` of them ahead, by threads whose number changes nothing else.

    An error in a thread is raised here.
    """
    with ThreadPoolExecutor(min(workers, depth)) as pool:  # of large batches one at a time
        waiting: deque[Future[Any]] = deque()
        try:
            for step in steps:
                waiting.append(pool.submit(make, step))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
