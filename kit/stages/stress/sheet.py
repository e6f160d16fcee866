"""``kit stress --sheet``: every corruption of the user's own images on one sheet."""

from pathlib import Path

import numpy as np
from PIL import Image

from kit.base.arrays import ImageArray
from kit.base.events import Emit, Event
from kit.config import Config
from kit.images.corrupt import FAMILIES, SEVERITIES, corrupt
from kit.images.corrupt.plan import plan_of, sampled
from kit.show.figures.sheets import Tile, png, sheet
from kit.store.data import load_images, load_index
from kit.store.files import write_atomic
from kit.store.layout import Layout

PICTURES = 15


def corruption_sheet(layout: Layout, config: Config, emit: Emit) -> Path:
    """Write ``runs/corruptions.png``: a row for every family, a column for every severity from 0."""
    index, plan = load_index(layout), plan_of(config.stress)
    chosen = set(sampled(plan, index.ids)[:PICTURES])
    rows = [row for row, name in enumerate(index.ids) if name in chosen]
    picture = contact_sheet(np.asarray(load_images(layout)[rows]), plan.seed)
    path = write_atomic(layout.corruptions_picture, png(picture))
    emit(Event("wrote", "", {"paths": [path]}))
    return path


def contact_sheet(images: ImageArray, seed: int = 0) -> Image.Image:
    """A row for every family, a column for severities 0 to 5; rows take the images in turn."""
    rows = []
    for row, family in enumerate(FAMILIES):
        image, drawn = images[row % len(images)][None], np.array([seed + row])
        made = [corrupt(image, family, degree, drawn)[0] for degree in (0, *SEVERITIES)]
        rows.append([Tile(one, f"{family} {degree}") for degree, one in enumerate(made)])
    return sheet(rows, "Corruptions by severity")
