"""The application, the options that commands share, and how a command gets its project."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit import __version__

if TYPE_CHECKING:
    from kit.project import Project

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the boxes of rich cost 0.2 s of imports for every --help
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[Path | None, typer.Option("--config", help="Configuration file to use instead of kit.toml.")]
Force = Annotated[bool, typer.Option("--force", help="Run again even if nothing has changed.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]

# For commands that take names of runs: whether `-x` is a run or a mistyped option, the configuration is asked first.
RUNS = {"ignore_unknown_options": True}
Runs = Annotated[list[str] | None, typer.Argument(help="Names of the runs. By default all of them.")]
MaxHours = Annotated[
    float | None, typer.Option("--max-hours", min=0, help="Stop after N hours; run the same command to continue.")
]
Engine = Annotated[str, typer.Option("--engine", help="Where to run: local or ray. Overrides [engine] name.")]


def spread(arguments: list[str]) -> list[str]:
    """Arguments with `--oof a b` written as `--oof a --oof b`, which is all that the parser knows."""
    result: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in ("--oof", "--test") else ""
        elif option and result[-1] != option:
            result.append(option)
        result.append(argument)
    return result


def names(runs: list[str] | None) -> list[str]:
    """The runs of a command line whose configuration was read: no run of it begins with a dash."""
    for name in runs or ():
        if name.startswith("-"):
            raise typer.BadParameter(f"no such option: {name}")
    return runs or []


def _version(show: bool) -> None:
    if show:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def kit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Competition kit for image classification, from raw images to a scored submission."""


@contextmanager
def open_project(
    config: Path | None, *, quiet: bool = False, engine: str = "", files: Sequence[Path] = ()
) -> Iterator[Project]:
    """The project of the current folder, its events shown on the terminal; ``files`` could be blended without one."""
    from kit.errors import ConfigError
    from kit.project import Project
    from kit.show.console import Console
    from kit.store.layout import find_project

    if files and config is None:
        try:
            find_project(Path())
        except ConfigError as error:
            hint = f"kit ensemble --oof {files[0]} --config labels.csv   # a table with id, label and fold"
            raise ConfigError(error.message, hint) from error
    with Console(quiet=quiet) as console:
        yield Project(config=config, emit=console.emit, engine=engine)


def print_result(make: Callable[[], Any]) -> None:
    """What ``make`` returns, as JSON on standard output."""
    sys.stdout.write(json.dumps(make(), indent=2) + "\n")
