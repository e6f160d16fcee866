"""The commands that pack, send and look at the score."""

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.app import Config, Force, Json, app, open_project, print_result


@app.command()
def bundle(
    config: Config = None,
    force: Force = False,
    against: Annotated[str, typer.Option("--against", help="Also run it under these versions (pip syntax).")] = "",
) -> None:
    """Build the zip of the current ensemble and check that it runs without the kit."""
    with open_project(config) as project:
        project.bundle(force=force, against=against)


@app.command()
def table(config: Config = None) -> None:
    """Write submission.csv with the predictions of the test images, in the format of the sample file."""
    with open_project(config) as project:
        project.table()


@app.command()
def submit(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run all checks and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Submit a file again, which uses up a submission.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the score.")] = True,
    to_leaderboard: Annotated[
        bool, typer.Option("--to-leaderboard", help="Also put it on a leaderboard that needs this as a separate step.")
    ] = False,
    json: Json = False,
) -> None:
    """Submit the current bundle once and wait for its score."""
    import sys

    from kit.stages.submit import Choice

    ask = typer.confirm if sys.stdin.isatty() and not yes and not json else None
    with open_project(config, quiet=json) as project:
        paths = project.submit(Choice(dry_run, again, wait, to_leaderboard, ask))
        if json:
            from kit.store.ledger import load_submission
            from kit.store.ledger.facts import Score

            scored = load_submission(paths).last(Score)
            print_result(lambda: {"submission": paths.root.name, "score": scored.score if scored else None})


@app.command()
def report(
    out: Annotated[Path | None, typer.Option("--out", help="Output file. Default: report.html in the project.")] = None,
    no_attention: Annotated[
        bool, typer.Option("--no-attention", help="Leave out the attention maps, which take seconds the first time.")
    ] = False,
    config: Config = None,
) -> None:
    """Write all results to a single HTML page."""
    with open_project(config) as project:
        project.report(out, attention=not no_attention)


@app.command()
def export(
    tracker: Annotated[str, typer.Argument(help="Experiment tracker: mlflow.")],
    to: Annotated[str, typer.Option("--to", help="Its address. Default: MLFLOW_TRACKING_URI or ./mlruns.")] = "",
    config: Config = None,
) -> None:
    """Log runs, epochs, scores and small files to an experiment tracker."""
    with open_project(config) as project:
        project.export(tracker, to)


@app.command()
def lb(
    config: Config = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print only the submissions, as CSV.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Draw score against CV, and rank over time.")] = False,
    watch: Annotated[int, typer.Option("--watch", help="Refresh every so many seconds (at least 30).")] = 0,
    add_score: Annotated[
        float | None, typer.Option("--add-score", help="Record a score by hand, for a platform without an API.")
    ] = None,
    rerun: Annotated[
        bool | None,
        typer.Option("--rerun/--cancel", help="Run a submission again, or cancel it, where the site offers it."),
    ] = None,
    of: Annotated[
        str, typer.Option("--of", help="With the three above: part of a candidate's name, or a submission's number.")
    ] = "",
) -> None:
    """Show the leaderboard next to the cross-validation scores."""
    import shutil
    import time

    from kit.show.console import print_lines

    with open_project(config, quiet=json or csv) as project:
        if add_score is not None:
            project.add_score(add_score, of)
        if rerun is not None:
            project.act(of, rerun=rerun)
        while True:
            report = project.leaderboard(width=shutil.get_terminal_size().columns, pictures=pictures)
            if json:
                print_result(report.to_json)
            if csv:
                from kit.stages.lb.board import csv_lines

                print_lines(csv_lines(report))
            if not watch:
                return
            time.sleep(max(watch, 30))
