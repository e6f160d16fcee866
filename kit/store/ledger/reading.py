"""Small JSON files of the ledger: read whole and of the right shape, or an error that names the file.

Facts cannot be made again, so no hint deletes one; caches only cost time, so a damaged one is as good as none.
"""

import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kit.errors import KitError, StageError
from kit.store.files import write_atomic
from kit.store.record import first_problem

T = TypeVar("T")


def read(path: Path, parse: Callable[[bytes], T], hint: str = "") -> T:
    """The content of ``path`` as ``parse`` understands it, usually `pydantic.BaseModel.model_validate_json`.

    ``hint`` is the command that makes the file again, where there is one. Raises `StageError` where the file is
    missing, cannot be read, or is of another shape.
    """
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise StageError(f"{path} is missing", hint) from None
    except OSError as error:
        raise StageError(f"{path} cannot be read: {error.strerror}", hint or aside(path)) from None
    except ValidationError as error:
        raise StageError(f"{path} is damaged: {first_problem(error)}", hint or aside(path)) from None


def aside(path: Path) -> str:
    """The hint that sets a damaged file aside, where nobody reads it and nothing of it is lost."""
    name = shlex.quote(str(path))
    damaged = shlex.quote(f"{path}.damaged")
    return f"mv {name} {damaged}   # where it is committed, this brings it back: git checkout -- {name}"


def read_cache(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """`read` for what can be made again: None where it is missing or damaged."""
    try:
        return parse(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_cache(path: Path, content: bytes) -> None:
    """Keep what can be made again; a project that cannot be written does without."""
    with suppress(KitError, OSError):
        write_atomic(path, content)
