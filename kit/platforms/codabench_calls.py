"""Codabench's habits: pages of a list, names of files, the day that is UTC's, answers of another shape."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from kit.errors import PlatformError
from kit.platforms.http import Api

MOST_PAGES = 1000
P = ParamSpec("P")
T = TypeVar("T")


def understood(method: Callable[P, T]) -> Callable[P, T]:
    """The method, with a `PlatformError` where an answer lacks what the kit reads: sites change."""

    @wraps(method)
    def careful(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return method(*arguments, **options)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise PlatformError(
                f"the site's answer is not as the kit knows it, in `{method.__name__}`: {error!r:.200}",
                "see that competition.url is a Codabench site; the site itself shows what was sent",
            ) from error

    return careful


def pages(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    """All rows of a list, which newer sites cut into pages."""
    first = api.get(path, **query, page_size=100)
    if isinstance(first, list):
        return first
    rows, page = list(first["results"]), 1
    while first.get("next") and page < MOST_PAGES:
        page += 1
        first = api.get(path, **query, page_size=100, page=page)
        rows += first["results"]
    return rows


def stem(row: dict[str, Any]) -> str:
    """The name of a submission's file without its ending."""
    return str(row.get("filename") or "").removesuffix(".zip")


def storage_headers(url: str) -> dict[str, str]:
    """The type is part of the signature; Azure wants to know the kind of blob as well."""
    headers = {"Content-Type": "application/zip"}
    if ".blob.core." in url:
        headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2018-03-28"}
    return headers


def left(limit: int | None, used: int | None) -> int | None:
    """What a limit leaves; None = no limit."""
    return None if limit is None else max(0, limit - (used or 0))


def midnight() -> datetime:
    """The end of the site's day."""
    return (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def resets(reason: str) -> str:
    """When another submission may go, where the day's count is what stops it."""
    if "today" not in reason:
        return ""
    return f"the day ends at midnight UTC, {midnight().astimezone():%H:%M on %d %B} here"
