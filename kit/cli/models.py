"""The commands from the raw images to a blend, and those that say what an ingredient is worth."""

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.app import RUNS, Config, Engine, Force, Json, MaxHours, Runs, app, names, open_project, print_result


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


@app.command()
def probe(
    backbones: Annotated[list[str] | None, typer.Argument(help="By default all whose weights are here.")] = None,
    weights: Annotated[list[Path] | None, typer.Option(help="File or folder of weights. Can be repeated.")] = None,
    rows: Annotated[int, typer.Option(min=100, help="Number of images to use, at most.")] = 2000,
    config: Config = None,
    json: Json = False,
) -> None:
    """Rank pretrained backbones by a linear classifier on their features, without training them."""
    with open_project(config, quiet=json) as project:
        records = project.probe(backbones or (), weights or (), rows)
        if json:
            print_result(lambda: [record.model_dump(mode="json", exclude={"made_from", "files"}) for record in records])


@app.command(context_settings=RUNS)
def train(
    runs: Runs = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Train only this fold.")] = None,
    max_hours: MaxHours = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, help="Then N rounds of self-training on images without labels.")
    ] = 0,
    engine: Engine = "",
    config: Config = None,
    force: Force = False,
) -> None:
    """Train the runs on all folds that are not trained yet."""
    if rounds and (max_hours is not None or fold is not None):
        raise typer.BadParameter("needs whole runs: leave out --fold and --max-hours", param_hint="--rounds")
    with open_project(config, engine=engine) as project:
        project.train(names(runs), fold=fold, force=force, max_hours=max_hours)
        if rounds:
            project.self_train(names(runs), rounds=rounds)


@app.command()
def augment(run: Annotated[str, typer.Argument(help="Name of a run.")], config: Config = None) -> None:
    """Draw some training images with and without the augmentation of a run."""
    with open_project(config) as project:
        project.augment(run)


@app.command(context_settings=RUNS)
def stress(
    runs: Runs = None,
    all: Annotated[bool, typer.Option("--all", help="First train folds that are missing.")] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Only draw corruptions of some training images.")] = False,
    engine: Engine = "",
    config: Config = None,
    force: Force = False,
) -> None:
    """Score runs on corrupted held-out images (blur, noise, colour cast, ...)."""
    with open_project(config, engine=engine) as project:
        if sheet:
            project.corruptions()
        else:
            project.stress(names(runs), all=all, force=force)


@app.command()
def ensemble(
    all: Annotated[bool, typer.Option("--all", help="First train folds that are missing.")] = False,
    max_hours: Annotated[
        float | None, typer.Option("--max-hours", min=0, help="With --all: stop after N hours.")
    ] = None,
    oof: Annotated[
        list[Path] | None,
        typer.Option(
            "--oof",
            help="Out-of-fold predictions of other tools, one file per member. Without a project: --config labels.csv, "
            "a table with id, label and fold.",
        ),
    ] = None,
    test: Annotated[
        list[Path] | None, typer.Option("--test", help="Their predictions of the test images, in the same order.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="With --oof: folder for the results.")] = Path("blend"),
    engine: Engine = "",
    config: Config = None,
    force: Force = False,
) -> None:
    """Blend the runs, or the files of --oof, using their out-of-fold predictions."""
    if max_hours is not None and not all:
        raise typer.BadParameter("is only valid together with --all", param_hint="--max-hours")
    if oof and config is not None and config.suffix in (".csv", ".tsv"):
        from kit.show.console import Console
        from kit.stages.ensemble.foreign import blend_files

        with Console() as console:
            blend_files(config, console.emit, oof=oof, test=test or (), out=out)
        return
    with open_project(config, engine=engine, files=oof or ()) as project:
        if oof:
            project.blend_foreign(oof, test or (), out)
        else:
            project.ensemble(all=all, force=force, max_hours=max_hours)


@app.command()
def forecast(config: Config = None, force: Force = False, json: Json = False) -> None:
    """Estimate the score of every run and ensemble, and compare the test set with the training set."""
    with open_project(config, quiet=json) as project:
        records = project.forecast(force=force)
        if json:
            print_result(lambda: [record.model_dump(mode="json", exclude={"made_from", "files"}) for record in records])


@app.command()
def predict(
    bundle: Annotated[Path, typer.Option("--bundle", help="Zip written by kit bundle, your own or another team's.")],
    images: Annotated[Path, typer.Option("--input", help="Images: an .npz file, a folder or a .csv table.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write.")] = Path("predictions.csv"),
    engine: Annotated[str, typer.Option("--engine", help="tensorflow, openvino or litert.")] = "tensorflow",
) -> None:
    """Predict images with a bundle, without running any of its code."""
    from kit.show.console import Console
    from kit.stages.predict import predict as run

    with Console() as console:
        run(bundle, images, out, console.emit, engine)


@app.command()
def backbones() -> None:
    """List the available backbones."""
    from kit.runtime.backbones import BACKBONES
    from kit.show.console import print_lines

    print_lines(
        f"{name:20} from {entry.smallest} px{', ImageNet weights' if entry.pretrained else ''}"
        for name, entry in BACKBONES.items()
    )


@app.command(context_settings=RUNS)
def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Names of runs, also b0~no-cutmix. The first one is the baseline.")
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="Metric to use instead of the competition's.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Test whether runs differ, out of fold, on clean and on corrupted images."""
    with open_project(config, quiet=json) as project:
        report = project.compare(names(runs), metric=metric)
    if json:
        print_result(lambda: report.model_dump(mode="json", exclude_unset=True))


@app.command()
def sweep(
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    changes: Annotated[list[str] | None, typer.Argument(help="Make only these changes (see --list).")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the changes and exit.")] = False,
    fold: Annotated[int | None, typer.Option("--fold", help="Train only this fold.")] = None,
    max_hours: MaxHours = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of the unchanged run, to measure the noise.")] = 2,
    stress: Annotated[bool, typer.Option("--stress", help="Compare on corrupted images too.")] = False,
    config: Config = None,
) -> None:
    """Train a run with one ingredient changed at a time and compare. Does not change kit.toml."""
    with open_project(config, quiet=list_) as project:
        if list_:
            from kit.runs.sweep import MARK, plan_sweep
            from kit.show.console import print_lines

            print_lines(name.split(MARK, 1)[1] for name in plan_sweep(project.config, run, changes or (), seeds)[1:])
            return
        project.sweep(run, changes or (), fold=fold, max_hours=max_hours, seeds=seeds, stressed=stress)
