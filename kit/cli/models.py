"""The commands that train, blend and predict, and say what an ingredient is worth."""

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.app import RUNS, Config, Engine, Force, Json, MaxHours, Runs, app, names, open_project, print_result

TABLES = (".csv", ".tsv")


@app.command(context_settings=RUNS)
def train(
    runs: Runs = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Train only this fold.")] = None,
    max_hours: MaxHours = None,
    engine: Engine = "",
    config: Config = None,
    force: Force = False,
) -> None:
    """Train the runs on all folds that are not trained yet."""
    with open_project(config, engine=engine) as project:
        project.train(names(runs), fold=fold, force=force, max_hours=max_hours)


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
    if oof and config is not None and config.suffix in TABLES:
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
) -> None:
    """Predict images with a bundle, without running any of its code."""
    from kit.show.console import Console
    from kit.stages.predict import predict as run

    with Console() as console:
        run(bundle, images, out, console.emit)


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
