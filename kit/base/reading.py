"""Text files as people save them: one reader for tables, lists of classes, overrides and ``kit.toml``."""

import codecs
import shlex
from collections.abc import Callable
from pathlib import Path

# What editors and Excel ("Unicode text") put before the text. The mark of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32-LE",
    codecs.BOM_UTF32_BE: "UTF-32-BE",
    codecs.BOM_UTF16_LE: "UTF-16-LE",
    codecs.BOM_UTF16_BE: "UTF-16-BE",
}


def text_of(content: bytes, path: Path, error: Callable[[str, str], Exception]) -> str:
    """The text of a file with this ``content``: UTF-8, or what the byte order mark says, which is no part of it.

    Raises ``error(message, hint)`` where it is in another encoding, or is no text.
    """
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
