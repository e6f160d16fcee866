"""What cleaning dropped and noticed, reason by reason, and what augmentation makes of the images."""

import re
from collections import Counter
from functools import partial
from math import isfinite
from typing import Any

from PIL import Image

from kit.errors import KitError, StageError
from kit.images.moves import judge_cleaned, moves_said
from kit.images.sources import RawSet, open_source
from kit.runs.spec import sheet_key
from kit.stages.report.inputs import Facts
from kit.stages.report.section import SHEET, Section, Tile, count, listed, percent, sheet, thumbnail
from kit.store.data import load_record
from kit.store.files import read_csv

SHOWN = 8
LABEL = re.compile(r"\blabel (\d+) x(\d+)")
PLURAL = {
    "contamination": "contamination",
    "exact-copy": "exact copies",
    "conflicting-label": "copies with conflicting labels",
    "unreadable": "unreadable files",
    "outlier": "outliers",
}
MEANING = {
    "contamination": "one picture copied many times, under labels that cannot all be correct",
    "exact-copy": "the same pixels, perhaps turned or flipped, as an image that was kept",
    "near-copy": "the same picture, cropped or compressed again; copies share a fold",
    "conflicting-label": "copies of one picture that are labelled differently",
    "shared-background": "different objects on one background; they share a fold",
    "unreadable": "the file could not be decoded",
}


def cleaning(facts: Facts) -> Section | str:
    """Counts and pictures of every reason."""
    if facts.index is None:
        return "kit clean"
    record = load_record(facts.layout)
    record.check(facts.layout.data, "", facts.layout.dropped.name, facts.layout.noted.name)
    called = facts.index.classes
    dropped = with_names(read_csv(facts.layout.dropped, for_people=True), called)
    noted = with_names(read_csv(facts.layout.noted, for_people=True), called)
    pictures = Raw(facts)
    groups = []
    for rows, fate in ((dropped, "dropped"), (noted, "kept and noted")):
        for reason, _ in Counter(row["reason"] for row in rows).most_common():
            groups.append(_group(reason, [row for row in rows if row["reason"] == reason], fate, pictures))
    height, width = facts.index.shape[:2]
    reasons = Counter(row["reason"] for row in dropped).most_common(2)
    named = listed([f"{n} as {PLURAL.get(reason, reason.replace('-', ' '))}" for reason, n in reasons])
    title = f"{percent(len(dropped) / record.raw)} of the images were dropped: {named}"
    shape = f"{count(len(facts.index.classes), 'class', 'classes')}, {height} × {width} pixels"
    return Section(
        title if dropped else "No image had to be dropped",
        f"{count(record.raw, 'raw image')}, {record.kept:,} kept; {shape}. Nothing is deleted: every "
        "decision is recorded in data/dropped.csv and can be undone.",
        {"groups": groups, "most": max((group["count"] for group in groups), default=1), "problem": pictures.problem},
    )


def with_names(rows: list[dict[str, str]], classes: tuple[str, ...]) -> list[dict[str, str]]:
    """Lines in which labels are the names of classes instead of their numbers."""

    def name(found: re.Match[str]) -> str:
        label, times = int(found[1]), int(found[2])
        called = classes[label] if label < len(classes) else f"label {label}"
        return called if times == 1 else f"{called} × {times}"

    return [{**row, "detail": LABEL.sub(name, row["detail"])} for row in rows]


class Raw:
    """Pictures by id: of kept images from the array, of dropped ones from the source, where it is still there."""

    def __init__(self, facts: Facts) -> None:
        assert facts.index is not None
        self._kept = {name: row for row, name in enumerate((*facts.index.ids, *facts.index.extra.ids))}
        self._facts = facts
        self.problem = ""
        self._raw: RawSet | None = None
        self._rows: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        """A data address, or nothing where there is no picture."""
        if name in self._kept:
            return thumbnail(self._facts.images[self._kept[name]])
        try:
            if self._raw is None and not self.problem:
                self._raw = open_source(self._facts.config.data, self._facts.layout.root, "train")
                self._rows = {name: row for row, name in enumerate(self._raw.ids)}
            if self._raw is None or name not in self._rows:
                return ""
            images, problems = self._raw.read(self._rows[name], self._rows[name] + 1)
            return "" if problems else thumbnail(images[0])
        except KitError as error:
            self.problem = error.message
            return ""


def _group(reason: str, found: list[dict[str, str]], fate: str, pictures: Raw) -> dict[str, Any]:
    """What was found for one reason: how many images, what became of them, and some of them."""
    shown = (_different(found) if reason == "contamination" else found)[:SHOWN]
    same = len({row["detail"] for row in shown}) == 1  # said once, not under every picture
    tiles = []
    for row in shown:
        if source := pictures(row["id"]):
            twin = f", twin {row['twin']}" if row["twin"] else ""
            alternative = f"Image {row['id']}: {row['reason']}, {fate}{twin}. {row['detail']}"
            tiles.append(Tile(source, row["id"], "" if same else row["detail"], alternative))
    meaning = "; ".join(filter(None, [MEANING.get(reason, ""), shown[0]["detail"] if same else ""]))
    lines = shown if reason.startswith("unreadable") else []
    name = reason.replace("-", " ")
    return {"reason": name, "count": len(found), "fate": fate, "meaning": meaning, "tiles": tiles, "lines": lines}


def _different(found: list[dict[str, str]]) -> list[dict[str, str]]:
    """One row of each set of copies: forty times the same picture says no more than once."""
    sets: dict[str, dict[str, str]] = {}
    owner: dict[str, str] = {}
    for row in found:
        key = owner.get(row["twin"]) or owner.get(row["id"]) or row["id"]
        owner[row["id"]] = owner[row["twin"]] = key
        sets.setdefault(key, row)
    return list(sets.values())


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
