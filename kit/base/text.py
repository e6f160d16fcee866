"""Text that other people chose (names, ids, addresses, messages of platforms) before it is shown or stored.

The content of files is left alone: a `submission.csv` must hold exactly the names and ids that its host knows.
"""

import codecs
import difflib
import re
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

LONGEST = 1_000  # characters of an error: a dozen lines of a terminal

# Controls of C0 and C1 but tab and newline; separators and marks that turn the direction of writing, so that a line
# reads as another one; halves of surrogate pairs, which stand for bytes of file names and cannot be encoded.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# User and password in front of a host; also a password with an unescaped `/`, `?` or `#`, which is no port.
_LOGIN = re.compile(r"(?<=://)(?:[^\s/?#@:]*:(?!\d*(?:[/?#\s]|$))\S*|[^\s/?#]*)@")
_PARAMETER = re.compile(r"(?i)([?&][^=&\s]*(?:token|secret|passw|sig|key|auth|cred)[^=&\s]*=)[^&\s'\"#]+")
# What a spreadsheet takes for a formula, also behind the apostrophes that guard it.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def plain(text: str) -> str:
    r"""``text`` as a terminal may get it: control characters written out, no secrets in addresses.

    >>> plain("red\x1b[2J")
    'red\\x1b[2J'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), redacted(text))


def redacted(text: str) -> str:
    """``text`` without user names and passwords in addresses, and without the values of parameters that are secrets.

    >>> redacted("MLflow at https://me:secret@host:5000/?token=abc failed")
    'MLflow at https://host:5000/?token=*** failed'
    """
    return _PARAMETER.sub(r"\1***", _LOGIN.sub("", text)) if "://" in text else text


def encodable(text: object) -> object:
    """Text of others as it can be written: half a surrogate pair would make the file unreadable."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


def bounded(text: str) -> str:
    """``text`` of at most `LONGEST` characters: of a longer one the middle is left out, for both ends say what it was.

    >>> bounded(f"data.train = {'x' * 5_000!r} not found").replace("x", "")
    "data.train = ' [4,065 characters left out] ' not found"
    """
    if len(text) <= LONGEST:
        return text
    left_out = f" [{len(text) - LONGEST + 40:,} characters left out] "
    return f"{text[: LONGEST - 240]}{left_out}{text[-200:]}"


def guarded(cell: object) -> object:
    """A cell of a table for people: text that a spreadsheet would run as a formula gets an apostrophe before it.

    Not for what other programs look up by name: `submission.csv`, `index.csv`, the folds.

    >>> guarded("=1+1"), guarded("-0.5"), guarded(-0.5)
    ("'=1+1", '-0.5', -0.5)
    """
    if not isinstance(cell, str) or not _FORMULA.match(cell):
        return cell
    with suppress(ValueError):
        float(cell)  # a number is none
        return cell
    return f"'{cell}"


def unguarded(cell: str) -> str:
    """The text that `guarded` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint where ``word`` is none of the ``known`` ones.

    >>> nearest("trian", ["test", "train"])
    'did you mean `train`?'
    """
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names) or 'none'}"


def some(names: Iterable[str], n: int = 8) -> str:
    """The first of many names, each cut, for an error of bounded length.

    >>> some(["cat", "dog", "hen"], 2)
    'cat, dog and 1 more'
    """
    known = list(names)
    shown = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in known[:n])
    return shown + (f" and {len(known) - n} more" if len(known) > n else "")


# What editors and Excel ("Unicode text") put before the text. The mark of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32-LE",
    codecs.BOM_UTF32_BE: "UTF-32-BE",
    codecs.BOM_UTF16_LE: "UTF-16-LE",
    codecs.BOM_UTF16_BE: "UTF-16-BE",
}


def text_of(content: bytes, path: Path, error: Callable[[str, str], Exception]) -> str:
    """The text of a file with this ``content``: UTF-8, or what its byte order mark says; else raises ``error``."""
    mark = next((mark for mark in MARKS if content.startswith(mark)), b"")
    encoding = MARKS.get(mark, "UTF-8")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as wrong:
        source, copy = shlex.quote(str(path)), shlex.quote(f"{path}.utf8")
        hint = "" if mark else f"iconv -f WINDOWS-1252 -t UTF-8 {source} > {copy} && mv {copy} {source}"
        raise error(f"{path} is not {encoding} (byte {wrong.start + len(mark)})", hint) from wrong
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(f"{path} is not a text file: line {line} contains a NUL byte", "")
    return text
