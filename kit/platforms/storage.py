"""The storage host: files that go up and logs that come down, without any credentials."""

import io
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

from requests.exceptions import RequestException

from kit.base.events import Emit, Event
from kit.errors import PlatformError
from kit.platforms.base import Waits
from kit.platforms.http import BUSY, Busy, error_text, plain_session, reason, repeated

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
