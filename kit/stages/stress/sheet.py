"""``kit stress --sheet``: every corruption of the user's own images on one sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kit.base.events import Emit, Event
from kit.config import Config
from kit.images.corrupt.plan import plan_of, sampled
from kit.images.corrupt.sheet import contact_sheet
from kit.store.data import load_images, load_index
from kit.store.files import write_atomic
from kit.store.layout import Layout

PICTURES = 15


def corruption_sheet(layout: Layout, config: Config, emit: Emit) -> Path:
    """Write ``runs/corruptions.png``: a row for every family, a column for every severity from 0."""
    index, plan = load_index(layout), plan_of(config.stress)
    chosen = set(sampled(plan, index.ids)[:PICTURES])
    rows = [row for row, name in enumerate(index.ids) if name in chosen]
    sheet = contact_sheet(np.asarray(load_images(layout)[rows]), plan.seed)
    path = write_atomic(layout.corruptions_picture, lambda file: sheet.save(file, "png"))
    emit(Event("wrote", "", {"paths": [path]}))
    return path
