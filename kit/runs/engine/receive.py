"""What a task sends, put into the project: whole files in one step, logs line by line."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.runs.engine.stores import Store, write_pieces
from kit.store.files import append_log

Message = dict[str, Any]


def receive(
    stream: Iterator[Any], root: Path, store: Store, hear: Callable[[Message], None], placed: Callable[[Message], None]
) -> Message:
    """Take the messages of one attempt at a unit into the project at ``root``.

    ``hear`` gets every report of the unit, ``placed`` the message that says where the task runs. Returns the message of
    how the unit ended, empty where there was none.
    """
    ended: Message = {}
    for message in stream:
        match message["what"]:
            case "placed":
                placed(message)
            case "reports":
                for report in message["reports"]:
                    hear(report)
            case "file":
                handle = message["handle"]
                pieces = _of_size(stream, message["size"]) if handle is None else store.pieces(handle)
                write_pieces(inside(root, message["path"]), pieces, message["sha256"])
                if handle is not None:
                    store.drop(handle)
            case "log":
                path = inside(root, message["path"])
                path.parent.mkdir(parents=True, exist_ok=True)
                for line in message["text"].splitlines():
                    with suppress(ValueError):  # a line that a kill left unfinished
                        append_log(path, json.loads(line))
            case "gone":
                for name in message["paths"]:
                    inside(root, name).unlink(missing_ok=True)
            case "ended":
                ended = message
    return ended


def inside(root: Path, name: str) -> Path:
    """The file that a task names; raises ValueError where that is outside the project."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a task named a file outside the project: {name}")
    return root / name


def _of_size(stream: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Pieces from the stream until they make up ``size`` bytes."""
    while size > 0:
        piece = next(stream)
        size -= len(piece)
        yield piece
