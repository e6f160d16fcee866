"""``python -m kit`` and the ``kit`` command: errors of the user on one line, ours with their traceback."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path

from kit.base.process import secure, terminable
from kit.errors import KitError

LEAST_MEMORY = 400_000_000  # address space to import numpy, scipy and scikit-learn on two cores


def main() -> None:
    """Run the command line and exit with 0, 1 for a `KitError`, 2 for wrong usage, 128 + number for a signal."""
    secure()
    try:
        try:
            with terminable():
                _command()
        finally:
            sys.stdout.flush()  # here a full disk is an error with a line; at exit it would be a traceback
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from kit.store.files import mendable

        known = mendable(error)
        if known is None:
            raise
        from kit.show.console import print_error

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
        raise KitError(f"memory is limited to {allowed}; {least} are needed, more for training", "ulimit -v unlimited")
    # The parser would not go below 50 columns by itself.
    app(spread(sys.argv[1:]), prog_name="kit", terminal_width=min(shutil.get_terminal_size().columns, 80))


if __name__ == "__main__":
    main()
