"""The official ``kaggle`` package, kept in one room.

Left to itself it logs in, prints and makes folders when it is imported, ends the process when it finds no
credentials, waits forever for an answer, prints a failed upload instead of raising, and with VERBOSE set prints the
token. Here it is imported without running its ``__init__``, everything that it prints is caught, each request has a
time-out, and what goes wrong is a `PlatformError`.
"""

import importlib
import importlib.metadata
import importlib.util
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.exceptions import RequestException

from kit.errors import ConfigError, PlatformError
from kit.platforms import Refused, Unreachable, Unsure, Waits, http
from kit.platforms.credentials import kaggle_folder, kaggle_secrets
from kit.platforms.uploads import put_file

T = TypeVar("T")
# What usually mends an answer.
HINTS = {
    401: "make a new token on kaggle.com under Settings > API",
    403: "accept the rules on the competition's page, and check that competition.id is its slug",
    404: "check that competition.id is the competition's slug",
}
# Its own checks, and what it raises over an answer that it did not expect.
SHAPES = (ValueError, TypeError, KeyError, AttributeError, IndexError)


@contextmanager
def _quiet() -> Iterator[None]:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Site:
    """A logged-in client, called through `ask` and `ask_once`; ``url`` is a stand-in's on this machine, or empty."""

    def __init__(self, url: str, waits: Waits) -> None:
        if url and urlsplit(url).hostname not in http.LOOPBACK:
            raise ConfigError(f"competition.url = {url!r} is not Kaggle", "leave out competition.url")
        self._waits = waits
        self._secrets = kaggle_secrets()
        self.api = client_class()(url.rstrip("/"), waits)
        with self._clear():
            self.api.authenticate()

    @property
    def username(self) -> str:
        """Whose credentials these are."""
        return str(self.api.config_values.get("username", ""))

    def call(self, method: str, request: Any) -> Any:
        """One call of the package's own client, for what its methods leave out; repeated while Kaggle is busy."""

        def send() -> Any:
            with self.api.build_kaggle_client() as client:
                return getattr(client.competitions.competition_api_client, method)(request)

        return self.ask(send)

    def ask(self, call: Callable[[], T]) -> T:
        """A harmless call: repeated while Kaggle is busy or unreachable."""
        return http.repeated(self._clear()(call), "Kaggle", self._waits)

    def ask_once(self, call: Callable[[], T], noted: Callable[[], bool]) -> T:
        """A call that spends a submission; ``noted`` tells whether the request that spends had its turn."""
        try:
            with _quiet():
                return call()
        except requests.HTTPError as error:
            status, text = self._explain(error)
            if status < 500 and status != 408:
                raise Refused(f"Kaggle refused the submission: {text}", HINTS.get(status, "")) from None
            problem = f"Kaggle answered the submission with {status}: {text}"
        except RequestException as error:
            if http.never_left(error):
                raise Refused(f"cannot reach Kaggle: {http.reason(error)}", "nothing was sent; try again") from None
            problem = f"Kaggle gave no answer to the submission: {http.reason(error)}"
        except (*SHAPES, SystemExit) as error:
            problem = f"the kaggle package failed on the answer to the submission: {self._redact(repr(error))}"
        raise Unsure(problem) if noted() else PlatformError(problem, "kit submit")

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """Turn what the package raises into `PlatformError`, or `Busy` where another try may help."""
        try:
            with _quiet():
                yield
        except requests.HTTPError as error:
            status, text = self._explain(error)
            problem = PlatformError(f"Kaggle answered {status}: {text}", HINTS.get(status, ""))
            pause = http.retry_after(error.response, self._waits) if error.response is not None else 0.0
            raise (http.Busy(problem, pause) if status in http.BUSY else problem) from None
        except RequestException as error:
            raise http.Busy(Unreachable(f"cannot reach Kaggle: {http.reason(error)}", "kit lb")) from None
        except SHAPES as error:
            raise PlatformError(f"the kaggle package: {self._redact(str(error) or repr(error))}") from None
        except SystemExit:
            raise PlatformError("Kaggle does not accept the credentials", HINTS[401]) from None

    def _explain(self, error: requests.HTTPError) -> tuple[int, str]:
        """Status and text of an error; Kaggle's own message below 500, the title of the page above."""
        if error.response is None:
            return 500, self._redact(str(error))
        status = error.response.status_code
        return status, self._redact(str(error) if status < 500 else http.error_text(error.response))

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:300]


