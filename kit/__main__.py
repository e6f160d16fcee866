"""``python -m kit`` and the ``kit`` command: errors of the user on one line, ours with their traceback."""

from __future__ import annotations

import shutil
import sys

from kit.errors import KitError


def main() -> None:
    """Run the command line and exit with 0, 1 for a `KitError`, 2 for wrong usage, 130 when interrupted."""
    from kit.cli import app, spread

    try:
        # The parser would not go below 50 columns by itself.
        app(spread(sys.argv[1:]), prog_name="kit", terminal_width=min(shutil.get_terminal_size().columns, 80))
    except KitError as error:
        from kit.console import print_error

        print_error(error.message, error.hint)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
