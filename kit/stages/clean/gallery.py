"""A contact sheet for every reason a plan gives."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from kit.base.arrays import ImageArray, IntArray
from kit.show.figures.sheets import PER_LINE, Tile, sheet
from kit.stages.clean.draft import Finding, components
from kit.stages.clean.plan import Plan

MOST = 30


def contact_sheets(images: ImageArray, labels: IntArray, result: Plan, names: Sequence[str]) -> dict[str, Image.Image]:
    """Draw what a plan found, a sheet a reason in alphabetical order, pictures that belong together on one line.

    ``names`` says what to call the rows. A line shows at most eight pictures, a sheet at most `MOST` lines, and its
    title says how many there are. Findings without a twin stand eight to a line.
    """
    kept = set(result.keep.tolist())

    def tile(row: int, detail: str) -> Tile:
        fate = "" if row in kept else ", dropped"
        return Tile(images[row], f"{names[row]}\nclass {labels[row]}{fate}\n{detail}")

    by_reason = defaultdict[str, list[Finding]](list)
    for finding in (*result.dropped, *result.noted):
        by_reason[finding.reason].append(finding)
    sheets = {}
    for reason, findings in sorted(by_reason.items()):
        details = {finding.row: finding.detail for finding in findings}
        sets = _sets(findings)
        lines = [[tile(row, details.get(row, "")) for row in rows[:PER_LINE]] for rows in sets[:MOST]]
        shown, total = sum(map(len, lines)), sum(map(len, sets))
        some = f" ({shown} of {total} pictures shown)" if shown < total else ""
        sheets[reason] = sheet(lines, f"{reason}: {len(findings)}{some}")
    return sheets


def _sets(findings: Sequence[Finding]) -> list[list[int]]:
    """Rows joined by their twins, largest sets first; those without any are cut into lines."""
    alone = [finding.row for finding in findings if finding.twin < 0]
    pairs = [(finding.row, finding.twin) for finding in findings if finding.twin >= 0]
    rows, flat = np.unique(np.array(pairs, np.int64).reshape(-1), return_inverse=True)
    number = components(flat.reshape(-1, 2), len(rows))
    sets = [rows[number == place].tolist() for place in range(int(number.max(initial=-1)) + 1)]
    return sorted(sets, key=lambda one: -len(one)) + [
        alone[start : start + PER_LINE] for start in range(0, len(alone), PER_LINE)
    ]
