"""What a Codabench site asks for, hides or takes back: questions, tables, deletion, expired tokens, rules."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.codabench import Codabench
from servers.project import NAME, at_codabench, make_project, run, states

from kit.base.events import Event, silent
from kit.errors import ConfigError, PlatformError, StageError
from kit.platforms import Refused, Waits, open_platform
from kit.platforms.codabench_answers import Detail
from kit.platforms.codabench_needs import LARGE, check_fact_sheet, check_participation, size_notes
from kit.platforms.credentials import store_token
from kit.platforms.uploads import automation_notes
from kit.stages.lb import act, leaderboard
from kit.store.ledger import add_event, attempts, load_submissions, target_of
from kit.store.ledger.facts import Answer, Intent, Request


def question(required: bool, *selection: object) -> dict[str, object]:
    return {"title": "A question", "is_required": str(required).lower(), "selection": list(selection) or ""}


SHEET = {
    "team": question(True),
    "note": question(False),
    "pretrained": question(True, True, False),
    "code": question(False, True, False),
    "kind": question(True, "CNN", "ViT"),
}
GOOD = {"team": "B", "pretrained": True, "kind": "CNN"}


def test_answers_are_sent_whole_and_true_is_no_text(site: Codabench, tmp_path: Path, waits: Waits) -> None:
    site.detail["fact_sheet"] = SHEET
    run(at_codabench(site, tmp_path, fact_sheet=GOOD), waits)
    assert site.submissions[0]["fact_sheet_answers"] == {**GOOD, "note": "", "code": False}


sheets = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(question, st.booleans()) | st.builds(question, st.booleans(), st.just("x"), st.sampled_from(["y", ""])),
)
replies = st.dictionaries(st.sampled_from("abcde"), st.booleans() | st.sampled_from(["", "x", "y", "z"]))


@given(sheets, replies)
def test_whatever_passes_the_check_is_taken_by_the_site(sheet: dict[str, Any], answers: dict[str, Any]) -> None:
    server = Codabench()
    server.detail["fact_sheet"] = sheet
    detail = Detail.model_validate({"id": 1, "phases": [], "fact_sheet": sheet})
    try:
        whole = check_fact_sheet(detail, answers)
    except ConfigError:
        return
    assert server._fact_sheet_problem(whole) == ""
    assert not whole or set(whole) == set(sheet)


@pytest.mark.parametrize("change", [{"kind": "RNN"}, {"pretrained": "true"}, {"team": ""}, {"pretrained": False}])
def test_an_answer_that_the_site_refuses_is_refused_before_the_upload(
    site: Codabench, tmp_path: Path, waits: Waits, change: dict[str, object]
) -> None:
    site.detail["fact_sheet"] = SHEET
    with pytest.raises(ConfigError, match=next(iter(change))):
        run(at_codabench(site, tmp_path, fact_sheet=GOOD | change), waits)
    assert site.datasets == {}


@pytest.mark.parametrize(("said", "hint"), [("pending", "wait"), ("denied", "ask"), (None, "register at")])
def test_the_advice_fits_the_state_of_the_registration(said: str | None, hint: str) -> None:
    with pytest.raises(Refused) as caught:
        check_participation(Detail(id=3, phases=(), participant_status=said), "http://site")
    assert caught.value.hint.startswith(hint)


def test_a_phase_that_scores_results_gets_the_table_in_a_zip_and_needs_no_bundle(
    site: Codabench, tmp_path: Path, waits: Waits
) -> None:
    site.results_only = True
    made = at_codabench(site, tmp_path)
    paths = made[0].submission(NAME)
    paths.bundle.unlink()
    with pytest.raises(StageError, match="no table") as caught:
        run(made, waits)
    assert caught.value.hint == "kit table" and site.datasets == {}
    paths.table.write_text("id,label\na,0\na,1\n")
    with pytest.raises(PlatformError, match="'a' twice"):
        run(made, waits)
    paths.table.write_text("id,label\na,0\nb,1\n")
    run(made, waits)
    (upload,) = site.storage.objects.values()
    with zipfile.ZipFile(io.BytesIO(upload)) as archive:
        assert archive.read("submission.csv") == paths.table.read_bytes() and len(archive.namelist()) == 1
    run(made, waits)
    assert site.created() == 1


@pytest.mark.parametrize("results_only", [False, True])
@pytest.mark.parametrize("shown", [False, True, None])
def test_a_phase_whose_programs_are_hidden_gets_the_bundle_and_a_warning(
    site: Codabench, tmp_path: Path, waits: Waits, results_only: bool, shown: bool | None
) -> None:
    site.masked, site.results_only, site.detail["make_programs_available"] = True, results_only, shown
    made = at_codabench(site, tmp_path)
    platform, bundle = open_platform(*made, waits), made[0].submission(NAME).bundle
    assert platform.takes_table() == bool(results_only and shown)
    if not platform.takes_table():
        notes = platform.check(bundle)
        assert any("runs a model or scores predictions" in note for note in notes) == (not shown)


def test_a_deleted_submission_ends_the_wait_and_the_same_file_may_be_sent_again(
    site: Codabench, tmp_path: Path, waits: Waits
) -> None:
    made = at_codabench(site, tmp_path)
    site.deleted = {1}
    with pytest.raises(StageError, match="deleted"):
        run(made, waits)
    assert states(made) == ["deleted"]
    run(made, waits)
    assert states(made) == ["deleted", "scored"] and site.created() == 2


def test_a_submission_that_is_only_not_shown_yet_or_is_of_a_team_mate_is_not_deleted(
    site: Codabench, tmp_path: Path, waits: Waits
) -> None:
    made = at_codabench(site, tmp_path)
    run(made, waits, wait=False)
    site.deleted = {1}
    leaderboard(*made, silent, waits=waits)
    assert states(made) == ["answered"]
    site.username = "another"  # the account of this token, to which the site shows nothing of the first one
    old = replace(waits, clock=lambda: waits.clock() + waits.settle + 1)
    leaderboard(*made, silent, waits=old)
    assert states(made) == ["answered"]
    site.username = "student"
    leaderboard(*made, silent, waits=old)
    assert states(made) == ["deleted"]
    site.deleted.clear()  # what the platform lists is not sent again, whatever the ledger says
    with pytest.raises(StageError, match="is deleted in this ledger"):
        run(made, waits)
    assert site.created() == 1


@pytest.mark.parametrize(("account", "state"), [("", "answered"), ("student", "deleted")])
def test_a_submission_of_which_nobody_knows_the_sender_is_not_deleted(
    site: Codabench, tmp_path: Path, waits: Waits, account: str, state: str
) -> None:
    made = at_codabench(site, tmp_path)
    sent = Intent(tag="kit-20261121T054000Z-00000000", sha256="0" * 64, target=target_of(made[1]), account=account)
    for fact in (sent, Request(), Answer(remote="99", phase="2")):
        add_event(made[0].submission(NAME), "i", fact)
    leaderboard(*made, silent, waits=replace(waits, clock=lambda: waits.clock() + waits.settle + 1))
    assert states(made) == [state]


def test_after_a_page_about_a_server_error_the_limit_is_told(site: Codabench, tmp_path: Path, waits: Waits) -> None:
    made = at_codabench(site, tmp_path)
    site.used_meanwhile = True
    with pytest.raises(PlatformError, match="may still arrive") as caught:
        run(made, waits)
    assert "500" in caught.value.message and "Reached maximum allowed submissions for today" in caught.value.message


def test_the_line_of_a_task_on_the_board_is_ours_and_gives_the_rank(
    site: Codabench, tmp_path: Path, waits: Waits
) -> None:
    site.tasks, site.child_lines = [1, 2], True
    made = at_codabench(site, tmp_path)
    run(made, waits)
    site.username = "renamed"
    assert [line.rank for line in leaderboard(*made, silent, waits=waits).submissions] == [3]


@pytest.mark.parametrize("stored", [True, False])
def test_a_token_that_is_no_longer_known_is_renewed_where_name_and_password_are_set(
    site: Codabench, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    made = at_codabench(site, tmp_path)
    site.token = "another0123456789"
    if stored:
        monkeypatch.delenv("CODABENCH_TOKEN")
        store_token(site.url, "expired0123456789", "student")
    monkeypatch.setenv("CODABENCH_USERNAME", site.username)
    monkeypatch.setenv("CODABENCH_PASSWORD", "wrong")
    with pytest.raises(PlatformError, match="Invalid token"):
        run(made, waits)
    monkeypatch.setenv("CODABENCH_PASSWORD", site.password)
    assert "logged in as student" in run(made, waits)
    assert site.created() == 1 and states(made) == ["scored"]


def test_what_mends_a_missing_answer_is_told_in_the_table_too(
    site: Codabench, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = at_codabench(site, tmp_path)
    monkeypatch.delenv("CODABENCH_TOKEN")
    said: list[Event] = []
    report = leaderboard(*made, said.append, waits=waits)
    assert "export CODABENCH_USERNAME" in said[0].text and report.to_json()["hint"].startswith("export")


def test_a_large_file_is_told_before_its_upload(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    with file.open("wb") as made:
        made.truncate(int(LARGE))
        assert size_notes(file) == []
        made.truncate(int(LARGE) + 1)
    assert "max_mb = 50" in size_notes(file)[0]


@pytest.mark.parametrize(
    ("page", "warned"),
    [
        ("<p>Be nice.</p><p>Entries that are generated by script, macro or other automated means are void.</p>", True),
        ("You may not use bots&nbsp;to make submissions.", True),
        ("Automated submissions are prohibited", True),
        ("Submissions are scored automatically. You may not share code.", False),
        ("You may submit with the API. No more than five entries a day.", False),
        ("", False),
    ],
)
def test_pages_that_forbid_automatic_entries_are_quoted(page: str, warned: bool) -> None:
    assert bool(automation_notes(["Welcome!", page])) == warned


def test_a_submission_is_cancelled_where_it_waits_and_still_counts(
    site: Codabench, tmp_path: Path, waits: Waits
) -> None:
    made = at_codabench(site, tmp_path)
    with pytest.raises(StageError, match="no submission is waiting"):
        act(*made, silent, rerun=False)
    site.walk = ["Running"]
    run(made, waits, wait=False)
    for path in made[0].submission(NAME).events.glob("*.json"):
        path.write_text(re.sub(r'("time": ")2\d{3}', r"\g<1>2020", path.read_text()))
    said: list[Event] = []
    leaderboard(*made, said.append, waits=waits)
    assert any("kit lb --cancel --of 1" in event.text and "counts against" in event.text for event in said)
    act(*made, said.append, "1", rerun=False)
    assert "still counts" in said[-1].text
    assert states(made) == ["failed"] and site.used == 1


def test_a_run_again_is_a_submission_of_its_own_where_the_site_offers_it(
    site: Codabench, tmp_path: Path, waits: Waits
) -> None:
    made = at_codabench(site, tmp_path)
    run(made, waits)
    with pytest.raises(PlatformError, match="do not have permission"):
        act(*made, silent, rerun=True)
    assert states(made) == ["scored"]
    site.robot, site.score = True, "0.9"
    act(*made, silent, NAME[-8:], rerun=True)
    assert states(made) == ["scored", "answered"]
    for _ in range(2):  # the score is posted a moment after the state
        leaderboard(*made, silent, waits=waits)
    assert [attempt.score for attempt in attempts(load_submissions(made[0]))] == [0.8712345678, 0.9]


def test_a_platform_that_cannot_cancel_says_so(tmp_path: Path) -> None:
    made = make_project(tmp_path / "project")
    with pytest.raises(PlatformError, match="cannot cancel"):
        open_platform(*made).cancel("1")
    with pytest.raises(PlatformError, match="cannot run"):
        open_platform(*made).rerun("1")
