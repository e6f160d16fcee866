"""Which networks a set of images is trained with first: by its size, the weights within reach, and the time."""

import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Literal

from kit.runs.pretrained import cached
from kit.runs.units.process import visible_gpus
from kit.runtime.backbones import BACKBONES

# Seconds of a core for a training step of one image, by pixel: rough, to choose between sizes and numbers of epochs.
SECONDS_PER_PIXEL = {
    "plain-cnn": 0.7e-6, "residual-cnn": 1.2e-6, "resnet-small": 0.65e-6, "resnet-medium": 2.2e-6,
    "mobilenetv2": 1.2e-6, "efficientnetv2-b0": 3.0e-6,
}  # fmt: skip
BFLOAT16 = 0.45  # of that time, for `TINY` on a processor that multiplies matrices of bfloat16
DEGRADE = 1e-3  # seconds of a core for an image: `degrade` goes through images one by one
START = 8.0  # seconds of a process before its first step
REST = 1.3  # held-out predictions, corrupted ones and the blend, beside the training
CARD = 20.0  # how much faster a graphics card is than a core, at a guess: none was there to measure
WEIGHTS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
)
PRETRAINED = ("mobilenetv2", "efficientnetv2-b0")
TINY = ("resnet-medium", "resnet-small")  # three epochs of the larger teach less than five of the smaller
SCRATCH = ("plain-cnn", "residual-cnn")
# Published weights expect photographs of 224 px. Pictures below this many pixels have no more in them than a small
# network finds, and below `FEWEST` the last map of a pretrained one is two pixels wide.
SMALL, FEWEST, SIDES = 48, 96, (224, 160, 128, 96)
LARGEST_SCRATCH = (96, 64, 48, 32, 16)
DEGRADED = 20_000  # images; with more of them `degrade` would take more time than the networks
DISK = 8e9  # bytes of data/
# The share of the bytes of their pixels that encoded images need at most: up to 128 pixels without loss, then as JPEG.
LOSSLESS, LOSSY = 0.7, 0.25


@dataclass(frozen=True)
class Plan:
    """What is trained: ``epochs`` are those of all layers; ``minutes`` is an estimate for this machine."""

    networks: tuple[str, ...]
    pretrained: bool
    size: int
    epochs: int
    method: Literal["k-fold", "hold-out"]
    folds: int
    degrade: bool
    minutes: float = 0.0

    @property
    def is_tiny(self) -> bool:
        """Whether its networks are those of small images, which have a recipe of their own."""
        return self.networks[0] in TINY

    @property
    def precision(self) -> str:
        """What its steps compute in: half the bits where the processor multiplies such matrices (AMX, on Linux)."""
        info = Path("/proc/cpuinfo")
        is_faster = self.is_tiny and not visible_gpus() and info.exists() and "amx_bf16" in info.read_text()
        return "mixed_bfloat16" if is_faster else "float32"


def choose(n: int, side: int, hours: float, *, pretrained: Callable[[], bool], is_split: bool = False) -> Plan:
    """The first plan that takes at most ``hours`` for ``n`` images whose longer side has ``side`` pixels.

    Epochs are cut first, then the second network, then the size, and the folds last. Where nothing is cheap enough,
    the cheapest. ``pretrained`` says whether weights are within reach; up to `SMALL` pixels they are not asked for.
    Data that are split already (``is_split``) are validated on their own split.
    """
    every = _plans(n, side, side > SMALL and pretrained())
    plans = [replace(plan, minutes=minutes(plan, n)) for plan in every if not is_split or plan.method == "hold-out"]
    return next((plan for plan in plans if plan.minutes <= 60 * hours), min(plans, key=lambda plan: plan.minutes))


def minutes(plan: Plan, n: int) -> float:
    """Estimated minutes until the blend of ``n`` images, on this machine."""
    share, trained = (1 - 1 / plan.folds), plan.folds if plan.method == "k-fold" else 1
    cards = len(visible_gpus())
    faster = 1 / CARD if cards else BFLOAT16 if plan.precision == "mixed_bfloat16" else 1.0
    image = [SECONDS_PER_PIXEL[name] * plan.size**2 * faster for name in plan.networks]
    steps = n * share * plan.epochs
    seconds = trained * sum(START + steps * (one + DEGRADE * plan.degrade) for one in image)
    return REST * seconds / 60 / (cards or os.cpu_count() or 1)


def _plans(n: int, side: int, pretrained: bool) -> Iterator[Plan]:
    """All plans, the best first."""
    networks = PRETRAINED if pretrained else TINY if side <= SMALL else SCRATCH
    smallest = max(BACKBONES[name].smallest for name in networks)
    if pretrained:
        sizes, epochs = [size for size in SIDES if size <= max(side, FEWEST)], [8, 5, 3]
    else:
        # As they are where that is small enough; interpolating them would gain nothing.
        own = [max(side, smallest)] if side <= LARGEST_SCRATCH[0] else []
        sizes = own + [size for size in LARGEST_SCRATCH if smallest <= size < max(side, smallest + 1)]
        most = min(max(round(240_000 / n), 12), 40)
        epochs = [most, max(most // 2, 8)]  # with fewer, a network from scratch has learnt too little to compare
    trained = [(networks[:count], number) for count in (2, 1) for number in epochs]
    if networks == TINY:
        most = min(max(1_440_000 // n, 24), 60)
        trained = [(several, number) for several in (TINY, TINY[:1]) for number in range(most, most // 2 - 1, -1)]
        trained += [(TINY[1:], number) for number in range(most, most // 6 - 1, -1)]
    shares = {size: LOSSLESS if size <= 128 else LOSSY for size in sizes}
    sizes = [size for size in sizes if 3.0 * n * size**2 * shares[size] <= DISK] or sizes[-1:]
    splits: tuple[tuple[Literal["k-fold", "hold-out"], int], ...] = (("k-fold", 5), ("k-fold", 3), ("hold-out", 5))
    for method, folds in splits:
        for size in sizes:
            for several, number in trained:
                yield Plan(several, pretrained, size, number, method, folds, n <= DEGRADED)


def weights_within_reach() -> bool:
    """Whether ImageNet weights are in the cache of Keras, or their site has them and answers within three seconds."""
    if cached().keys() >= set(PRETRAINED):
        return True
    try:
        with urllib.request.urlopen(urllib.request.Request(WEIGHTS, method="HEAD"), timeout=3):
            return True
    except (OSError, HTTPException, ValueError):  # a proxy may answer nonsense, or be written wrongly
        return False
