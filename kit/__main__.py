"""``python -m kit`` and the ``kit`` command: errors of the user on one line, ours with their traceback."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

from kit.errors import KitError
from kit.signals import terminable
from kit.streams import secure


def main() -> None:
    """Run the command line and exit with 0, 1 for a `KitError`, 2 for wrong usage, 128 + number for a signal."""
    secure()
    try:
        try:
            with terminable():
                _command()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        known = _known(error)
        if known is None:
            raise
        from kit.console import print_error

        print_error(known.message, known.hint)
        sys.exit(1)


def _command() -> None:
    from kit.cli import app, spread

    try:
        Path.cwd()
    except FileNotFoundError:
        raise KitError("the current folder was deleted", "cd ~") from None
    # The parser would not go below 50 columns by itself.
    app(spread(sys.argv[1:]), prog_name="kit", terminal_width=min(shutil.get_terminal_size().columns, 80))


def _known(error: BaseException) -> KitError | None:
    """What the user can mend: a `KitError`, or a limit or a refusal of the system; None for mistakes of the kit."""
    from kit.files import REFUSALS, refusal

    if isinstance(error, KitError):
        return error
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        return refusal(OSError(errno.ENOMEM, "not enough memory"), "the command cannot go on", Path())
    if isinstance(error, OSError) and error.errno in REFUSALS:
        path = Path(str(error.filename or "."))
        return refusal(error, f"cannot use {path}" if error.filename else "the command cannot go on", path)
    return None
