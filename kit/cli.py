"""The command line: parse, call, print. Every stage is imported in the body of its command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

Config = Annotated[Path | None, typer.Option("--config", help="Another configuration file than kit.toml.")]
Force = Annotated[bool, typer.Option("--force", help="Redo it even where nothing changed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def kit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The competition kit for image classification: raw images to a scored submission."""


@contextmanager
def _project(config: Path | None, *, quiet: bool = False) -> Iterator[Project]:
    from kit.console import Console
    from kit.project import Project

    with Console(quiet=quiet) as console:
        yield Project(config=config, emit=console.emit)


def _print_json(make: Callable[[], Any]) -> None:
    from kit.console import print_json

    print_json(make())


@app.command()
def init(
    train: Annotated[str, typer.Option(help="The training set: a path, or practice, or digits.")] = "practice",
    folder: Annotated[Path, typer.Argument(help="Where the project begins.")] = Path(),
) -> None:
    """Start a project: kit.toml, a Makefile and a .gitignore."""
    from kit.console import Console
    from kit.init import init as run

    with Console() as console:
        run(folder, train, console.emit)


@app.command()
def clean(config: Config = None, force: Force = False) -> None:
    """Drop copies, contamination and unreadable images, and say why."""
    with _project(config) as project:
        project.clean(force=force)


@app.command()
def folds(
    config: Config = None,
    force: Force = False,
    reset: Annotated[bool, typer.Option("--reset", help="Forget the folds that ids have now.")] = False,
) -> None:
    """Split the rows into stratified folds that no group of duplicates crosses."""
    with _project(config) as project:
        project.folds(force=force, reset=reset)


@app.command()
def train(
    runs: Annotated[list[str] | None, typer.Argument(help="Names of runs; all by default.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Only this fold.")] = None,
    config: Config = None,
    force: Force = False,
) -> None:
    """Train every run on every fold that is missing."""
    with _project(config) as project:
        project.train(runs or (), fold=fold, force=force)


@app.command()
def ensemble(
    all: Annotated[bool, typer.Option("--all", help="Train first what is missing.")] = False,
    config: Config = None,
    force: Force = False,
) -> None:
    """Blend the runs from their out-of-fold predictions."""
    with _project(config) as project:
        project.ensemble(all=all, force=force)


@app.command()
def bundle(config: Config = None, force: Force = False) -> None:
    """Build the zip of the current ensemble and prove that it runs."""
    with _project(config) as project:
        project.bundle(force=force)


@app.command()
def submit(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    json: Json = False,
) -> None:
    """Send the current bundle once and wait for its score."""
    with _project(config, quiet=json) as project:
        paths = project.submit(dry_run=dry_run)
        if json:
            from kit.ledger import load_submission

            scored = load_submission(paths).last("score")
            _print_json(lambda: {"submission": paths.root.name, "score": scored["score"] if scored else None})


@app.command()
def lb(config: Config = None, json: Json = False) -> None:
    """Show the leaderboard, and cross-validation beside it."""
    with _project(config, quiet=json) as project:
        result = project.leaderboard()
        if json:
            _print_json(lambda: result)


@app.command()
def backbones() -> None:
    """List the backbones that a run can name."""
    from kit.console import print_lines
    from kit.runtime.backbones import BACKBONES

    print_lines(
        f"{name:20} from {entry.smallest} px{', ImageNet weights' if entry.pretrained else ''}"
        for name, entry in BACKBONES.items()
    )