class Sessions:
    """What the package asks of the newest version of a notebook, asked of the one that ``owner/slug/version`` names."""

    build_kaggle_client: Any

    def kernels_status(self, kernel: str) -> Any:
        """State, and why it failed."""
        return self._session("get_kernel_session_status", "ApiGetKernelSessionStatusRequest", kernel)

    def kernels_logs(self, kernel: str) -> str:
        """What it printed."""
        return str(self._session("list_kernel_session_output", "ApiListKernelSessionOutputRequest", kernel).log or "")

    def _session(self, method: str, kind: str, kernel: str) -> Any:
        request = getattr(importlib.import_module("kagglesdk.kernels.types.kernels_api_service"), kind)()
        request.user_name, request.kernel_slug, *version = kernel.split("/")
        request.version_label = version[0] if version else None
        with self.build_kaggle_client() as client:
            return getattr(client.kernels.kernels_api_client, method)(request)


@cache
def client_class() -> Any:
    """The package's client, with time-outs, our address and an upload that raises; imported on the first use."""
    base: Any = _import().KaggleApi

    class Client(Sessions, base):  # type: ignore[misc]
        args: list[str] = []  # noqa: RUF012 - as in the package, where VERBOSE puts a flag into it
        config_dir = str(kaggle_folder())
        config = str(kaggle_folder() / "kaggle.json")

        def __init__(self, url: str, waits: Waits) -> None:
            super().__init__()
            self._url, self._waits = url, waits
            self.config_dir, self.config = str(kaggle_folder()), str(kaggle_folder() / "kaggle.json")
            self.uploaded: Callable[[], object] = lambda: None
            self.tell: Callable[[int, int], None] = lambda done, total: None

        def build_kaggle_client(self) -> Any:
            client = super().build_kaggle_client()
            own = client.http_client()
            own._endpoint = self._url or own._endpoint
            own._init_session()
            for scheme in ("http://", "https://"):
                own._session.mount(scheme, http.Timed(self._waits))
            return client

        def get_response_processor(self) -> None:
            """No notices about newer versions."""

        def with_retry(self, func: Callable[..., T], *_: Any, **__: Any) -> Callable[..., T]:
            """`Site.ask` repeats, with our pauses."""
            return func

        def upload_complete(self, path: str, url: str, quiet: bool, resume: bool = False) -> Any:
            file = Path(path)
            put_file(url, file, self._waits, self.tell, arrived=lambda: _arrived(url, file.stat().st_size, self._waits))
            self.uploaded()
            return _import().ResumableUploadResult.COMPLETE

    return Client


def _arrived(url: str, size: int, waits: Waits) -> int:
    """How many bytes the host has; all of them where it says that it is done."""
    try:
        answer = http.plain_session(waits).put(url, headers={"Content-Range": f"bytes */{size}", "Content-Length": "0"})
    except RequestException:
        return 0
    if answer.status_code in (200, 201):
        return size
    last = answer.headers.get("Range", "").rpartition("-")[2]
    return int(last) + 1 if answer.status_code == 308 and last.isdigit() else 0


@cache
def _import() -> Any:
    """The package's module with the client, without the log-in and the prints of its ``__init__``."""
    if "kaggle" not in sys.modules:
        spec = importlib.util.find_spec("kaggle")
        if spec is None:
            raise PlatformError("the package `kaggle` is not installed", "pip install kaggle six")
        package = importlib.util.module_from_spec(spec)
        package.__version__ = importlib.metadata.version("kaggle")  # type: ignore[attr-defined]
        sys.modules["kaggle"] = package
    names = ("VERBOSE", "VERBOSE_OUTPUT", "KAGGLE_CONFIG_DIR")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    # A folder that exists: the package would make one in the home folder.
    os.environ["KAGGLE_CONFIG_DIR"] = tempfile.gettempdir()
    try:
        with _quiet():
            return importlib.import_module("kaggle.api.kaggle_api_extended")
    finally:
        del os.environ["KAGGLE_CONFIG_DIR"]
        os.environ.update(kept)
