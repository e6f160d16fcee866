"""The practice competition: stained white blood cells that nobody has to download.

Pictures in the manner of a peripheral blood smear: one white cell among red ones, of eight kinds that differ in the
shape of the nucleus, in size, colour and granules, and overlap as the real kinds do. The training set has the faults
of a real one, the hidden test is another clinic's: other patients, other slides, a worse camera.
"""

from dataclasses import dataclass

import numpy as np

from kit.errors import DataError
from kit.images.sources.practice import draws
from kit.images.sources.practice.draws import CLASSES, grades_of, labels_of
from kit.images.sources.practice.paint import render
from kit.images.sources.practice.plant import BACKGROUND_SCENE, Planted, degrade, plan_plants, tamper
from kit.images.sources.raw import Competition

__all__ = ["CLASSES", "Planted", "Practice", "make"]

FEWEST, MOST = 120, 100_000
SMALLEST, LARGEST = 16, 256
TRAIN, TEST = 0, 1
TRAIN_SLIDES, TEST_SLIDES = range(12), range(4, 16)


@dataclass(frozen=True, eq=False)
class Practice(Competition):
    """The practice competition; some labels are wrong."""

    planted: tuple[Planted, ...]  # what was done to which row, to measure the cleaning; no stage reads it


def make(*, n: int = 1600, size: int = 64, seed: int = 0, graded: bool = False) -> Practice:
    """Generate the practice competition.

    ``n`` training pictures, 120 to 100,000, and a third as many, at most 2,000, for the hidden test; ``size`` is the
    side of a picture in pixels, 16 to 256; ``seed`` is not negative. Another number is a `DataError`. Labels are the
    kinds of the cells, or if ``graded`` five grades of their granules.

    The same bytes on every call on one platform. A row's picture and label depend on ``seed`` and the row alone,
    but for the rows in ``planted``, which also depend on ``n``. Memory is that of the result and some 20 MB at
    64 px.
    """
    for name, value, low, high in (("n", n, FEWEST, MOST), ("size", size, SMALLEST, LARGEST)):
        if not low <= value <= high:
            raise DataError(f"practice: {name} = {value} is not between {low} and {high}")
    if seed < 0:
        raise DataError(f"practice: seed = {seed} is negative")
    cells, scenes = labels_of(np.arange(n), draws.TRAIN_SHARES, seed, TRAIN), np.arange(n)
    labels = grades_of(cells, seed, TRAIN) if graded else cells
    planted = plan_plants(n, labels, seed)
    scenes[[row for row, kind, _ in planted if kind == "background"]] = BACKGROUND_SCENE
    images = render(cells, scenes, size, seed, TRAIN, TRAIN_SLIDES)
    tamper(images, labels, planted, seed, draws.NEXT_GRADE if graded else draws.SISTER)
    test = np.arange(min(n // 3, 2000))
    test_cells = labels_of(test, draws.TEST_SHARES, seed, TEST)
    test_images = degrade(render(test_cells, test, size, seed, TEST, TEST_SLIDES), seed)
    test_labels = grades_of(test_cells, seed, TEST) if graded else test_cells
    return Practice(images, labels, draws.GRADES if graded else CLASSES, test_images, test_labels, planted)
