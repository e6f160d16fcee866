"""A section of the page, and how numbers are written in it."""

from dataclasses import dataclass

from kit.errors import KitError


@dataclass(frozen=True)
class Section:
    """One section: ``title`` says what to conclude, ``lead`` what is shown and how to read it, ``data`` is drawn.

    Where that is None, ``run`` is the command that writes its files. The page adds the rest: ``key`` is the anchor and
    the name of the template, ``label`` stands in the table of contents, ``problems`` are of files that cannot be read.
    """

    title: str = ""
    lead: str = ""
    data: object = None
    run: str = ""
    key: str = ""
    label: str = ""
    problems: tuple[KitError, ...] = ()


def number(value: float | None, digits: int = 4) -> str:
    """A score; a long dash for what is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A difference, with a proper minus."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    """A share of 1 as per cent; what is not 0 does not become it."""
    if 0 < share < 0.01 and digits == 0:
        return "<\u00a01\u00a0%"
    return f"{100 * share:.{digits}f}\u00a0%"


def count(n: int, noun: str, plural: str = "") -> str:
    """A number and its noun.

    >>> count(1, "image"), count(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(words: list[str]) -> str:
    """Words as a sentence lists them."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"
