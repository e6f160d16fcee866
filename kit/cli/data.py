"""The commands before training."""

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.app import Config, Force, Json, app, open_project, print_result


@app.command()
def init(
    train: Annotated[str, typer.Option(help="Training set: a path, practice or digits.")] = "practice",
    recipe: Annotated[str, typer.Option(help="Start from a recipe. `kit recipes` lists them.")] = "",
    hours: Annotated[float, typer.Option(min=0, help="Plan a training of at most N hours on this machine.")] = 1.0,
    look: Annotated[bool, typer.Option("--look/--no-look", help="Choose settings by looking at the images.")] = True,
    folder: Annotated[Path, typer.Argument(help="Folder of the new project.")] = Path(),
) -> None:
    """Create a project: kit.toml, a Makefile and a .gitignore."""
    from kit.show.console import Console
    from kit.stages.init import init as run

    with Console() as console:
        run(folder, train, console.emit, recipe, hours=hours, looks=look)


@app.command()
def recipes() -> None:
    """List the recipes that a project can start from."""
    from kit.show.console import print_lines
    from kit.stages.init import known_recipes

    print_lines(f"{name:22} {line}" for name, line in known_recipes().items())


@app.command()
def doctor(config: Config = None, json: Json = False) -> None:
    """Check machine, packages, data, disk and credentials. Exit with 1 if something is wrong."""
    from dataclasses import asdict

    from kit.show.console import Console
    from kit.stages.doctor import doctor as run

    with Console(quiet=json) as console:
        checks = run(Path(), console.emit, config=config)
    if json:
        print_result(lambda: [asdict(check) for check in checks])
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(1)


@app.command()
def download(config: Config = None, force: Force = False) -> None:
    """Download the competition's files and unpack them into raw/."""
    with open_project(config) as project:
        project.download(force=force)


@app.command()
def clean(
    config: Config = None,
    force: Force = False,
    restore: Annotated[
        list[str] | None, typer.Option("--restore", help="Bring back an id, all of a reason, or all. Can be repeated.")
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="List labels that the newest ensemble finds unlikely. Change nothing.")
    ] = False,
) -> None:
    """Drop copies, contamination and unreadable images, and list the reasons."""
    with open_project(config) as project:
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
    reset: Annotated[bool, typer.Option("--reset", help="Create new folds and ignore the existing ones.")] = False,
) -> None:
    """Split the data into stratified folds. A group of duplicates is never in two folds."""
    with open_project(config) as project:
        project.folds(force=force, reset=reset)
