"""Every phase of every site against every fault, lasting and passing: one submission at most, always a clear end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from servers.base import FAULTS, ODD
from servers.codabench import Codabench
from servers.kaggle import Kaggle
from servers.project import make_candidate, make_project

from kit.base.events import silent
from kit.config import Config
from kit.errors import KitError
from kit.platforms import Waits
from kit.stages.submit import Choice, submit
from kit.store.layout import Layout
from kit.store.ledger import attempts, load_submissions

pytestmark = pytest.mark.matrix

CODABENCH = ["competition", "can", "space", "slot", "put", "completed", "create", "list", "status", "board", "profile"]
# Of these each needs a site that is made to ask for it.
SPECIAL = ["login", "details", "log", "connect"]
TABLE = ["login", "competition", "limits", "slot", "put", "create", "list", "status", "board"]
CODE = [
    "login", "competition", "limits", "dataset-status", "blob", "put", "dataset", "dataset-version", "kernel",
    "kernel-status", "create-code", "list", "status", "board",
]  # fmt: skip
PHASES = {
    "codabench-march": [*CODABENCH, *SPECIAL],
    "codabench-later": [*CODABENCH, *SPECIAL],
    "kaggle-table": TABLE,
    "kaggle-code": CODE,
}
# Where a fault is likely or dear; the others are tried in the slow tier.
SOON = {
    "codabench-march": ["create", "list"],
    "codabench-later": ["slot", "put", "create", "list", "status"],
    "kaggle-table": ["put", "create", "list"],
    "kaggle-code": ["kernel", "create-code"],
}
# Answers that say for certain that nothing was taken.
CERTAIN = ("", "400", "401", "403", "404", "429")
CASES = [
    pytest.param((name, phase), phase, id=f"{name}-{phase}", marks=[pytest.mark.slow] * (phase not in SOON[name]))
    for name, phases in PHASES.items()
    for phase in phases
]


@dataclass
class Case:
    """A site with a fault, and a project that submits to it."""

    site: Any
    layout: Layout
    config: Config
    waits: Waits
    choice: Choice = field(default_factory=Choice)

    def set(self, phase: str, fault: str, times: int) -> None:
        for server in (self.site, self.site.storage):
            server.faults = {phase: (fault, times)} if fault else {}

    def run(self) -> str:
        """One `kit submit`: done, or the one line that a user reads."""
        paths = self.layout.submission("20261121T054000Z-3f9c2ab1")
        try:
            submit(self.layout, self.config, paths, silent, self.choice, self.waits)
        except KitError as error:
            lines = error.message.splitlines()
            assert lines[0].strip()
            assert len(lines) == 1 or "failed on the platform" in lines[0]
            assert self.site.token not in error.message + error.hint
            return error.message
        return "done"

    @property
    def states(self) -> list[str]:
        return [attempt.state for attempt in attempts(load_submissions(self.layout))]


@pytest.fixture
def case(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    waits: Waits,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Case]:
    name, phase = request.param
    code = name == "kaggle-code"
    make: Any = Kaggle(code=code) if name.startswith("kaggle") else Codabench(later=name == "codabench-later")
    with make as site:
        keys: dict[str, Any] = {"platform": name.partition("-")[0], "url": site.url}
        keys |= {"id": "cells", "code": code} if name.startswith("kaggle") else {"id": "7"}
        layout, config = make_project(tmp_path / "project", **keys)
        make_candidate(layout).table.write_text("id,label\na,0\nb,1\n")
        monkeypatch.setenv("KAGGLE_API_TOKEN", site.token)
        if phase == "login":
            monkeypatch.setenv("CODABENCH_USERNAME", "student")
            monkeypatch.setenv("CODABENCH_PASSWORD", "correct horse")
        else:
            monkeypatch.setenv("CODABENCH_TOKEN", site.token)
        if phase in ("details", "log"):
            site.outcome, site.log = "Failed", "TypeError: no"
        if phase == "connect":
            site.rule = "Add"
        if phase == "dataset-version":
            site.datasets["student/kit-cells"] = {}
        # An answer that is odd may say `pending` for ever: waiting has an end.
        patient = replace(waits, read=3, end=300)
        yield Case(site, layout, config, patient, Choice(publish=phase == "connect"))


@pytest.mark.parametrize("fault", ["", *FAULTS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in ODD)])
@pytest.mark.parametrize("times", [-1, 1], ids=["lasting", "passing"])
@pytest.mark.parametrize(("case", "phase"), CASES, indirect=["case"])
def test_no_fault_makes_a_second_submission_and_every_fault_ends_clearly(
    case: Case, phase: str, times: int, fault: str
) -> None:
    case.set(phase, fault, times)
    if fault == "hang":
        case.waits = replace(case.waits, read=0.4)
    first = case.run()
    assert case.site.created() <= 1
    struck = case.site.count(phase) + case.site.storage.count(phase)
    assert struck > 0, "the fault was never met"
    case.set(phase, "", 0)
    case.waits = replace(case.waits, read=3)
    second = case.run()
    if phase.startswith("create") and fault not in CERTAIN and fault != "reset-after":
        assert "may still arrive" in first and case.states == ["lost", "scored"]
    assert case.site.created() == 1, (first, second)
    assert case.states[-1] == ("failed" if phase in ("details", "log") else "scored"), (first, second)
    if phase == "connect":
        assert case.site.submissions[0]["board"]
    if not fault:
        assert first == "done" or phase in ("details", "log")
