"""JSON over HTTP with a token that goes to one host only, and answers that say what is certain.

Harmless requests are repeated after a pause. The one that spends a submission is sent once: an answer of the 4xx
family, or a connection that was never made, is `Refused`; everything else is `Unsure`.
"""

import email.utils
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import ValidationError
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ConnectionError, ConnectTimeout, RequestException
from urllib3.exceptions import MaxRetryError, NewConnectionError

from kit.errors import ConfigError, PlatformError
from kit.platforms import PUBLIC_SITE, Absent, Refused, Unreachable, Unsure, Waits
from kit.store.record import Part, first_problem

BUSY = {408, 429, 500, 502, 503, 504}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
TEXT_LENGTH = 300
LONGEST_PAUSE = 1e9  # seconds: the end of a longer one is no date
UNREADABLE = (ValueError, RecursionError)  # what is raised of JSON that is none, or that is nested without an end


class Shape(Part, extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=True):
    """What the kit reads of an answer; whatever else is in it is ignored."""


class Created(Shape):
    """A submission that was taken."""

    id: str


S = TypeVar("S", bound=Shape)
T = TypeVar("T")


class Busy(PlatformError):
    """Another try may help, after ``pause`` seconds at least; ``error`` is what a last try that fails is told as."""

    def __init__(self, error: PlatformError, pause: float = 0.0) -> None:
        super().__init__(error.message, error.hint)
        self.error, self.pause = error, pause


def repeated(call: Callable[[], T], site: str, waits: Waits) -> T:
    """What ``call`` returns, repeated while it is `Busy`; `PlatformError` where a site asks for too long a pause."""
    for attempt, pause in enumerate(waits.pauses(), 1):
        try:
            return call()
        except Busy as busy:
            if attempt == waits.tries:
                raise busy.error from None
            if busy.pause > waits.obey:
                until = datetime.fromtimestamp(waits.clock() + busy.pause).astimezone()
                message = f"{site} accepts no more requests until {until:%H:%M on %d %B}"
                raise PlatformError(message, "kit lb   # then") from None
            waits.sleep(max(pause, busy.pause))
    raise AssertionError("unreachable")


def checked_url(url: str) -> str:
    """``url`` without its last slash, empty = the public site; `ConfigError` where a token would go unencrypted."""
    url = url or PUBLIC_SITE
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"competition.url = {url!r} is not a web address", f'url = "{PUBLIC_SITE}"')
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError(f"competition.url = {url!r} would send the token unencrypted", f"url = {'https' + url[4:]!r}")
    return url.rstrip("/")


class Timed(HTTPAdapter):
    """Gives every request a time-out: neither requests nor the package of Kaggle sets one."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._timeout = (waits.connect, waits.read)

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
        return super().send(request, **{**options, "timeout": options.get("timeout") or self._timeout})


def plain_session(waits: Waits, token: str = "") -> requests.Session:
    """A session with time-outs that keeps no cookies, so that a site never asks for more than the token."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "kit"
    for scheme in ("http://", "https://"):
        session.mount(scheme, Timed(waits))

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token:
            request.headers["Authorization"] = f"Token {token}"
        return request

    session.auth = sign  # without a token too: requests would look for a password in ~/.netrc
    return session


