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


def spread(arguments: list[str]) -> list[str]:
    """Arguments with `--oof a b` written as `--oof a --oof b`, which is all that the parser knows."""
    result: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in ("--oof", "--test") else ""
            result.append(argument)
        elif option and result[-1] != option:
            result += [option, argument]
        else:
            result.append(argument)
    return result


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
def doctor(config: Config = None, json: Json = False) -> None:
    """Look at machine, packages, data, disk and credentials; exit 1 where something is wrong."""
    from dataclasses import asdict

    from kit.console import Console
    from kit.doctor import doctor as run

    with Console(quiet=json) as console:
        checks = run(Path(), console.emit, config=config)
    if json:
        _print_json(lambda: [asdict(check) for check in checks])
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(1)


@app.command()
def download(config: Config = None, force: Force = False) -> None:
    """Fetch and unpack the competition's files into raw/."""
    with _project(config) as project:
        project.download(force=force)


@app.command()
def clean(
    config: Config = None,
    force: Force = False,
    restore: Annotated[
        list[str] | None, typer.Option("--restore", help="Bring back an id, all of a reason, or all; may be repeated.")
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="List labels that the newest ensemble finds unlikely; change nothing.")
    ] = False,
) -> None:
    """Drop copies, contamination and unreadable images, and say why."""
    with _project(config) as project:
        if labels:
            project.propose_labels()
        elif restore:
            project.restore(restore)
        else:
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
    max_hours: Annotated[
        float | None, typer.Option("--max-hours", min=0, help="Save and end after so long; the same command goes on.")
    ] = None,
    config: Config = None,
    force: Force = False,
) -> None:
    """Train every run on every fold that is missing."""
    with _project(config) as project:
        project.train(runs or (), fold=fold, force=force, max_hours=max_hours)


@app.command()
def augment(
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    config: Config = None,
) -> None:
    """Draw what the augmentation of a run makes of some training images."""
    with _project(config) as project:
        project.augment(run)


@app.command()
def ensemble(
    all: Annotated[bool, typer.Option("--all", help="Train first what is missing.")] = False,
    oof: Annotated[
        list[Path] | None, typer.Option("--oof", help="Out-of-fold predictions of another tool; one file a member.")
    ] = None,
    test: Annotated[
        list[Path] | None, typer.Option("--test", help="Their predictions of the test images, in the same order.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for what --oof gives.")] = Path("blend"),
    config: Config = None,
    force: Force = False,
) -> None:
    """Blend the runs, or the files of --oof, from their out-of-fold predictions."""
    with _project(config) as project:
        if oof:
            project.blend_foreign(oof, test or (), out)
        else:
            project.ensemble(all=all, force=force)


@app.command()
def bundle(
    config: Config = None,
    force: Force = False,
    against: Annotated[str, typer.Option("--against", help="Versions to try it under, as pip takes them.")] = "",
) -> None:
    """Build the zip of the current ensemble and prove that it runs."""
    with _project(config) as project:
        project.bundle(force=force, against=against)


@app.command()
def table(config: Config = None) -> None:
    """Write submission.csv: the blend of the test images in the columns, ids and order of the sample file."""
    with _project(config) as project:
        project.table()


@app.command()
def submit(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send what was sent before; it counts again.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until there is a score.")] = True,
    to_leaderboard: Annotated[
        bool, typer.Option("--to-leaderboard", help="Put it on a board that is filled by hand.")
    ] = False,
    json: Json = False,
) -> None:
    """Send the current bundle once and wait for its score."""
    import sys

    from kit.submit import Choice

    ask = typer.confirm if sys.stdin.isatty() and not yes and not json else None
    with _project(config, quiet=json) as project:
        paths = project.submit(Choice(dry_run, again, wait, to_leaderboard, ask))
        if json:
            from kit.ledger import load_submission

            scored = load_submission(paths).last("score")
            _print_json(lambda: {"submission": paths.root.name, "score": scored["score"] if scored else None})


@app.command()
def lb(
    config: Config = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the submissions as CSV and nothing else.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Draw CV against score and rank over time.")] = False,
    watch: Annotated[int, typer.Option("--watch", help="Ask again every so many seconds, 30 at least.")] = 0,
    add_score: Annotated[
        float | None, typer.Option("--add-score", help="Note a score of a platform without an interface.")
    ] = None,
    of: Annotated[str, typer.Option("--of", help="With --add-score: part of the candidate's name.")] = "",
) -> None:
    """Show the leaderboard, and cross-validation beside it."""
    import shutil
    import time
    from functools import partial

    from kit.console import print_lines

    with _project(config, quiet=json or csv) as project:
        if add_score is not None:
            project.add_score(add_score, of)
        while True:
            report = project.leaderboard(width=shutil.get_terminal_size().columns, pictures=pictures)
            if json:
                _print_json(partial(dict, report))
            if csv:
                from kit.lb.show import csv_lines

                print_lines(csv_lines(report))
            if not watch:
                return
            time.sleep(max(watch, 30))


@app.command()
def predict(
    bundle: Annotated[Path, typer.Option("--bundle", help="A zip made by kit bundle, ours or another team's.")],
    images: Annotated[Path, typer.Option("--input", help="Images: a .npz, a folder or a .csv.")],
    out: Annotated[Path, typer.Option("--out", help="The table to write.")] = Path("predictions.csv"),
) -> None:
    """Predict images with any bundle; nothing of its code is run."""
    from kit.console import Console
    from kit.predict import predict as run

    with Console() as console:
        run(bundle, images, out, console.emit)


@app.command()
def backbones() -> None:
    """List the backbones that a run can name."""
    from kit.console import print_lines
    from kit.runtime.backbones import BACKBONES

    print_lines(
        f"{name:20} from {entry.smallest} px{', ImageNet weights' if entry.pretrained else ''}"
        for name, entry in BACKBONES.items()
    )
