"""What the stand-in servers have in common: a loopback server, faults on demand, a record of every request."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HTML_500 = (
    "<!doctype html><html><head><title>Server Error (500)</title></head><body><h1>Server Error</h1></body></html>"
)
HTML_502 = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
# Answers that look well and are not what was asked for: another site, a page about maintenance, a proxy's log-in.
ODD: dict[str, Any] = {
    "odd-object": {},
    "odd-list": [],
    "odd-text": "busy",
    "odd-page": HTML_502.replace("502 Bad ", ""),
}
FAULTS = ["400", "401", "403", "404", "429", "500", "502", "hang", "reset-before", "reset-after"]


@dataclass
class Request:
    """One request as it arrived."""

    phase: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What a route gives back."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Reset(Exception):
    """Break the connection without an answer."""


class Server:
    """A site on loopback; subclasses give `phase_of` and `answer`.

    ``faults`` maps a phase to a fault of `FAULTS` and how often it strikes (-1 = always).
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: dict[str, tuple[str, int]] = {}
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._http: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"site": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def phase_of(self, method: str, path: str) -> str:
        raise NotImplementedError

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def fault_body(self, status: int) -> Answer:
        return Answer(status, {"detail": f"fault {status}"})

    def handle(self, request: Request) -> Answer:
        """The answer to a request, with the fault that is due."""
        with self.lock:
            self.requests.append(request)
            kind, times = self.faults.get(request.phase, ("", 0))
            if times:
                self.faults[request.phase] = (kind, times - 1)
        if not times:
            with self.lock:
                return self.answer(request)
        if kind == "hang":
            self.stopping.wait(5)
            raise Reset
        if kind == "reset-before":
            raise Reset
        if kind == "reset-after":
            with self.lock:
                self.answer(request)
            raise Reset
        if kind in ODD:
            return Answer(200, ODD[kind])
        if kind == "late":
            return self._late(request)
        return self._error(int(kind))

    def _late(self, request: Request) -> Answer:
        """Commit after the client has given up."""
        self.stopping.wait(0.6)
        with self.lock:
            return self.answer(request)

    def _error(self, status: int) -> Answer:
        if status == 500:
            return Answer(500, HTML_500)
        if status == 502:
            return Answer(502, HTML_502)
        headers = {"Retry-After": "7"} if status == 429 else {}
        answer = self.fault_body(status)
        return Answer(status, answer.body, headers)

    def count(self, phase: str) -> int:
        return sum(request.phase == phase for request in self.requests)


class _Handler(BaseHTTPRequestHandler):
    site: Server
    protocol_version = "HTTP/1.1"
    # One packet an answer: two of them wait 40 ms for each other.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client died in the middle of it
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        phase = self.site.phase_of(self.command, self.path)
        try:
            answer = self.site.handle(Request(phase, self.command, self.path, headers, body))
        except Reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return
        self._reply(answer)

    def _reply(self, answer: Answer) -> None:
        html = isinstance(answer.body, str) and answer.body.lstrip().startswith("<")
        if isinstance(answer.body, bytes):
            content, kind = answer.body, "application/octet-stream"
        elif isinstance(answer.body, str):
            content, kind = answer.body.encode(), "text/html" if html else "text/plain"
        else:
            content, kind = (b"" if answer.body is None else json.dumps(answer.body).encode()), "application/json"
        try:
            self.send_response(answer.status)
            for name, value in {"Content-Type": kind, **answer.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