class Api:
    """The JSON interface of the site at ``base``, an address without a last slash.

    An empty ``token`` is not sent; ``unwelcome`` is the hint where the site does not accept it, and ``renew`` gets
    another one then, if it can.
    """

    def __init__(
        self, base: str, token: str, waits: Waits, unwelcome: str = "", renew: Callable[[], str] | None = None
    ) -> None:
        self._base, self._token, self._waits, self._unwelcome = base, token, waits, unwelcome
        self._session, self._renew = plain_session(waits, token), renew

    def get(self, path: str, shape: type[S], **query: str | int) -> S:
        """A page; repeated while the site is busy or unreachable."""
        return self.send("GET", path, None, shape, **query)

    def send(self, method: str, path: str, body: object, shape: type[S], **query: str | int) -> S:
        """A request whose repetition does no harm."""
        try:
            return shape.model_validate(self.json(method, path, json=body, params=query))
        except ValidationError as error:
            raise PlatformError(
                f"{self._base}{path} sent an answer that the kit does not understand: {first_problem(error)}",
                "check that competition.url is a Codabench site; the site itself shows what was submitted",
            ) from None

    def send_once(self, path: str, body: object, key: str) -> Created:
        """POST what must not arrive twice. Raises `Refused` or `Unsure`."""
        try:
            answer = self._request("POST", path, json=body, headers={"Idempotency-Key": key})
        except RequestException as error:
            if never_left(error):
                raise Refused(f"cannot reach {self._base}: {reason(error)}", "nothing was sent; try again") from None
            raise Unsure(f"{self._base} gave no answer to the submission: {reason(error)}") from None
        # 409: an earlier copy of this very request was taken, by a site that looks at the key.
        if answer.status_code >= 500 or answer.status_code in (408, 409):
            raise Unsure(f"{self._base} answered the submission with {self._describe(answer)}")
        if not answer.ok or answer.is_redirect:
            raise Refused(f"{self._base} refused the submission: {self._describe(answer)}", self._hint(answer))
        try:
            return Created.model_validate(answer.json())
        except UNREADABLE:
            raise Unsure(f"{self._base} answered the submission with {self._describe(answer)}") from None

    def json(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer as it came; repeated while the site is busy or unreachable."""

        def ask() -> Any:
            try:
                answer = self._request(method, path, **options)
            except RequestException as error:
                raise Busy(Unreachable(f"cannot reach {self._base}: {reason(error)}", "kit lb")) from None
            if not answer.ok or answer.is_redirect:
                kind = Absent if answer.status_code == 404 else PlatformError
                problem = kind(f"{self._base} answered {self._describe(answer)}", self._hint(answer))
                raise Busy(problem, retry_after(answer, self._waits)) if answer.status_code in BUSY else problem
            try:
                return answer.json()
            except UNREADABLE:
                raise PlatformError(f"{self._base} answered with {self._describe(answer)}, not JSON") from None

        return repeated(ask, self._base, self._waits)

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._session.request(method, self._base + path, allow_redirects=False, **options)
        # Older sites say 403 of a token that they do not know, and of much else.
        unknown = answer.status_code == 401 or (answer.status_code == 403 and "Invalid token" in answer.text)
        if unknown and self._renew is not None:
            renew, self._renew = self._renew, None
            with suppress(PlatformError):
                self._token = renew()
                self._session = plain_session(self._waits, self._token)
                # Harmless for what spends too: without a valid token nothing was taken.
                return self._session.request(method, self._base + path, allow_redirects=False, **options)
        return answer

    def _hint(self, answer: requests.Response) -> str:
        if answer.status_code == 429:
            return f"try again in {retry_after(answer, self._waits) or self._waits.longest:.0f} seconds"
        if answer.status_code in (401, 403):
            return self._unwelcome
        if answer.is_redirect:
            return f"the site has moved; set competition.url to that of {answer.headers.get('Location', '')[:100]}"
        return ""

    def _describe(self, answer: requests.Response) -> str:
        text = error_text(answer)
        return f"{answer.status_code}: {text.replace(self._token, '***') if self._token else text}"


def never_left(error: RequestException) -> bool:
    """Whether a request failed before a connection was made, so that nobody can have read it."""
    cause = error.args[0] if error.args else None
    not_made = isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
    return isinstance(error, ConnectTimeout) or (isinstance(error, ConnectionError) and not_made)


def reason(error: Exception) -> str:
    """One short line about a failed request, without the address (a signed one is a secret)."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, ConnectionError | ChunkedEncodingError):
        return "the connection failed" if never_left(error) else "the connection broke"
    return type(error).__name__


def error_text(answer: requests.Response) -> str:
    """What an error page says: the texts of a JSON object, or the title of an HTML page."""
    try:
        return ("; ".join(_texts(answer.json())) or "an empty answer")[:TEXT_LENGTH]
    except UNREADABLE:
        title = re.search(r"<title>(.*?)</title>", answer.text, re.DOTALL | re.IGNORECASE)
        # A storage host's: beside them stands the signature that it expected.
        parts = re.findall(r"<(?:Code|Message)>(.*?)</", answer.text, re.DOTALL)
        text = f"HTML page {title.group(1).strip()!r}" if title else ": ".join(parts) or answer.text.strip()
        return (text or "an empty page")[:TEXT_LENGTH]


def _texts(body: Any) -> list[str]:
    if isinstance(body, dict):
        general = {"detail", "non_field_errors", "message", "code"}
        return [text if key in general else f"{key}: {text}" for key, value in body.items() for text in _texts(value)]
    if isinstance(body, list):
        return [text for value in body for text in _texts(value)]
    return [str(body)]


def retry_after(answer: requests.Response, waits: Waits) -> float:
    """Seconds that ``Retry-After`` asks for, as a number or a date, at most `LONGEST_PAUSE`; 0 where it does not."""
    value = answer.headers.get("Retry-After", "")
    try:
        told = float(value) if value.isdigit() else email.utils.parsedate_to_datetime(value).timestamp() - waits.clock()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(0.0, told), LONGEST_PAUSE)
