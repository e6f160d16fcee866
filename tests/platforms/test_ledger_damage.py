"""Damaged files of the ledger: what sends stops with a hint that mends, tables leave them out, caches cost time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invented import invent, submit_more
from recorded import write_proof
from servers.codabench import Codabench
from servers.project import make_candidate, make_project

from kit.base.events import Event, silent
from kit.config import Config
from kit.errors import PlatformError, StageError
from kit.platforms import Waits, open_platform
from kit.stages.bundle.card import card
from kit.stages.lb import add_score, leaderboard
from kit.stages.submit import submit
from kit.store.candidate import Ensemble, Proof
from kit.store.layout import Layout
from kit.store.ledger import BoardRow, add_event, add_snapshot, attempts, load_for_tables, load_submissions, target_of
from kit.store.ledger.facts import Failure, Intent, Score

pytestmark = pytest.mark.stage

SOUND = {
    "kind": "score",
    "intent": "i",
    "score": 0.5,
    "time": "2026-09-01T00:00:00.000000+00:00",
    "who": "ada",
}
DAMAGES = {
    "a list": b"[]",
    "empty object": b"{}",
    "empty": b"",
    "not UTF-8": b"\xff\xfe",
    "cut off": json.dumps(SOUND).encode()[:40],
    "deep": b"[" * 100_000,
    "without kind": json.dumps({**SOUND, "kind": None}).encode(),
    "of an unknown kind": json.dumps({**SOUND, "kind": "withdrawn"}).encode(),
    "without intent": json.dumps({key: SOUND[key] for key in SOUND if key != "intent"}).encode(),
    "without time": json.dumps({key: SOUND[key] for key in SOUND if key != "time"}).encode(),
    "time is a number": json.dumps({**SOUND, "time": 5}).encode(),
    "time without a zone": json.dumps({**SOUND, "time": "2026-09-01T00:00:00"}).encode(),
    "score is text": json.dumps({**SOUND, "score": "0.5"}).encode(),
    "score is NaN": json.dumps({**SOUND, "score": float("nan")}).encode(),
    "score is infinite": b'{"kind": "score", "intent": "i", "time": "2026-09-01T00:00:00+00:00", "score": 1e999}',
    "a folder": None,
}
damages = pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)


def put(path: Path, content: bytes | None) -> Path:
    if path.exists():
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    return path


@pytest.fixture
def project(tmp_path: Path) -> tuple[Layout, Config]:
    """A candidate with a score by hand, a board with us on it, and no credentials."""
    layout, config = make_project(tmp_path / "a project", platform="kaggle", id="cells")
    make_candidate(layout)
    add_score(layout, config, 0.87)
    add_snapshot(layout, target_of(config), [BoardRow(1, "ada", 0.9, False), BoardRow(2, "we", 0.87, True)])
    return layout, config


def said(project: tuple[Layout, Config]) -> str:
    heard: list[Event] = []
    leaderboard(*project, heard.append)
    return "\n".join(event.text for event in heard)


@damages
def test_a_damaged_event_stops_what_sends_and_its_hint_mends_without_a_loss(
    project: tuple[Layout, Config], content: bytes | None
) -> None:
    layout, _ = project
    before = load_submissions(layout)
    path = put(layout.submission(before[0].name).events / "20260101T000000000000Z-00000000.json", content)
    with pytest.raises(StageError) as caught:
        load_submissions(layout)
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    subprocess.run(caught.value.hint, shell=True, check=True)
    assert load_submissions(layout) == before
    kept = path.with_name(f"{path.name}.damaged")
    assert kept.is_dir() if content is None else kept.read_bytes() == content


@damages
def test_a_damaged_event_is_a_warning_in_tables_every_time(
    project: tuple[Layout, Config], content: bytes | None
) -> None:
    layout, _ = project
    before = load_for_tables(layout)
    path = put(layout.submission(before[0].name).events / "20260101T000000000000Z-00000000.json", content)
    assert load_for_tables(layout) == before
    for _ in range(2):
        assert said(project).count(str(path)) == 1


def test_a_file_in_the_place_of_the_events_is_damage_too(project: tuple[Layout, Config]) -> None:
    layout, _ = project
    put(layout.submission("20261122T000000Z-bbbbbbbb").events, b"")
    put(layout.submission("20261122T000000Z-bbbbbbbb").ensemble, b"{}")
    with pytest.raises(StageError, match="bbbbbbbb/events"):
        load_submissions(layout)
    assert "bbbbbbbb/events" in said(project)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.sampled_from(sorted({*SOUND, "target", "tag", "remote", "private"})),
    json_values,
    st.sampled_from(["score", "intent", "answer"]),
)
def test_whatever_stands_in_a_field_an_event_is_read_or_refused_by_name(
    project: tuple[Layout, Config], key: str, value: object, kind: str
) -> None:
    layout, _ = project
    path = layout.submission("20261121T054000Z-3f9c2ab1").events / "20270101T000000000000Z-00000000.json"
    put(path, json.dumps({**SOUND, "kind": kind, key: value}).encode())
    try:
        found = attempts(load_submissions(layout))
    except StageError as error:
        assert str(path) in error.message
    else:
        assert [attempt.score for attempt in found] == [0.87]
    leaderboard(*project, silent).to_json()


def test_events_of_earlier_and_later_versions_are_read(project: tuple[Layout, Config]) -> None:
    layout, config = project
    target = vars(target_of(config))
    facts = [
        {"kind": "intent", "tag": "t", "sha256": "s", "target": target, "file": "bundle.zip", "commit": "", "new": [1]},
        {"kind": "upload"}, {"kind": "uploaded", "key": "k"}, {"kind": "kernel", "version": 3}, {"kind": "request"},
        {"kind": "answer", "remote": "7", "found": True}, {"kind": "refused", "message": "no"}, {"kind": "lost"},
        {"kind": "failure", "remote": "7", "message": "no"},
        {"kind": "score", "remote": "7", "score": 1, "private": 0.25, "scores": {"1.accuracy": 0.5}},
    ]  # fmt: skip
    folder = make_candidate(layout, "20261122T000000Z-bbbbbbbb").events
    for number, fact in enumerate(facts):
        event = {"time": SOUND["time"], "who": "ada", "intent": "i", **fact}
        put(folder / f"{number}.json", json.dumps(event, indent=2, sort_keys=True).encode())
    attempt = next(one for one in attempts(load_submissions(layout)) if one.begun.intent == "i")
    assert (attempt.state, attempt.remote, attempt.score, attempt.private) == ("scored", "7", 1.0, 0.25)
    assert attempt.begun.time.isoformat(timespec="microseconds") == SOUND["time"]


def test_what_is_written_is_what_is_read_whatever_a_platform_says(project: tuple[Layout, Config]) -> None:
    paths = project[0].submission("20261121T054000Z-3f9c2ab1")
    for fact in (Failure(message="half a pair: \ud800"), Score(score=0.5, private=0.0)):
        assert add_event(paths, "i", fact) in load_submissions(project[0])[0].events


@pytest.mark.parametrize("content", [b"[]", b"{}", b"", b"\xff", b'{"a": 5}', b"[" * 100_000, None])
def test_a_damaged_cache_only_costs_time(project: tuple[Layout, Config], content: bytes | None) -> None:
    layout, config = project
    before = leaderboard(layout, config, silent, pictures=True)
    for path in (layout.ledger_cache, layout.asked, layout.pictures / "manifest.json"):
        put(path, content)
    after = leaderboard(layout, config, silent, pictures=True)
    assert (after.submissions, after.board, after.pictures) == (before.submissions, before.board, before.pictures)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"", b"\xff", b"rank,name\n1,\0\n", None])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_damaged_snapshot_is_a_warning_and_the_submissions_are_shown(
    project: tuple[Layout, Config], kind: str, content: bytes | None
) -> None:
    (path,) = project[0].boards.glob(f"*.{kind}")
    put(path, content)
    heard: list[Event] = []
    report = leaderboard(*project, heard.append)
    assert [line.attempt.score for line in report.submissions] == [0.87] and report.board == []
    assert any(str(path) in event.text for event in heard if event.kind == "warn")


def test_half_of_a_board_is_not_shown_as_the_whole(project: tuple[Layout, Config]) -> None:
    (path,) = project[0].boards.glob("*.csv")
    put(path, path.read_bytes().rpartition(b"2,we")[0])
    assert "has 1 lines, expected 2" in said(project)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"", b"\xff", b'{"cv": {"score": NaN}}'])
@pytest.mark.parametrize("file, scores", [("ensemble", [0.87]), ("forecast", [0.87, 0.9])])
def test_a_candidate_that_cannot_be_read_is_left_out_of_the_table_and_a_forecast_takes_nothing_away(
    project: tuple[Layout, Config], file: str, scores: list[float], content: bytes
) -> None:
    layout, config = project
    make_candidate(layout, "20261122T000000Z-bbbbbbbb", salt=b"b")
    add_score(layout, config, 0.9)
    path = put(getattr(layout.submission("20261122T000000Z-bbbbbbbb"), file), content)
    heard: list[Event] = []
    report = leaderboard(layout, config, heard.append)
    assert [line.attempt.score for line in report.submissions] == scores
    assert any(str(path) in event.text for event in heard if event.kind == "warn")


def test_a_stray_folder_with_an_empty_record_takes_nothing_away(project: tuple[Layout, Config]) -> None:
    put(project[0].submissions / "zzz/ensemble.json", b"{}")
    assert [line.attempt.score for line in leaderboard(*project, silent).submissions] == [0.87]


def test_the_keys_of_the_json_are_public(project: tuple[Layout, Config]) -> None:
    found = json.loads(json.dumps(leaderboard(*project, silent).to_json(), allow_nan=False))
    assert list(found) == [
        "competition", "platform", "phase", "phase_ends", "metric", "greater_is_better", "problem", "hint",
        "submissions", "board", "standing", "remaining", "noise", "agreement", "finals", "ranks",
    ]  # fmt: skip
    assert list(found["submissions"][0]) == [
        "name", "tag", "remote", "phase", "state", "message", "cv", "low", "high", "stressed", "decision", "forecast",
        "forecast_low", "forecast_high", "forecast_level", "forecast_basis", "forecast_error", "score", "private",
        "gap", "rank", "moved", "time", "age", "who", "commit",
    ]  # fmt: skip
    assert list(found["standing"]) == ["time", "age", "lines", "rank", "moved", "ahead", "medal", "zones"]
    assert list(found["standing"]["ahead"]) == ["rank", "name", "score", "mine", "remote", "distance"]
    assert list(found["remaining"]) == ["today", "per_day", "total", "per_person", "resets"]
    assert list(found["finals"][0]) == ["name", "remote", "cv", "score", "estimate"]
    assert list(found["ranks"][0]) == ["time", "rank", "lines"]


def competing(site: Codabench, tmp_path: Path) -> tuple[Layout, Config]:
    return make_project(tmp_path / "project", platform="codabench", url=site.url, id="7")


def test_nothing_is_sent_while_a_fact_cannot_be_read(site: Codabench, tmp_path: Path, waits: Waits) -> None:
    layout, config = competing(site, tmp_path)
    paths = make_candidate(layout)
    put(make_candidate(layout, "20261120T000000Z-aaaaaaaa", salt=b"a").events / "1.json", b"{")
    with pytest.raises(StageError, match="events/1") as caught:
        submit(layout, config, paths, silent, waits=waits)
    assert site.created() == 0
    subprocess.run(caught.value.hint, shell=True, check=True)
    submit(layout, config, paths, silent, waits=waits)
    assert site.created() == 1


@pytest.mark.parametrize("kept", [(), (Intent,)], ids=["every fact", "all but the intent"])
def test_a_file_whose_facts_are_lost_is_not_sent_a_second_time(
    site: Codabench, tmp_path: Path, waits: Waits, kept: tuple[type, ...]
) -> None:
    layout, config = competing(site, tmp_path)
    paths = make_candidate(layout)
    submit(layout, config, paths, silent, waits=waits)
    for path in paths.events.iterdir():
        if not (kept and json.loads(path.read_bytes())["kind"] == "intent"):
            path.unlink()
    if kept:
        submit(layout, config, paths, silent, waits=waits)
        assert [attempt.state for attempt in attempts(load_submissions(layout))] == ["scored"]
    else:
        with pytest.raises(StageError, match="already has this file"):
            submit(layout, config, paths, silent, waits=waits)
    assert site.created() == 1


def test_an_answer_of_another_shape_is_told_with_its_address(site: Codabench, tmp_path: Path, waits: Waits) -> None:
    platform = open_platform(*competing(site, tmp_path), waits)
    site.quota = {"quota": "much", "storage_used": 0.0}
    bundle = make_candidate(Layout(tmp_path / "project")).bundle
    with pytest.raises(PlatformError, match="/api/user_quota/ sent an answer that the kit does not understand: quota"):
        platform.check(bundle)


@pytest.mark.parametrize("score", ["nan", "inf", "-inf"])
def test_a_line_without_a_finite_score_takes_nothing_from_the_board(
    site: Codabench, tmp_path: Path, waits: Waits, score: str
) -> None:
    site.others.append(("alan", score))
    rows = open_platform(*competing(site, tmp_path), waits).leaderboard()
    assert sorted(row.name for row in rows) == ["ada", "edsger", "grace"]


def test_a_card_is_written_though_an_earlier_candidate_is_damaged(tmp_path: Path) -> None:
    project = invent(tmp_path)
    submit_more(project, (0.7, 0.8))
    *_, damaged, newest = load_submissions(project.layout)
    damaged.paths.ensemble.write_text("{")
    newest.paths.bundle.write_bytes(b"")
    write_proof(newest.paths)
    words = card(
        project.layout,
        project.config,
        newest.paths,
        Ensemble.load(newest.paths.ensemble),
        Proof.load(newest.paths.proof),
    )
    assert "by the mean gap of 2 earlier scores" in words
