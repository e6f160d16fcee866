"""Killed at every write and around every request, and eight at once: never a second submission."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from servers.codabench import Codabench
from servers.kaggle import Kaggle
from servers.project import make_candidate, make_project

from kit.base.events import silent
from kit.stages.lb import leaderboard
from kit.stages.submit import Choice, submit
from kit.store.layout import Layout
from kit.store.ledger import attempts, load_submissions
from kit.store.ledger.facts import Score

pytestmark = pytest.mark.matrix

DRIVER = Path(__file__).parents[1] / "servers" / "driver.py"
CODABENCH: dict[str, Any] = {"platform": "codabench", "id": "7"}
KAGGLE: dict[str, Any] = {"platform": "kaggle", "id": "cells"}
SITES: dict[str, tuple[type[Any], dict[str, Any], dict[str, Any]]] = {
    "codabench-march": (Codabench, {"later": False}, CODABENCH),
    "codabench-later": (Codabench, {"later": True}, CODABENCH),
    "kaggle-table": (Kaggle, {"code": False}, KAGGLE),
    "kaggle-code": (Kaggle, {"code": True}, {**KAGGLE, "code": True}),
}
SLOW = ("codabench-march", "kaggle-code")
REQUESTS = {
    "codabench": ["competition", "can", "space", "slot", "put", "completed", "create", "list", "status", "board"],
    "kaggle-table": ["login", "competition", "limits", "slot", "put", "create", "list", "status", "board"],
    "kaggle-code": [
        "login", "dataset-status", "blob", "put", "dataset", "kernel", "kernel-status", "create-code", "status",
    ],
}  # fmt: skip
IN_FLIGHT = [
    pytest.param(name, phase, marks=[pytest.mark.slow] * ("create" not in phase or name in SLOW))
    for name in SITES
    for phase in REQUESTS[name if name in REQUESTS else "codabench"]
]


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Any]:
    make, options, _ = SITES[getattr(request, "param", "codabench-later")]
    with make(**options) as server:
        server.walk = ["Running", "Finished"]
        server.keys = SITES[getattr(request, "param", "codabench-later")][2]
        yield server


@pytest.fixture
def project(site: Any, tmp_path: Path) -> Path:
    layout, _ = make_project(tmp_path / "project", url=site.url, **site.keys)
    make_candidate(layout).table.write_text("id,label\na,0\nb,1\n")
    return layout.root


def start(site: Any, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DRIVER), *map(str, arguments)],
        env={**os.environ, "CODABENCH_TOKEN": site.token, "KAGGLE_API_TOKEN": site.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def drive(site: Any, *arguments: object) -> Any:
    process = start(site, *arguments)
    out, err = process.communicate(timeout=3000)
    assert process.returncode == 0, err
    return json.loads(out)


def states(project: Path) -> list[str]:
    return [attempt.state for attempt in attempts(load_submissions(Layout(project)))]


LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    "site", [pytest.param(name, marks=LONG if name in SLOW else []) for name in SITES], indirect=True
)
def test_killed_at_any_write_or_request_the_next_run_sends_exactly_once(site: Any, project: Path) -> None:
    whole = drive(site, "sweep", project, 0, 0)[0]
    assert whole["created"] == 1 and whole["states"] == ["scored"]
    moments = whole["first"]["moments"]
    assert moments >= 40
    doubts = 0
    for found in drive(site, "sweep", project, 1, moments):
        assert found["first"]["ended"] == "killed", found
        assert found["created"] == 1, found
        assert found["second"] == "done" or "submitted already" in found["second"], found
        assert found["states"][-1] == "scored", found
        # Dead between the note and the request: nobody can know, so nothing was sent before it was certain.
        doubts += "lost" in found["states"]
    assert 0 < doubts <= 8
    print(f"{site.keys}: {moments} moments, {doubts} of them in doubt")


@pytest.mark.parametrize(("site", "phase"), IN_FLIGHT, indirect=["site"])
def test_killed_while_a_request_is_on_its_way_the_next_run_never_sends_twice(
    site: Any, project: Path, phase: str
) -> None:
    """The server has the request, the client is killed from outside, the server commits all the same."""
    for server in (site, site.storage):
        server.faults[phase] = ("late", 1)
    process = start(site, "once", project)
    while site.count(phase) + site.storage.count(phase) == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    time.sleep(1.0)
    before = site.created()
    ended = drive(site, "once", project)
    assert site.created() == 1, (before, ended)
    assert states(project)[-1] == "scored", ended


def rounds(site: Codabench, project: Path, number: int) -> None:
    for count in range(number):
        make_candidate(Layout(project), f"20261121T0540{count:02d}Z-{count:08x}", salt=str(count).encode())
        ended = drive(site, "race", project, 8)
        assert site.created() == 1
        assert ended.count("done") >= 1
        for text in ended:
            assert text == "done" or "is working on" in text or "submitted already" in text
        site.forget()


def test_of_eight_processes_at_once_one_submits(site: Codabench, project: Path) -> None:
    rounds(site, project, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_eight_processes_at_once_one_submits_fifty_times(site: Codabench, project: Path) -> None:
    rounds(site, project, 50)


def git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *names, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_clones_that_merge_their_ledgers_have_no_conflict(
    site: Codabench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sends a candidate of its own, and both note the score of a shared one and the board."""
    monkeypatch.setenv("CODABENCH_TOKEN", site.token)
    one, two = Layout(tmp_path / "one"), Layout(tmp_path / "two")
    _, config = make_project(one.root, platform="codabench", url=site.url, id="7")
    submit(one, config, make_candidate(one), silent, Choice(wait=False))
    template = resources.files("kit.stages.init") / "templates/gitignore.tmpl"
    (one.root / ".gitignore").write_text(template.read_text())
    git(one.root, "init", "-q", "-b", "main")
    git(one.root, "add", ".")
    git(one.root, "commit", "-qm", "start")
    git(tmp_path, "clone", "-q", "one", "two")
    for layout, salt in ((one, b"1"), (two, b"2")):
        for _ in range(4):  # scores are posted a moment after the end
            leaderboard(layout, config, silent)
        make_candidate(layout, f"20261122T00000{salt.decode()}Z-aaaaaaa{salt.decode()}", salt=salt)
        assert drive(site, "race", layout.root, 1) == ["done"]
        git(layout.root, "add", ".")
        git(layout.root, "commit", "-qm", layout.root.name)
    for here, there in ((two, "../one"), (one, "../two")):
        git(here.root, "pull", "-q", "--no-rebase", "--no-edit", there, "main")
        assert git(here.root, "status", "--porcelain") == ""
        found = attempts(load_submissions(here))
        assert [attempt.state for attempt in found] == ["scored"] * 3
        assert all(attempt.begun.commit for attempt in found[1:])
    shared, *_ = load_submissions(one)
    assert sum(isinstance(event, Score) for event in shared.events) == 2
    reports = [leaderboard(layout, config, silent) for layout in (one, two)]
    assert reports[0].standing.snapshot.rank == reports[1].standing.snapshot.rank
    assert [len(report.submissions) for report in reports] == [3, 3]
