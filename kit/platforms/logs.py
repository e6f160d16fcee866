"""Which of a submission's logs explains what happened: a crash, or else a line that names an error.

The frameworks write lines of their own into the same logs, on every run that went well too; these are left out.
"""

import re
from collections.abc import Mapping

TAIL_LINES, TAIL_LOGS = 20, 2
LONGEST_LINE = 400
CRASH = "Traceback (most recent call last)"
# In the order in which a cause precedes what it causes; a crash of `model.py` is in the first.
ORDER = tuple(
    f"{part}_{stream}"
    for stream in ("stderr", "stdout")
    for part in ("prediction_ingestion", "prediction", "scoring_ingestion", "scoring")
)
# TensorFlow's information and warnings; of its errors only those about graphics cards that are not there, which every
# run on a processor prints. An error that ended the program is followed by a traceback, or is a line of its own.
_STAMP = r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: |)"
CHATTER = re.compile(
    rf"^{_STAMP}[IW](?:\d{{4}} |\s+(?:tensorflow|external|\S+\.cc))"
    rf"|^{_STAMP}E(?:\d{{4}} |\s+\S)(?!.*memory).*?(?:cu(?:Init|DNN|BLAS|FFT|da\w*)\b|cuda_|gpu_|computation_placer)"
    r"|^WARNING: All log messages before absl|^To enable the following instructions|^\s*warnings?\.warn\("
    r"|^\s*\d+/\d+ [\[━]"
)
ERROR = re.compile(
    r"\b(?!\w*Warning)\w*(?:Error|Exception)\b|\b(?:error|fatal|killed|out of memory|exceeded|failed)\b", re.IGNORECASE
)


def telling(text: str) -> list[str]:
    """The lines of a log that the frameworks did not write, each cut to a bearable length."""
    lines = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", text).splitlines()
    return [line[:LONGEST_LINE] for line in lines if line.strip() and not CHATTER.search(line)]


def explain(logs: Mapping[str, str]) -> str:
    """The end of the logs that explain a failure: those with a crash, or else the first that names an error.

    Where none does it is the first that says anything; empty where they say nothing.
    """
    order = {name: place for place, name in enumerate(ORDER)}
    found = {name: telling(logs[name]) for name in sorted(logs, key=lambda name: (order.get(name, len(order)), name))}
    ranks = {name: _rank(lines) for name, lines in found.items()}
    best = max(ranks.values(), default=0)
    if not best:
        return ""
    chosen = [name for name, rank in ranks.items() if rank == best][: TAIL_LOGS if best == 3 else 1]
    return "\n".join(line for name in chosen for line in (f"{name}:", *_end(found[name])))


def _rank(lines: list[str]) -> int:
    if any(CRASH in line for line in lines):
        return 3
    return 2 if any(map(ERROR.search, lines)) else int(bool(lines))


def _end(lines: list[str]) -> list[str]:
    """The last lines, up to the last one that names an error where less telling ones follow it."""
    named = [place for place, line in enumerate(lines) if ERROR.search(line)]
    last = named[-1] + 1 if named and len(lines) - named[-1] > TAIL_LINES else len(lines)
    return lines[max(0, last - TAIL_LINES) : last]
