"""The commands that pack, send and look at the score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.app import Config, Force, Json, app, open_project, print_result


@app.command()
def bundle(
    config: Config = None,
    force: Force = False,
    against: Annotated[str, typer.Option("--against", help="Versions to try it under, as pip takes them.")] = "",
) -> None:
    """Build the zip of the current ensemble and prove that it runs."""
    with open_project(config) as project:
        project.bundle(force=force, against=against)


@app.command()
def table(config: Config = None) -> None:
    """Write submission.csv: the blend of the test images in the columns, ids and order of the sample file."""
    with open_project(config) as project:
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
    out: Annotated[Path | None, typer.Option("--out", help="The file; report.html in the project by default.")] = None,
    no_attention: Annotated[
        bool, typer.Option("--no-attention", help="Leave out where networks looked; drawing it takes seconds, once.")
    ] = False,
    config: Config = None,
) -> None:
    """Write what is known as one HTML page: open it, print it, send it."""
    with open_project(config) as project:
        project.report(out, attention=not no_attention)


@app.command()
def export(
    tracker: Annotated[str, typer.Argument(help="Where to: mlflow.")],
    to: Annotated[str, typer.Option("--to", help="Its address; MLFLOW_TRACKING_URI or ./mlruns by default.")] = "",
    config: Config = None,
) -> None:
    """Log runs, epochs, scores and small files with a tracker of experiments."""
    with open_project(config) as project:
        project.export(tracker, to)


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

    from kit.show.console import print_lines

    with open_project(config, quiet=json or csv) as project:
        if add_score is not None:
            project.add_score(add_score, of)
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
