"""A competition with several phases: what was sent to one of them is not sent to another, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers.codabench import Codabench
from servers.project import NAME, at_codabench, make_candidate, make_project, run, sent

from kit.base.events import Event, silent
from kit.config import Config
from kit.errors import PlatformError
from kit.platforms import Waits
from kit.stages.lb import leaderboard
from kit.store.layout import Layout
from kit.store.ledger import Phase, add_event, history, target_of
from kit.store.ledger.facts import Answer, Intent, Request, Score
from kit.store.ledger.standing import agreement, standing

pytestmark = pytest.mark.stage

DRIVER = Path(__file__).parents[1] / "servers" / "driver.py"


@pytest.fixture
def site(site: Codabench) -> Codabench:
    site.later = True
    return site


@pytest.fixture
def project(site: Codabench, tmp_path: Path) -> tuple[Layout, Config]:
    return at_codabench(site, tmp_path)


def test_a_phase_that_has_not_seen_the_file_gets_it_once_and_is_asked_for(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    site.switch()
    asked: list[str] = []
    run(project, waits, confirm=lambda text: bool(asked.append(text)))
    assert asked == ["Submit?"] and site.created() == 1
    said = run(project, waits)
    assert "scored 0.8712345678 in phase `Development`" in said and "phase `Final`" in said
    run(project, waits)
    assert [row["phase"] for row in site.submissions] == [2, 3]
    assert [attempt.phase for attempt in sent(project)] == ["2", "3"]


def test_an_answer_that_was_lost_in_an_earlier_phase_neither_stops_nor_repeats_anything(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.faults["create"] = ("reset-before", 1)
    with pytest.raises(PlatformError, match="may still arrive"):
        run(project, waits)
    site.switch()
    run(project, waits)
    assert [row["phase"] for row in site.submissions] == [3]
    later = Waits(**{**vars(waits), "clock": lambda: waits.clock() + waits.settle + 1})
    leaderboard(*project, silent, waits=later)
    assert [attempt.state for attempt in sent(project)] == ["lost", "scored"]


def test_an_upload_that_was_interrupted_before_the_phase_changed_is_not_sent_under_its_intent(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.storage.faults["put"] = ("403", -1)
    with pytest.raises(PlatformError, match="did not accept"):
        run(project, waits)
    site.storage.faults.clear()
    site.switch()
    run(project, waits)
    assert [(attempt.phase, attempt.state) for attempt in sent(project)] == [("2", "intended"), ("3", "scored")]


def test_a_phase_by_its_name_and_by_its_number_is_the_same_one(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    layout, _ = project
    for phase in ("development", "2"):
        config = make_project(layout.root, platform="codabench", url=site.url, id="7", phase=phase)[1]
        assert "submission 1" in run((layout, config), waits)
    assert site.created() == 1


def without_numbers(project: tuple[Layout, Config]) -> None:
    """The ledger as kits wrote it that did not know the number of the phase."""
    for path in project[0].submission(NAME).events.glob("*.json"):
        content = json.loads(path.read_text())
        content.pop("phase", None)
        path.write_text(json.dumps(content))


def test_of_an_older_ledger_the_phase_is_asked_for_once(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    without_numbers(project)
    assert [attempt.phase for attempt in sent(project)] == [""]
    site.switch()
    for _ in range(2):
        leaderboard(*project, silent, waits=waits)
    assert [attempt.phase for attempt in sent(project)] == ["2"]
    assert sum(isinstance(fact, Answer) for fact in sent(project)[0].facts) == 2
    without_numbers(project)
    run(project, waits)
    assert [row["phase"] for row in site.submissions] == [2, 3]


def test_the_table_names_the_phase_its_end_and_what_is_left_and_marks_scores_of_earlier_ones(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    site.switch()
    site.phases[-1]["end"] = "2031-05-06T12:00:00Z"
    said: list[Event] = []
    report = leaderboard(*project, said.append, waits=waits)
    text = "\n".join(event.text for event in said)
    assert "phase `Final` ends 06 May 2031" in text and "submissions left" in text
    assert "nothing has been sent to phase `Final` yet" in text and "we are not on the board" in text
    (table,) = [event.data for event in said if event.text == "submissions"]
    assert table["rows"][0][table["header"].index("phase")] == "Development"
    assert report.here == [] and len(report.finals) == 1
    found = report.to_json()
    assert (found["phase"], found["submissions"][0]["phase"]) == ("Final", "Development")
    assert found["phase_ends"].startswith("2031-05-06T12:00")
    site.walk = ["Running"]
    run(project, waits, wait=False)
    report = leaderboard(*project, silent, waits=waits)
    assert [line.attempt.state for line in report.here] == ["answered"] and len(report.finals) == 1


def test_boards_and_gaps_of_two_phases_do_not_mix(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    site.switch()
    site.score = "0.5"
    run(project, waits)
    layout, target = project[0], target_of(project[1])
    first, second = (history(layout, target, silent, Phase(number)) for number in ("2", "3"))
    assert [snapshot.rank for snapshot in first] == [3] and second[-1].rank == 4
    assert history(layout, target) == second
    report = leaderboard(*project, silent, waits=waits)
    assert report.submissions[1].forecast.seen == 0 and report.agreement is None
    assert report.standing is not None and report.standing.moved is None
    site.faults["competition"] = ("reset-before", -1)
    offline = leaderboard(*project, silent, waits=waits)
    assert offline.seen.problem and offline.standing is not None
    assert offline.seen.asked == report.seen.asked and report.seen.asked is not None
    assert offline.standing.snapshot == report.standing.snapshot and offline.here == [offline.submissions[1]]


def test_between_two_phases_the_last_one_is_shown_and_nothing_is_sent(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.phases[1]["status"] = "Previous"
    with pytest.raises(PlatformError, match="`Development` is not open"):
        run(project, waits)
    report = leaderboard(*project, silent, waits=waits)
    assert report.seen.problem == "" and report.seen.phase.name == "Development"


@pytest.mark.parametrize("said", [("2",), ("", "development "), ("",), ()])
def test_a_phase_holds_what_names_it_or_says_nothing(said: tuple[str, ...]) -> None:
    assert Phase("2", "Development").holds(*said) and Phase().holds(*said)
    assert not Phase("2", "Development").holds("3", "")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("2", "2", True), ("2", "", True), ("Final", " final", True), ("2", "3", False), ("", "", True)],
)
def test_gaps_and_agreement_count_what_may_be_of_one_phase(
    project: tuple[Layout, Config], first: str, second: str, same: bool
) -> None:
    layout, config = project
    target = target_of(config)
    for number, phase in enumerate((first, second)):
        paths = make_candidate(layout, f"2026112{number}T000000Z-{number:08x}", cv=0.8 + number / 10)
        named = target if phase.isdigit() else replace(target, phase=phase)
        add_event(paths, phase or "0", Intent(tag="", sha256="", target=named))
        add_event(paths, phase or "0", Answer(remote=f"{number}", phase=phase if phase.isdigit() else ""))
        add_event(paths, phase or "0", Score(score=0.85 + number / 10))
    lines = standing(sent(project), (), config.competition)
    assert lines[1].forecast.seen == same and (agreement(lines) is not None) == same


def drive(site: Codabench, *arguments: object) -> Any:
    environment = {**os.environ, "CODABENCH_TOKEN": site.token}
    done = subprocess.run(
        [sys.executable, str(DRIVER), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.matrix
def test_killed_at_any_moment_the_phase_that_follows_gets_the_file_exactly_once(
    site: Codabench, project: tuple[Layout, Config]
) -> None:
    """Whatever happened in the phase before, known or not: it is another submission. Every fifth moment is tried."""
    root = project[0].root
    moments = drive(site, "sweep", root, 0, 0)[0]["first"]["moments"]
    for found in drive(site, "switched", root, 1, moments, 5):
        assert found["second"] == "done", found
        final = sent((Layout(Path(f"{root}-{found['at']}")), project[1]))
        number = max(int(attempt.phase) for attempt in final)
        assert [attempt.state for attempt in final if attempt.phase == str(number)] == ["scored"], found


@pytest.mark.matrix
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_moment_a_switched_project_sends_to_the_new_phase_exactly_once(
    site: Codabench, project: tuple[Layout, Config], step: int
) -> None:
    layout, config = project
    paths = layout.submission(NAME)
    digest = json.loads(paths.proof.read_text())["sha256"]
    begun = Intent(tag=f"kit-20260101T000000Z-{digest[:8]}", sha256=digest, target=target_of(config), phase="1")
    for fact in (begun, Request(), Answer(remote="1"), Score(remote="1", score=0.9)):
        add_event(paths, "0123456789abcdef", fact)
    moments = drive(site, "sweep", layout.root, 0, 0)[0]["first"]["moments"]
    assert moments > 30
    for found in drive(site, "sweep", layout.root, 1, moments, step):
        # Dead between the note and the request it waits, as anywhere, until what was noted cannot arrive.
        states = [state for state in found["states"] if state != "lost"]
        assert found["created"] == 1 and states == ["scored", "scored"], found
