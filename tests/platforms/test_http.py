"""What an answer means: pauses, texts of errors, logs, and which ones leave a doubt."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import PlatformError
from kit.platforms import Refused, Unsure, Waits
from kit.platforms.http import TEXT_LENGTH, Api, Busy, Created, error_text, repeated, retry_after
from kit.platforms.uploads import END, fetch_text, put_file

pytestmark = pytest.mark.stage

NOW = 1.8e9
WAITS = Waits(first=0, longest=0, connect=1, read=1, tries=2, clock=lambda: NOW, sleep=lambda seconds: None)


def answer(text: str = "", status: int = 200, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content = status, text.encode()
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


@given(st.integers(0, 10**6))
def test_a_pause_is_the_same_as_a_number_and_as_a_date(seconds: int) -> None:
    date = email.utils.formatdate(NOW + seconds, usegmt=True)
    assert retry_after(answer(Retry_After=str(seconds)), WAITS) == seconds
    assert retry_after(answer(Retry_After=date), WAITS) == pytest.approx(seconds)
    assert retry_after(answer(Retry_After=email.utils.formatdate(NOW - seconds)), WAITS) == 0


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5e400", "Wed, 99 Foo", "\xb2"])
def test_a_pause_that_is_no_pause_is_none(value: str) -> None:
    assert retry_after(answer(Retry_After=value), WAITS) == 0


def test_a_pause_longer_than_anybody_waits_is_an_error() -> None:
    slept: list[float] = []
    waits = replace(WAITS, sleep=slept.append)

    def busy(pause: float) -> None:
        raise Busy(PlatformError("busy"), pause)

    with pytest.raises(PlatformError, match="busy") as last:
        repeated(lambda: busy(waits.obey), "the site", waits)
    assert slept == [waits.obey] and not isinstance(last.value, Busy)
    with pytest.raises(PlatformError, match="the site accepts no more requests until"):
        repeated(lambda: busy(waits.obey + 1), "the site", waits)
    assert slept == [waits.obey]


@pytest.mark.parametrize("digits", [12, 400])
def test_a_pause_without_an_end_is_told_as_a_date(digits: int) -> None:
    pause = retry_after(answer(Retry_After="9" * digits), WAITS)

    def busy() -> None:
        raise Busy(PlatformError("busy"), pause)

    with pytest.raises(PlatformError, match="the site accepts no more requests until"):
        repeated(busy, "the site", WAITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"detail": "Invalid token."}', "Invalid token."),
        ('{"non_field_errors": ["Reached maximum"], "tasks": ["Invalid pk"]}', "Reached maximum; tasks: Invalid pk"),
        ("<html><title>\n Server Error (500) </title></html>", "HTML page 'Server Error (500)'"),
        (
            "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><StringToSign>secret</StringToSign></Error>",
            "SignatureDoesNotMatch: no",
        ),
        ("", "an empty page"),
        ("{}", "an empty answer"),
        ("[" * 100_000, "[" * TEXT_LENGTH),
    ],
)
def test_the_text_of_an_error_is_what_a_person_would_read(text: str, expected: str) -> None:
    assert error_text(answer(text)) == expected


class Site:
    """Answers every request in one way and counts them."""

    def __init__(self, status: int, body: bytes) -> None:
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append(self.command)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _serve

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Callable[[int, bytes], Site]:
    def serve(status: int, body: bytes) -> Site:
        site = Site(status, body)
        thread = Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        request.addfinalizer(lambda: (site.server.shutdown(), site.server.server_close(), thread.join()))
        return site

    return serve


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, b'{"id": 5}', None),
        (201, b"{}", Unsure),
        (200, b"[]", Unsure),
        (201, b"[" * 100_000, Unsure),
        (200, b"<html>", Unsure),
        (408, b"{}", Unsure),
        (409, b"{}", Unsure),
        (500, b"<html>", Unsure),
        (302, b"", Unsure),
        (400, b'{"data": ["no"]}', Refused),
        (429, b"{}", Refused),
    ],
)
def test_the_request_that_spends_is_sent_once_and_only_a_clear_no_is_a_no(
    served: Callable[[int, bytes], Site], status: int, body: bytes, expected: type[Exception] | None
) -> None:
    site = served(status, body)
    api = Api(site.url, "token", WAITS)
    if expected is None:
        assert api.send_once("/", {}, "key") == Created(id="5")
    else:
        with pytest.raises(expected):
            api.send_once("/", {}, "key")
    assert site.seen == ["POST"]


def test_an_answer_that_is_nested_without_an_end_is_no_json(served: Callable[[int, bytes], Site]) -> None:
    with pytest.raises(PlatformError, match="not JSON"):
        Api(served(200, b"[" * 100_000).url, "token", WAITS).get("/", Created)


def test_of_a_log_the_end_is_kept_whole_and_as_text(served: Callable[[int, bytes], Site]) -> None:
    text = "x" * END + "\nwärum\nTypeError: ✗"
    found = fetch_text(served(200, text.encode()).url, WAITS)
    assert found.endswith("\nwärum\nTypeError: ✗") and len(found.encode()) == END
    assert fetch_text(served(404, b"").url, WAITS) == "(not readable: 404)"
    assert fetch_text(served(200, b"\xff\xfe").url, WAITS) == "��"


def test_a_file_goes_up_again_only_where_the_host_is_busy(served: Callable[[int, bytes], Site], tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"abc")
    for status, times in ((503, WAITS.tries), (403, 1)):
        site = served(status, b"<Error><Code>No</Code></Error>")
        with pytest.raises(PlatformError, match=rf"did not accept a\.zip: {status}: No"):
            put_file(site.url, path, WAITS, lambda done, total: None)
        assert site.seen == ["PUT"] * times
