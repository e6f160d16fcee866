"""Files that go up, looked at before anything is sent, and logs that come down, of which the telling ones are shown.

The storage host gets no credentials. The frameworks write lines of their own into the same logs, on every run that went
well too; these are left out.
"""

import csv
import html
import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from requests.exceptions import RequestException

from kit.base.events import Emit, Event
from kit.errors import PlatformError
from kit.platforms import Waits
from kit.platforms.http import BUSY, Busy, error_text, plain_session, reason, repeated
from kit.store.candidate import Proof


def inspect_zip(file: Path) -> None:
    """Raise `PlatformError` where it is no zip with ``model.py`` at its root: Codabench says so after minutes."""
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


LARGE = 1 << 22  # bytes; a smaller file is up before anybody reads how much of it is
END = 1 << 16  # bytes of a log: what explains a failure is at its end


class Reader(io.FileIO):
    """An open file that says to ``said`` how many of its bytes have been read, and how many there are."""

    def __init__(self, path: Path, said: Callable[[int, int], None]) -> None:
        super().__init__(path)
        self._said, self._total = said, path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes."""
        piece = super().read(size)
        self._said(self.tell(), self._total)
        return piece


def upload_teller(emit: Emit) -> Callable[[int, int], None]:
    """Says how much of a large file is up, at every tenth."""
    said = [0]

    def tell(done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if total > LARGE and tenth != said[0]:
            said[0] = tenth
            text = f"submit: {done / 1e6:.0f} of {total / 1e6:.0f} MB uploaded"
            emit(Event("progress", text, {"stage": "submit", "done": done, "total": total}))

    return tell


def put_file(
    url: str,
    path: Path,
    waits: Waits,
    tell: Callable[[int, int], None],
    headers: Mapping[str, str] | None = None,
    arrived: Callable[[], int] = lambda: 0,
) -> None:
    """PUT a file to a storage host, without any credentials; the same address can be written again.

    ``arrived`` tells, where the address is resumable, how many bytes the host has after a try that failed. Raises
    `PlatformError` where the host refuses, or fails as often as ``waits`` allows.
    """
    size, tries = path.stat().st_size, itertools.count()

    def send() -> None:
        failed = next(tries) > 0
        start = arrived() if failed else 0
        if failed and start == size:
            return
        part = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        try:
            with Reader(path, tell) as body:
                body.seek(start)
                answer = plain_session(waits).put(url, data=body, headers={**(headers or {}), **part})
        except RequestException as error:
            problem, busy = reason(error), True
        else:
            if answer.status_code < 300:
                return
            # 308: a part has arrived.
            problem, busy = f"{answer.status_code}: {error_text(answer)}", answer.status_code in (*BUSY, 308)
        refused = PlatformError(f"the storage host did not accept {path.name}: {problem}", "kit submit")
        raise Busy(refused) if busy else refused

    repeated(send, "the storage host", waits)


def fetch_text(url: str, waits: Waits) -> str:
    """The end of the text behind a signed address; a failure is told in its place, for it only explains another one."""
    end = b""
    try:
        with plain_session(waits).get(url, stream=True) as answer:
            if not answer.ok:
                return f"(not readable: {answer.status_code})"
            for piece in answer.iter_content(END):
                end = (end + piece)[-END:]
    except RequestException as error:
        return f"(not readable: {reason(error)})"
    return end.decode("utf-8", errors="replace")


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
    """The end of the logs that explain a failure: those with a crash, else the first with an error, or with words."""
    in_order = [name for name in ORDER if name in logs] + sorted(logs.keys() - set(ORDER))
    found = {name: telling(logs[name]) for name in in_order}
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
