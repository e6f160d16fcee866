"""Codabench from the check to the score, on both generations of the site."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers.codabench import Codabench
from servers.project import make_candidate, make_project, states

from kit.base.events import Event, silent
from kit.config import Config
from kit.errors import ConfigError, PlatformError, StageError
from kit.platforms import Refused, Waits, open_platform
from kit.platforms.credentials import store_token
from kit.stages.submit import Choice, submit, tell_remaining
from kit.store.layout import Layout
from kit.store.ledger import attempts, load_submissions
from kit.store.ledger.facts import Score

pytestmark = pytest.mark.matrix


@pytest.fixture(params=[False, True], ids=["march-2026", "later-2026"])
def site(request: pytest.FixtureRequest) -> Iterator[Codabench]:
    with Codabench(later=request.param) as server:
        yield server


@pytest.fixture
def project(site: Codabench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Layout, Config]:
    monkeypatch.setenv("CODABENCH_TOKEN", site.token)
    layout, config = make_project(tmp_path / "project", platform="codabench", url=site.url, id="7", name="cells")
    make_candidate(layout)
    return layout, config


def run(project: tuple[Layout, Config], waits: Waits, **options: object) -> list[Event]:
    layout, config = project
    said: list[Event] = []
    paths = layout.submission("20261121T054000Z-3f9c2ab1")
    submit(layout, config, paths, said.append, Choice(**options), waits)  # type: ignore[arg-type]
    return said


def test_a_submission_ends_with_its_score_in_the_ledger(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, pauses: list[float]
) -> None:
    said = run(project, waits)
    assert site.created() == 1
    assert states(project) == ["scored"]
    assert next(event.data["value"] for event in said if event.kind == "number") == pytest.approx(0.8712345678)
    text = "\n".join(event.text for event in said)
    assert "rank 3 of 4" in text
    assert "4 of 5 today" in text
    assert pauses == sorted(pauses)


def test_the_uploaded_bytes_are_the_bundle_and_the_storage_host_never_sees_the_token(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    (upload,) = site.storage.objects.values()
    assert upload == project[0].submission("20261121T054000Z-3f9c2ab1").bundle.read_bytes()
    put = site.storage.requests[0]
    assert put.headers["content-length"] == str(len(upload))
    for request in site.storage.requests:
        assert "authorization" not in request.headers
        assert site.token not in str(request)


def test_the_file_name_carries_the_content_hash_and_survives_the_cut(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    (attempt,) = attempts(load_submissions(project[0]))
    assert site.submissions[0]["filename"] == f"{attempt.begun.tag}.zip"
    assert attempt.begun.tag.endswith(attempt.begun.sha256[:8])


def test_the_same_candidate_again_spends_nothing_and_names_the_earlier_one(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    said = run(project, waits)
    assert [event.kind for event in said if event.kind == "fresh"] == ["fresh"]
    assert re.search(r"submission 1 of 20261121T054000Z-3f9c2ab1.*scored.*--again", said[-1].text)
    assert site.created() == 1
    run(project, waits, again=True)
    assert site.created() == 2


def test_the_same_content_under_another_candidate_is_refused(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    other = make_candidate(project[0], "20261122T000000Z-aaaaaaaa")
    with pytest.raises(StageError, match="submitted already"):
        submit(*project, other, silent, waits=waits)
    assert site.created() == 1


def test_a_file_that_another_clone_sent_is_refused_though_the_ledger_is_empty(
    site: Codabench, project: tuple[Layout, Config], tmp_path: Path, waits: Waits
) -> None:
    run(project, waits)
    layout, config = make_project(tmp_path / "clone", platform="codabench", url=site.url, id="7")
    with pytest.raises(StageError, match="the platform already has this file: submission 1"):
        submit(layout, config, make_candidate(layout), silent, waits=waits)
    assert site.created() == 1


def test_another_phase_is_another_submission(
    site: Codabench, project: tuple[Layout, Config], tmp_path: Path, waits: Waits
) -> None:
    run(project, waits)
    site.phases[0]["status"] = "Current"
    layout, config = make_project(tmp_path / "project", platform="codabench", url=site.url, id="7", phase="warm-up")
    submit(layout, config, layout.submission("20261121T054000Z-3f9c2ab1"), silent, waits=waits)
    assert [row["phase"] for row in site.submissions] == [2, 1]


def test_a_dry_run_and_a_no_send_nothing(site: Codabench, project: tuple[Layout, Config], waits: Waits) -> None:
    said = run(project, waits, dry_run=True)
    assert "would send bundle.zip" in said[-1].text
    asked: list[str] = []
    run(project, waits, confirm=lambda text: bool(asked.append(text)))
    assert asked == ["Submit?"]
    assert site.created() == 0 and site.datasets == {}


def test_an_answer_that_comes_too_late_is_found_and_nothing_is_sent_again(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.faults["create"] = ("late", 1)
    with pytest.raises(PlatformError, match="may still arrive"):
        run(project, replace(waits, read=0.3))  # the site answers after .6 seconds
    while site.created() == 0:
        pass
    run(project, waits)
    assert site.created() == 1
    assert states(project) == ["scored"]


def test_what_never_arrived_is_sent_again_once_it_can_no_longer_arrive(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, pauses: list[float]
) -> None:
    site.faults["create"] = ("reset-before", 1)
    with pytest.raises(PlatformError, match="may still arrive"):
        run(project, waits)
    with pytest.raises(PlatformError, match="may still arrive"):
        run(project, waits, wait=False)
    assert states(project) == ["requested"]
    run(project, waits)
    assert waits.settle <= sum(pauses) < waits.settle + 60
    assert site.created() == 1
    assert states(project) == ["lost", "scored"]


def test_retry_after_is_obeyed(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, pauses: list[float]
) -> None:
    site.faults["status"] = ("429", 2)
    run(project, waits)
    assert pauses.count(7.0) == 2


def test_a_pause_that_nobody_would_wait_for_is_an_end_with_its_time(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, pauses: list[float]
) -> None:
    site.faults["competition"] = ("429", -1)
    with pytest.raises(PlatformError, match=r"accepts no more requests until \d\d:\d\d"):
        run(project, Waits(**{**vars(waits), "obey": 5}))
    assert pauses == [] and site.created() == 0


def test_a_score_that_never_comes_is_an_end_that_names_the_state(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, pauses: list[float]
) -> None:
    site.walk = ["Submitting", "Running"]
    with pytest.raises(PlatformError, match="no score after 1 hours: Running"):
        run(project, Waits(**{**vars(waits), "end": 3600, "clock": lambda: sum(pauses, 1.8e9)}))
    assert states(project) == ["answered"]
    site.walk = ["Finished"]
    run(project, waits)
    assert states(project) == ["scored"] and site.created() == 1


def test_an_interrupted_wait_is_picked_up(site: Codabench, project: tuple[Layout, Config], waits: Waits) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(project, Waits(**{**vars(waits), "sleep": interrupt}))
    assert states(project) == ["answered"]
    said = run(project, waits)
    assert any("no further submission is spent" in event.text for event in said if event.kind == "warn")
    assert site.created() == 1
    assert states(project) == ["scored"]


def test_a_failure_shows_the_end_of_its_log(site: Codabench, project: tuple[Layout, Config], waits: Waits) -> None:
    site.outcome, site.details = "Failed", "Child task failed or non-zero return code"
    site.log = "\n".join([*(f"line {i}" for i in range(50)), "TypeError: predict() got an unexpected argument"])
    with pytest.raises(StageError) as caught:
        run(project, waits)
    assert "Child task failed" in caught.value.message
    assert "TypeError: predict()" in caught.value.message
    assert "line 10\n" not in caught.value.message
    assert states(project) == ["failed"]


def test_of_several_tasks_the_log_is_that_of_the_one_that_failed(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.tasks, site.log = [1, 2], "MemoryError: no"
    site.child_outcomes = {2: "Finished", 3: "Cancelled"}
    with pytest.raises(StageError, match="MemoryError"):
        run(project, waits)
    asked = [request.path for request in site.requests if request.phase == "details"]
    assert asked == ["/api/submissions/3/get_details/"]


def test_several_tasks_are_read_from_the_children(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.tasks = [1, 2]
    run(project, waits)
    (attempt,) = attempts(load_submissions(project[0]))
    assert attempt.score == pytest.approx(float(site.score))
    assert set(attempt.last(Score).scores) == {"1.accuracy", "2.accuracy"}
    assert site.created() == 1


def test_a_board_that_is_filled_by_hand_is_filled_when_asked(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.rule = "Add"
    said = run(project, waits)
    assert any("--to-leaderboard" in event.text for event in said)
    assert not site.submissions[0]["board"]
    run(project, waits, dry_run=True, publish=True)
    assert not site.submissions[0]["board"]
    run(project, waits, publish=True)
    assert site.submissions[0]["board"]
    assert site.created() == 1
    said = run(project, waits, publish=True)
    assert "already on the leaderboard" in said[-1].text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda site: site.phases[1].update(status="Next"), "`Warm-up` is not open"),
        (lambda site: site.detail.update(participant_status="pending"), "pending"),
        (lambda site: setattr(site, "used", 5), "for today"),
        (lambda site: site.quota.update(storage_used=15e9), "left"),
        (lambda site: site.detail.update(fact_sheet={"team": {"is_required": "true"}}), "asks for team"),
    ],
)
def test_what_would_be_refused_is_refused_before_anything_is_uploaded(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, change: object, message: str
) -> None:
    change(site)  # type: ignore[operator]
    with pytest.raises((Refused, ConfigError), match=message):
        run(project, waits)
    assert site.datasets == {} and site.created() == 0


@pytest.mark.parametrize(
    ("change", "message", "state"),
    [
        (lambda site: setattr(site, "taken_meanwhile", 15e9), "Insufficient space", "intended"),
        (lambda site: setattr(site, "denied_meanwhile", True), "do not have access", "refused"),
    ],
)
def test_what_changes_after_the_check_is_a_refusal_that_spends_nothing(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, change: object, message: str, state: str
) -> None:
    change(site)  # type: ignore[operator]
    with pytest.raises(PlatformError, match=message):
        run(project, waits)
    assert site.created() == 0 and states(project) == [state]
    site.taken_meanwhile, site.denied_meanwhile = 0.0, False
    run(project, waits)
    assert site.created() == 1 and states(project)[-1] == "scored"


def test_a_wrong_number_is_told_with_those_that_we_take_part_in(
    site: Codabench, project: tuple[Layout, Config], tmp_path: Path, waits: Waits
) -> None:
    layout, config = make_project(tmp_path / "project", platform="codabench", url=site.url, id="8")
    with pytest.raises(PlatformError, match="does not show a competition 8") as caught:
        open_platform(layout, config, waits).remaining()
    assert caught.value.hint == "[competition] id: one of 7 (Cells)"


def test_a_closed_phase_is_refused_with_its_dates(
    site: Codabench, project: tuple[Layout, Config], tmp_path: Path, waits: Waits
) -> None:
    layout, config = make_project(tmp_path / "project", platform="codabench", url=site.url, id="7", phase="Warm-up")
    with pytest.raises(Refused, match=r"`Warm-up` is not open: it runs from .* 2020"):
        open_platform(layout, config, waits).check(layout.submission("20261121T054000Z-3f9c2ab1").bundle)


def test_a_login_leaves_a_token_that_only_its_owner_can_read_and_no_password(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODABENCH_TOKEN")
    with pytest.raises(PlatformError, match="no credentials"):
        run(project, waits)
    monkeypatch.setenv("CODABENCH_USERNAME", site.username)
    monkeypatch.setenv("CODABENCH_PASSWORD", "wrong horse")
    with pytest.raises(PlatformError, match="Unable to log in"):
        run(project, waits)
    monkeypatch.setenv("CODABENCH_PASSWORD", site.password)
    run(project, waits)
    (token,) = [path for path in home.rglob("*") if path.is_file()]
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text().split() == [site.token, site.username]
    monkeypatch.delenv("CODABENCH_PASSWORD")
    run(project, waits)
    assert site.created() == 1


def test_a_stored_token_of_another_account_is_not_used(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODABENCH_TOKEN")
    monkeypatch.setenv("CODABENCH_USERNAME", site.username)
    monkeypatch.setenv("CODABENCH_PASSWORD", site.password)
    run(project, waits, dry_run=True)
    site.username, site.token = "teacher", "another0123456789"
    monkeypatch.setenv("CODABENCH_USERNAME", "teacher")
    run(project, waits, dry_run=True)
    assert site.count("login") == 2
    monkeypatch.delenv("CODABENCH_USERNAME")
    run(project, waits, dry_run=True)
    assert site.count("login") == 2


def test_a_token_that_the_site_does_not_know_is_told_with_where_it_is_from(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, site.token = site.token, "another0123456789"
    with pytest.raises(PlatformError, match="Invalid token") as caught:
        run(project, waits)
    assert "CODABENCH_TOKEN" in caught.value.hint and known not in caught.value.hint
    monkeypatch.delenv("CODABENCH_TOKEN")
    store_token(site.url, known, "student")
    with pytest.raises(PlatformError, match="Invalid token") as caught:
        run(project, waits)
    assert caught.value.hint.startswith("rm /")


def test_a_token_file_that_others_can_read_is_warned_about(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODABENCH_TOKEN")
    monkeypatch.setenv("CODABENCH_USERNAME", site.username)
    monkeypatch.setenv("CODABENCH_PASSWORD", site.password)
    run(project, waits, dry_run=True)
    (token,) = [path for path in home.rglob("*") if path.is_file()]
    token.chmod(0o644)
    said = run(project, waits, dry_run=True)
    assert any("chmod 600" in event.text for event in said if event.kind == "warn")


def test_a_token_is_not_sent_in_clear_text_over_the_network(tmp_path: Path) -> None:
    layout, config = make_project(tmp_path / "plain", platform="codabench", url="http://codabench.example.org", id="7")
    with pytest.raises(ConfigError, match="unencrypted"):
        open_platform(layout, config)


@pytest.mark.parametrize(("zone", "here"), [("Asia/Tokyo", "09:00"), ("America/Lima", "19:00"), ("UTC", "00:00")])
def test_the_end_of_the_day_is_told_in_the_time_of_the_place(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, monkeypatch: pytest.MonkeyPatch, zone: str, here: str
) -> None:
    with monkeypatch.context() as moved:
        moved.setenv("TZ", zone)
        time.tzset()
        text = tell_remaining(open_platform(*project, waits).remaining())
        site.used = site.limit
        with pytest.raises(Refused, match="for today") as caught:
            run(project, waits)
    time.tzset()
    assert text.startswith("submissions left: 5 (5 of 5 today, 100 of 100 in total); the count resets at midnight UTC")
    assert text.endswith(f" ({here} local time)")
    assert f"midnight UTC ({here} on" in caught.value.hint


def test_a_large_upload_tells_its_progress_ten_times(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    layout, config = project
    large = make_candidate(layout, "20261122T000000Z-bbbbbbbb", salt=bytes(6_000_000))
    said: list[Event] = []
    submit(layout, config, large, said.append, Choice(wait=False), waits)
    told = [event.data["done"] for event in said if event.kind == "progress" and "MB uploaded" in event.text]
    assert len(told) == 10
    assert told == sorted(told)
    assert told[-1] == large.bundle.stat().st_size
