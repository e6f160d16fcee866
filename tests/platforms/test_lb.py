"""`kit lb`: laws of the numbers, the report with and without a connection, tables that fit."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import CONFIG, raw
from rich.cells import cell_len
from servers.codabench import Codabench
from servers.project import make_candidate, make_project

from kit.base.events import Event, silent
from kit.config import Config
from kit.errors import StageError
from kit.images.sources import open_source
from kit.platforms import Waits, open_platform
from kit.project import Project
from kit.show.figures.board import against_score
from kit.stages.lb import add_score, leaderboard
from kit.stages.lb.board import csv_lines
from kit.stages.submit import Choice, submit
from kit.store.files import write_json
from kit.store.layout import Layout
from kit.store.ledger import (
    BoardRow,
    add_event,
    add_snapshot,
    attempts,
    history,
    load_for_tables,
    load_submissions,
    target_of,
)
from kit.store.ledger.facts import Answer, Intent, Score
from kit.store.ledger.standing import (
    Agreement,
    combined,
    error_on_test,
    forecast,
    medal,
    medal_zones,
    noise_of_difference,
    standing,
)

pytestmark = pytest.mark.stage

WAITS = Waits(first=0, longest=0, connect=1, read=2, tries=1, sleep=lambda seconds: None)
scores = st.floats(0.1, 0.99)
errors = st.floats(1e-3, 0.1)


@pytest.fixture
def site(site: Codabench) -> Codabench:
    site.walk = ["Running", "Finished"]
    return site


@pytest.fixture
def project(site: Codabench, tmp_path: Path) -> tuple[Layout, Config]:
    return make_project(tmp_path / "project", platform="codabench", url=site.url, id="7", name="cells", test_size=1000)


def send(site: Codabench, project: tuple[Layout, Config], number: int, cv: float, score: float) -> None:
    layout, config = project
    site.score = str(score)
    paths = make_candidate(layout, f"2026112{number}T054000Z-{number:08x}", cv=cv, salt=str(number).encode())
    submit(layout, config, paths, silent, Choice(), WAITS)


@given(scores, errors, errors, st.lists(st.floats(-0.05, 0.05), max_size=6))
def test_a_forecast_is_cv_moved_by_the_mean_gap_and_lies_in_its_interval(
    cv: float, cv_error: float, score_error: float, gaps: list[float]
) -> None:
    found = forecast(cv, cv_error, score_error, gaps)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(cv + (sum(gaps) / len(gaps) if gaps else 0))
    assert found.seen == len(gaps)


def test_forecasts_cover_what_they_say() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    hits = np.zeros(8)
    for _ in range(3000):
        cv_error, score_error, shift = 0.01, 0.015, rng.normal(0, 0.03)
        gaps: list[float] = []
        for seen in range(8):
            quality = rng.uniform(0.7, 0.9)
            cv = quality + rng.normal(0, cv_error)
            score = quality + shift + rng.normal(0, score_error)
            if seen:
                found = forecast(cv, cv_error, score_error, gaps)
                hits[seen] += found.low <= score <= found.high
            gaps.append(score - cv)
    assert (hits[1:] / 3000 > 0.92).all()


@given(errors, st.integers(10, 10_000), st.integers(10, 10_000))
def test_four_times_the_images_halve_the_noise(error: float, rows: int, size: int) -> None:
    assert error_on_test(error, rows, 4 * size) == pytest.approx(error_on_test(error, rows, size) / 2)
    assert error_on_test(error, rows, rows) == pytest.approx(error)


def test_the_noise_of_a_difference_is_that_of_two_binomial_scores() -> None:
    p, n = 0.9, 500
    error = math.sqrt(p * (1 - p) / n)
    assert noise_of_difference(error) == pytest.approx(1.96 * math.sqrt(2 * p * (1 - p) / n), rel=1e-3)


@given(scores, errors, st.floats(-0.05, 0.05), scores, errors)
def test_a_combined_estimate_lies_between_its_two_sources(
    cv: float, cv_error: float, gap: float, score: float, score_error: float
) -> None:
    found = combined(cv, cv_error, gap, score, score_error)
    assert min(cv + gap, score) - 1e-9 <= found <= max(cv + gap, score) + 1e-9


@pytest.mark.parametrize(
    ("teams", "gold", "silver", "bronze"),
    [
        (50, 5, 10, 20),
        (100, 10, 20, 40),
        (249, 10, 49, 99),
        (250, 10, 50, 100),
        (999, 11, 50, 100),
        (5000, 20, 250, 500),
    ],
)
def test_medals_follow_the_progression_system(teams: int, gold: int, silver: int, bronze: int) -> None:
    assert dict(medal_zones(teams)) == {"gold": gold, "silver": silver, "bronze": bronze}
    assert [medal(rank, teams) for rank in (gold, silver, bronze, bronze + 1)] == ["gold", "silver", "bronze", ""]


def test_the_report_has_submissions_with_gap_forecast_and_rank_and_the_finals(
    site: Codabench, project: tuple[Layout, Config]
) -> None:
    for number, (cv, score) in enumerate([(0.84, 0.86), (0.86, 0.87), (0.88, 0.91)], start=1):
        send(site, project, number, cv, score)
    said: list[Event] = []
    report = leaderboard(*project, said.append, waits=WAITS)
    first, second, third = report.submissions
    assert first.forecast.value == pytest.approx(0.84)
    assert second.forecast.value == pytest.approx(0.86 + 0.02)
    assert third.gap == pytest.approx(0.03)
    assert report.agreement == Agreement(pairs=3, alike=3)
    assert report.finals[0][0] == third
    assert report.seen.remaining.today == 2
    assert report.standing.ahead.name == "ada"
    text = "\n".join(event.text for event in said)
    assert "on 1000 images a difference below" in text
    (table,) = [event.data for event in said if event.kind == "table" and event.text == "submissions"]
    assert {"CV", "public"} < set(table["header"]) and "private" not in table["header"]
    assert all(any(cells) for cells in zip(*table["rows"], strict=True))
    assert "behind rank 1 (ada)" in text


def test_a_rank_that_moves_is_told(site: Codabench, project: tuple[Layout, Config]) -> None:
    send(site, project, 1, 0.85, 0.91)
    site.others += [("alan", "0.92"), ("kurt", "0.925")]
    report = leaderboard(*project, silent, waits=WAITS)
    assert report.standing.snapshot.rank == 4
    assert report.standing.moved == -2
    assert report.submissions[0].moved == -2
    drawn = leaderboard(*project, silent, waits=WAITS, pictures=True).pictures
    assert [path.name for path in drawn] == ["cv-score.svg", "rank.svg"]
    assert all(path.read_bytes().startswith(b"<svg ") for path in drawn)
    assert len(history(project[0], target_of(project[1]))) == 2


def test_without_a_connection_the_last_snapshot_is_shown_with_its_age(
    site: Codabench, project: tuple[Layout, Config]
) -> None:
    send(site, project, 1, 0.85, 0.91)
    before = leaderboard(*project, silent, waits=WAITS)
    site.faults = {"competition": ("reset-before", -1), "board": ("reset-before", -1)}
    said: list[Event] = []
    after = leaderboard(*project, said.append, waits=WAITS)
    assert after.board == before.board
    assert after.standing.age >= 0
    assert "could not be asked" in said[0].text and said[0].kind == "warn"


def test_a_hidden_board_takes_nothing_from_the_rest(site: Codabench, project: tuple[Layout, Config]) -> None:
    submit(*project, make_candidate(project[0]), silent, Choice(wait=False), WAITS)
    site.walk = ["Finished"]
    site.faults["board"] = ("403", -1)
    for _ in range(2):
        report = leaderboard(*project, silent, waits=WAITS)
    assert "403" in report.seen.problem and "answers of the platform are missing" in report.seen.problem
    assert report.seen.remaining.today == 4
    assert report.submissions[0].attempt.state == "scored"


def test_a_submission_that_is_gone_does_not_hide_the_others(site: Codabench, project: tuple[Layout, Config]) -> None:
    for number in (1, 2):
        paths = make_candidate(project[0], f"2026112{number}T054000Z-{number:08x}", salt=str(number).encode())
        submit(*project, paths, silent, Choice(wait=False), WAITS)
    site.submissions[0]["id"] = 999
    for _ in range(4):
        report = leaderboard(*project, silent, waits=WAITS)
    assert [line.attempt.state for line in report.submissions] == ["answered", "scored"]
    assert "404" in report.seen.problem and report.standing.snapshot.rank is not None


def test_a_board_that_did_not_change_is_as_old_as_the_last_look(
    site: Codabench, project: tuple[Layout, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(site, project, 1, 0.85, 0.91)
    (summary,) = project[0].boards.glob("*.json")
    week_ago = (datetime.now(UTC) - timedelta(days=7)).isoformat(timespec="seconds")
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "time": week_ago}))
    assert leaderboard(*project, silent, waits=WAITS).standing.age < 60
    project[0].asked.unlink()
    site.faults["competition"] = ("reset-before", -1)
    said: list[Event] = []
    report = leaderboard(*project, said.append, waits=WAITS)
    assert report.standing.age > 6.9 * 86400
    assert any("7 d old" in event.text for event in said if event.kind == "table")


def test_a_submission_whose_wait_was_cut_short_is_picked_up(site: Codabench, project: tuple[Layout, Config]) -> None:
    paths = make_candidate(project[0])
    submit(*project, paths, silent, Choice(wait=False), WAITS)
    assert leaderboard(*project, silent, waits=WAITS).submissions[0].attempt.state == "answered"
    for _ in range(3):
        report = leaderboard(*project, silent, waits=WAITS)
    assert report.submissions[0].attempt.score == pytest.approx(0.8712345678)


def test_a_request_without_an_answer_is_found_by_the_leaderboard(
    site: Codabench, project: tuple[Layout, Config]
) -> None:
    paths = make_candidate(project[0])
    site.faults["create"] = ("reset-after", 1)
    site.faults["list"] = ("", 0)

    class Cut(Exception):
        pass

    def cut(event: Event) -> None:
        if "asking whether it arrived" in event.text:
            raise Cut

    with pytest.raises(Cut):
        submit(*project, paths, cut, Choice(), WAITS)
    assert leaderboard(*project, silent, waits=WAITS).submissions[0].attempt.remote == "1"
    assert site.created() == 1


def test_a_score_by_hand_belongs_to_the_candidate_that_is_named(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "hand")
    with pytest.raises(StageError, match="no candidate"):
        add_score(layout, config, 0.5)
    make_candidate(layout, "20261121T000000Z-aaaaaaaa", cv=0.8)
    make_candidate(layout, "20261122T000000Z-bbbbbbbb", cv=0.9, salt=b"b")
    add_score(layout, config, 0.87)
    add_score(layout, config, 0.79, of="aaaa")
    report = leaderboard(layout, config, silent)
    assert {line["name"][-8:]: line["score"] for line in report.rows()} == {"aaaaaaaa": 0.79, "bbbbbbbb": 0.87}
    for wrong, example in ((math.nan, 0.87), (math.inf, 0.87), (79.0, 0.79), (-1.0, 0.87)):
        with pytest.raises(StageError, match=f"{wrong:g} is not a score that accuracy can have") as caught:
            add_score(layout, config, wrong)
        assert caught.value.hint == f"kit lb --add-score {example}"
    with pytest.raises(StageError, match="2 candidates"):
        add_score(layout, config, 0.5, of="2026")
    add_score(layout, config, 0.78, of="aaaa")  # a slip is put right
    assert sorted(line["score"] for line in leaderboard(layout, config, silent).rows()) == [0.78, 0.87]


def test_a_score_that_the_metric_cannot_have_is_told_and_nothing_rests_on_it(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "percent")
    paths = make_candidate(layout, "20261121T000000Z-aaaaaaaa", cv=0.8)
    add_score(layout, config, 0.79)
    begun = Intent(tag="percent", sha256="", target=target_of(config))
    for fact in (begun, Answer(remote="7"), Score(score=79.0)):
        add_event(paths, "percent", fact)
    said: list[Event] = []
    report = leaderboard(layout, config, said.append)
    assert [line["score"] for line in report.rows()] == [0.79]
    assert any("has the score 79, which accuracy cannot be" in event.text for event in said)


def test_csv_and_json_hold_the_same_numbers(site: Codabench, project: tuple[Layout, Config]) -> None:
    send(site, project, 1, 0.85, 0.91)
    report = leaderboard(*project, silent, waits=WAITS)
    (row,) = csv.DictReader(csv_lines(report))
    assert float(row["score"]) == json.loads(json.dumps(report.to_json()))["submissions"][0]["score"] == 0.91
    assert csv_lines(replace(report, submissions=[])) == [""]


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_every_line_fits_the_terminal_and_nothing_heavy_is_loaded(
    site: Codabench, project: tuple[Layout, Config], columns: str
) -> None:
    site.others.append(("a team with a name that is much longer than any table should ever have to show", "0.99"))
    site.others += [("数据科学团队" * 9, "0.98"), ("\x1b[31mred\nand\tbroken", "0.97")]
    for number, (cv, score) in enumerate([(0.84, 0.86), (0.86, 0.87)], start=1):
        send(site, project, number, cv, score)
    script = (
        "import sys\nfrom kit.__main__ import main\nsys.argv = ['kit', 'lb']\nmain_ = main\n"
        "try:\n    main_()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('\\nLOADED ' + ' '.join(n for n in ('tensorflow', 'kaggle', 'scipy') if n in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project[0].root, env={**os.environ, "COLUMNS": columns, "NO_COLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1].strip() == "LOADED", done.stderr
    assert done.stdout.count("00000002") >= 1
    assert all(cell_len(line.rstrip()) <= int(columns) for line in done.stdout.splitlines()), done.stdout
    assert "\x1b" not in done.stdout + done.stderr and "[31mred and" in done.stdout


def test_snapshots_are_kept_once_a_change_and_for_each_target(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "boards")
    target = target_of(config)
    rows = [BoardRow(1, "ada", 0.9, False), BoardRow(2, "we", 0.8, True)]
    first = add_snapshot(layout, target, rows)
    assert add_snapshot(layout, target, rows) == first
    assert first.rank == 2 and [row.name for row in first.rows()] == ["ada", "we"]
    add_snapshot(layout, target, rows[:1])
    assert [snapshot.rank for snapshot in history(layout, target)] == [2, None]


def test_states_do_not_depend_on_the_order_of_the_clocks(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "clocks")
    paths = make_candidate(layout)
    for fact in (Score(score=0.5), Answer(remote="1"), Intent(tag="t", sha256="s", target=target_of(config))):
        add_event(paths, "i", fact)
    (attempt,) = attempts(load_submissions(layout))
    assert (attempt.state, attempt.remote, attempt.score) == ("scored", "1", 0.5)


def test_the_cache_of_the_ledger_never_says_anything_else_than_the_ledger(tmp_path: Path) -> None:
    layout, _ = make_project(tmp_path / "cache")
    for number in range(12):
        paths = make_candidate(layout, f"202611{number + 10}T000000Z-{number:08x}")
        for place in range(20):
            add_event(paths, str(place), Score(score=number / 100))
    for paths in (layout.submission(name.name) for name in layout.submissions.iterdir()):
        os.utime(paths.events, (1e9, 1e9))
    assert load_for_tables(layout) == load_submissions(layout)
    assert layout.ledger_cache.is_file()
    assert load_for_tables(layout) == load_submissions(layout)
    add_event(paths, "new", Score(score=0.5))
    assert load_for_tables(layout) == load_submissions(layout)
    layout.ledger_cache.write_text("{")
    assert load_for_tables(layout) == load_submissions(layout)


def test_a_score_by_another_metric_is_not_compared(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "metric")
    for number in range(2):
        make_candidate(layout, f"2026112{number}T000000Z-{number:08x}")
        add_score(layout, config, 0.9)
    other = config.model_copy(update={"competition": config.competition.model_copy(update={"metric": "nll"})})
    said: list[Event] = []
    assert standing(attempts(load_submissions(layout)), (), other.competition, said.append) == []
    assert [event.text for event in said] == [
        f"2026112{number}T000000Z-{number:08x} was scored by accuracy, not nll; its submission is skipped"
        for number in range(2)
    ]


def test_a_damaged_forecast_takes_no_score_away(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "forecast")
    paths = make_candidate(layout)
    add_score(layout, config, 0.9)
    paths.forecast.write_text("{")
    said: list[Event] = []
    (line,) = standing(attempts(load_submissions(layout)), (), config.competition, said.append)
    assert (line.cv, line.attempt.score) == (0.88, 0.9)
    assert [str(paths.forecast) in event.text and "kit forecast" in event.text for event in said] == [True]


def test_the_local_board_has_no_scores_by_another_metric_or_of_other_labels(tmp_path: Path) -> None:
    raw(tmp_path, ("cat", "dog", "hen"))
    (tmp_path / "kit.toml").write_text(
        CONFIG.format(name="local").replace("classes =", 'truth = "raw/train.npz"\nclasses =')
    )
    project = Project(tmp_path)
    project.folds()
    told = {"time": "2026-11-21T05:40:00+00:00", "state": "scored", "score": 0.9}
    truth = open_source(project.config.data, tmp_path, "truth").fingerprint
    for tag, *of in (
        ("mine", "accuracy", truth),
        ("older", "", ""),
        ("other", "nll", truth),
        ("moved", "accuracy", "1"),
    ):
        path = project.layout.local_platform / f"submissions/{tag}.json"
        write_json(path, {**told, "tag": tag, **dict(zip(("metric", "truth"), of, strict=True))})
    board = open_platform(project.layout, project.config, WAITS, silent).leaderboard()
    assert {row.name for row in board if row.mine} == {"mine", "older"}
    # While the data are not there it is not known, which is not the same as an empty one.
    kept = leaderboard(project.layout, project.config, silent, waits=WAITS).board
    project.layout.data_manifest.unlink()
    report = leaderboard(project.layout, project.config, silent, waits=WAITS)
    assert report.board == kept and report.seen.hint == "kit clean"
    assert len(list(project.layout.boards.glob("*.json"))) == 1


def test_a_board_that_cannot_be_kept_takes_nothing_from_the_rest(
    site: Codabench, project: tuple[Layout, Config]
) -> None:
    send(site, project, 1, 0.85, 0.91)
    shutil.rmtree(project[0].boards)
    project[0].boards.write_text("in the way")
    report = leaderboard(*project, silent, waits=WAITS)
    assert f"{project[0].boards} is not a folder" in report.seen.problem
    assert report.submissions[0].attempt.state == "scored" and report.seen.remaining.today is not None


def test_a_score_as_expected_lies_on_the_diagonal_and_a_lower_one_below_it(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "pictures")
    for number, (cv, score) in enumerate([(0.8, 0.8), (0.85, 0.9), (0.9, 0.7)]):
        make_candidate(layout, f"2026112{number}T000000Z-{number:08x}", cv=cv)
        add_score(layout, config, score)
    lines = standing(attempts(load_submissions(layout)), (), config.competition)
    drawn = against_score(lines, "accuracy").__html__()
    dots = [tuple(map(float, place)) for place in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    x, y = zip(
        *(map(float, end.split(",")) for end in re.search(r'points="([^"]+)" class="rule"', drawn)[1].split()),
        strict=True,
    )
    above = [(y[0] - down) - (right - x[0]) for right, down in dots]
    assert abs(above[0]) < 0.1 and above[1] > 1 and above[2] < -1
    assert "0.7000" in drawn  # the newest
