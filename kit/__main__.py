"""``python -m kit`` and the ``kit`` command: errors of the user on one line, ours with their traceback."""

from __future__ import annotations

import errno
import resource
import shutil
import sys
from pathlib import Path

from kit.errors import KitError
from kit.signals import terminable
from kit.streams import secure

LEAST_MEMORY = 400_000_000  # address space to import numpy, scipy and scikit-learn on two cores
# What threads and shared libraries say where there is none, in errors of other classes.
NO_MEMORY = ("can't start new thread", "failed to map segment", "Cannot allocate memory")


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
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= limit < LEAST_MEMORY:  # numpy would wait for ever, or end the process by a signal
        allowed, least = f"{limit / 1e6:.0f} MB", f"{LEAST_MEMORY / 1e6:.0f} MB"
        raise KitError(f"{allowed} of memory are allowed here and {least} needed, more to train", "ulimit -v unlimited")
    # The parser would not go below 50 columns by itself.
    app(spread(sys.argv[1:]), prog_name="kit", terminal_width=min(shutil.get_terminal_size().columns, 80))


def _known(error: BaseException) -> KitError | None:
    """What the user can mend: a `KitError`, or a limit or a refusal of the system; None for mistakes of the kit."""
    from kit.files import REFUSALS, refusal

    if isinstance(error, KitError):
        return error
    if isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY):
        return refusal(OSError(errno.ENOMEM, "not enough memory"), "the command cannot go on", Path())
    if isinstance(error, OSError) and error.errno in REFUSALS:
        path = Path(str(error.filename or "."))
        return refusal(error, f"cannot use {path}" if error.filename else "the command cannot go on", path)
    return None


if __name__ == "__main__":
    main()
