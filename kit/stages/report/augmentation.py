"""What augmentation makes of the images."""

from functools import partial
from math import isfinite
from typing import Any

from PIL import Image

from kit.errors import StageError
from kit.images.moves import judge_cleaned, moves_said
from kit.runs.spec import sheet_key
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, listed
from kit.stages.report.thumbnails import SHEET, sheet

# Of the five megabytes that a page may have, and the widths that are tried until the sheets fit.
ROOM = 1_500_000
SMALLER = (1080, 720, 480, 320)


def augmentation(facts: Facts) -> Section | str:
    """The sheets that ``kit augment`` drew, one for runs that are augmented alike."""
    names = list(facts.config.runs)
    drawn = [name for name in names if _is_fresh(facts, name)]
    if not drawn:
        return f"kit augment {names[0]}"
    alike: dict[str, list[str]] = {}
    for name in drawn:
        alike.setdefault(repr((facts.config.runs[name].augment, facts.config.runs[name].seed)), []).append(name)
    for width in (SHEET, *SMALLER):  # all shrink together until they leave room on the page for the rest
        sheets = [_sheet(facts, names, width) for names in alike.values()]
        if sum(len(one["source"]) for one in sheets) <= ROOM:
            break
    return Section(
        "What the networks see after augmentation",
        "First the original image, then its augmented version in each epoch. Where you can no longer recognise the "
        "class, augmentation is too strong: reduce that step." + _moves(facts),
        sheets,
    )


def _moves(facts: Facts) -> str:
    """Which flips and turns the cleaned images allow, whoever wrote the configuration."""
    if facts.index is None:
        return ""
    gains = facts.attempt(partial(judge_cleaned, facts.layout, facts.index))
    if gains is None or not any(isfinite(gain.error) for gain in gains.values()):  # of too few images nothing is known
        return ""
    said = ", ".join(f"{move} {gain}" for move, gain in gains.items())
    lead = "A classifier of thumbnails gains these points of accuracy from copies that are flipped or turned"
    return f" {lead}: {said}. {moves_said(gains)}"


def _is_fresh(facts: Facts, run: str) -> bool:
    """Whether the picture is there, and not one of other steps or images."""
    path = facts.layout.augment_picture(run)
    if facts.index is None or not path.exists():
        return path.exists()
    key = sheet_key(facts.config.runs[run], facts.index)
    try:
        with Image.open(path) as file:
            return bool(file.info.get("made_from", key) == key)  # earlier kits did not say it
    except (OSError, SyntaxError, ValueError):
        return True  # damaged: an error where it is drawn


def _sheet(facts: Facts, names: list[str], widest: int) -> dict[str, Any]:
    """A drawn sheet, of which runs it is, and their steps."""
    path = facts.layout.augment_picture(names[0])
    try:
        source, width, height = sheet(path, widest)
    except (OSError, SyntaxError, ValueError):  # what Pillow raises on files that are damaged
        raise StageError(f"{path} is not a readable picture", f"kit augment {names[0]}") from None
    steps = ", ".join(step.op for step in facts.config.runs[names[0]].augment) or "none"
    about = f"Training images of {listed(names)}, one per row: the original, then several epochs"
    size = {"width": width, "height": height}
    return {"name": listed(names), "source": source, **size, "steps": steps, "alternative": about}
