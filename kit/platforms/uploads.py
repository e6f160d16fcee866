"""What is looked at before anything is sent: a bundle, a table of predictions, and what the pages say of programs."""

import csv
import html
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from kit.errors import PlatformError
from kit.store.candidate import Proof


def inspect_zip(file: Path) -> None:
    """Raise `PlatformError` where the file is no zip with ``model.py`` at its root.

    Codabench holds a worker for three minutes before it says so itself.
    """
    if not file.is_file():
        raise PlatformError(f"no such bundle: {file}", "kit bundle")
    if not zipfile.is_zipfile(file):
        raise PlatformError(f"{file} is not a zip", Proof.COMMAND)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        damaged = archive.testzip()
    if damaged is not None:
        raise PlatformError(f"{damaged} in {file} is damaged", Proof.COMMAND)
    if "model.py" not in names:
        raise PlatformError(f"{file} has no model.py at its root", Proof.COMMAND)


def check_csv(file: Path) -> None:
    """Raise `PlatformError` where a table is missing, empty, ragged, or names an id twice."""
    if not file.is_file():
        raise PlatformError(f"no such table: {file}", "kit table")
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.reader(text))
    if len(rows) < 2:
        raise PlatformError(f"{file} has no rows", "kit table")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]) or not all(cell.strip() for cell in row):
            raise PlatformError(f"{file} line {line} has an empty or missing cell: {','.join(row)[:60]}", "kit table")
    ids = [row[0] for row in rows[1:]]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise PlatformError(f"{file} has the id {twice!r} twice", "kit table")


LONGEST = 240
_MEANS = (
    r"\b(?:automat(?:ed|ic|ion)\b|automatically (?:generat|submi|made|creat|sent)\w*"
    r"|bots?\b|robot\w*|scripts?\b|macros?\b|API\b|programmatic\w*)"
)
_ENTRY = r"\b(?:submi\w+|entr(?:y|ies)\b)"
_NO = r"\b(?:not\b|no\b|forbid\w*|prohibit\w*|void\b|disqualif\w+|ban(?:ned)?\b|without (?:our )?permission)"


def automation_notes(pages: Iterable[str]) -> list[str]:
    """A warning that quotes the first sentence which seems to forbid automatic entries, as far as the pages say."""
    for page in pages:
        text = html.unescape(re.sub(r"<[^>]*>", " ", page))
        for sentence in re.split(r"(?<=[.!?;])\s+|\n\s*\n|\n\s*[-*#]", text):
            if all(re.search(part, sentence, re.IGNORECASE) for part in (_MEANS, _ENTRY, _NO)):
                quoted = " ".join(sentence.split())[:LONGEST]
                return [f'the rules may forbid entries that a program sends: "{quoted}"']
    return []
