"""All corruptions of one picture on one sheet."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from kit.images.corrupt import FAMILIES, SEVERITIES, Images, corrupt

LABEL = 120  # px, for the names
GAP = 4


def contact_sheet(images: Images, seed: int = 0, tile: int = 96) -> Image.Image:
    """A row for every family, a column for severities 0 to 5, tiles of ``tile`` px; rows take the images in turn."""
    step = tile + GAP
    sheet = Image.new("RGB", (LABEL + step * (len(SEVERITIES) + 1), 20 + step * len(FAMILIES)), "white")
    draw = ImageDraw.Draw(sheet)
    for column in range(len(SEVERITIES) + 1):
        draw.text((LABEL + step * column + tile // 2, 4), str(column), fill="black")
    for row, family in enumerate(FAMILIES):
        draw.text((4, 20 + step * row + tile // 2), family, fill="black")
        picture = images[row % len(images)][None]
        for column in (0, *SEVERITIES):
            made = corrupt(picture, family, column, np.array([seed + row]))[0]
            place = (LABEL + step * column, 20 + step * row)
            sheet.paste(Image.fromarray(made).resize((tile, tile), Image.Resampling.NEAREST), place)
    return sheet
