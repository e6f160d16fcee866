"""The commands that say what an ingredient is worth."""

from typing import Annotated

import typer

from kit.cli.app import RUNS, Config, Json, MaxHours, app, names, open_project, print_result


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
