"""The storage host: files that go up and logs that come down, without any credentials."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from requests.exceptions import RequestException

from kit.base.events import Emit, Event
from kit.errors import PlatformError
from kit.platforms.base import Waits
from kit.platforms.http import BUSY, error_text, plain_session, reason, signed

LARGE = 1 << 22
END = 1 << 16


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
    headers: Mapping[str, str] = MappingProxyType({}),
    arrived: Callable[[], int] = lambda: 0,
) -> None:
    """PUT a file to a storage host, without any credentials; the same address can be written again.

    ``arrived`` tells, where the address is resumable, how many bytes the host has after a try that failed. Raises
    `PlatformError` where the host refuses, or fails as often as ``waits`` allows.
    """
    size, start = path.stat().st_size, 0
    for attempt, pause in enumerate(waits.pauses(), 1):
        part = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        try:
            with Reader(path, tell) as body:
                body.seek(start)
                timeout = (waits.connect, waits.read)
                answer = plain_session().put(
                    url, data=body, headers={**headers, **part}, timeout=timeout, auth=signed("")
                )
        except RequestException as error:
            problem, busy = reason(error), True
        else:
            if answer.status_code < 300:
                return
            # 308: a part has arrived.
            problem, busy = f"{answer.status_code}: {error_text(answer)}", answer.status_code in (*BUSY, 308)
        if not busy or attempt == waits.tries:
            raise PlatformError(f"the storage host did not accept {path.name}: {problem}", "kit submit")
        waits.sleep(pause)
        start = arrived()
        if start == size:
            return


def storage_headers(url: str) -> dict[str, str]:
    """The type is part of the signature; Azure wants to know the kind of blob as well."""
    headers = {"Content-Type": "application/zip"}
    if ".blob.core." in url:
        headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2018-03-28"}
    return headers


def fetch_text(url: str, waits: Waits) -> str:
    """The end of the text behind a signed address; a failure is told in its place, for it only explains another one."""
    end = b""
    try:
        with plain_session().get(url, timeout=(waits.connect, waits.read), auth=signed(""), stream=True) as answer:
            if not answer.ok:
                return f"(not readable: {answer.status_code})"
            for piece in answer.iter_content(END):
                end = (end + piece)[-END:]
    except RequestException as error:
        return f"(not readable: {reason(error)})"
    return end.decode("utf-8", errors="replace")
