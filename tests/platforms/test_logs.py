"""What is shown of a submission's logs: the reason, wherever it stands, and not what frameworks always print."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.codabench import Codabench
from servers.project import make_candidate, make_project

from kit.base.events import Event
from kit.config import Config
from kit.errors import StageError
from kit.platforms import Waits
from kit.platforms.uploads import LONGEST_LINE, ORDER, TAIL_LINES, TAIL_LOGS, explain, telling
from kit.stages.lb import leaderboard
from kit.stages.submit import submit
from kit.store.layout import Layout

CHATTER = """\
2026-11-21 05:34:57.989248: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
2026-11-21 05:34:58.100000: E external/local_xla/xla/stream_executor/cuda/cuda_dnn.cc:9261] Unable to register cuDNN
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795952881.997007    4042 port.cc:153] oneDNN custom operations are on.
W0000 00:00:1795952881.997007    4042 gpu_device.cc:2344] Cannot dlopen some GPU libraries.
E0000 00:00:1795952922.978556    4042 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate flags.
\x1b[1m1/1\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m0s\x1b[0m 100ms/step
"""
CRASH = "Traceback (most recent call last):\n  File {}, line 9\n{}: told\n"
OURS = CRASH.format("model.py", "ValueError")
THEIRS = CRASH.format("score.py", "KeyError")


@pytest.mark.parametrize("name", ORDER)
@pytest.mark.parametrize("text", [OURS, "Error: 7 rows instead of 9\n", "Killed\n", "wrong format, see the forum\n"])
def test_the_reason_is_found_in_whichever_log_it_stands(name: str, text: str) -> None:
    logs = dict.fromkeys(ORDER, CHATTER) | {name: CHATTER + text + CHATTER}
    assert explain(logs) == "\n".join([f"{name}:", *text.splitlines()])


def test_chatter_alone_explains_nothing() -> None:
    assert telling(CHATTER) == [] and explain(dict.fromkeys(ORDER, CHATTER)) == explain({}) == ""


def test_a_crash_counts_for_more_than_an_error_and_that_for_more_than_a_warning() -> None:
    logs = {"prediction_ingestion_stderr": "x.py:1: UserWarning: old\n", "scoring_stdout": "Error: no rows\n"}
    assert explain(logs).startswith("scoring_stdout:")
    assert explain(logs | {"scoring_stderr": THEIRS}).startswith("scoring_stderr:")


def test_of_two_crashes_both_are_shown_the_cause_first() -> None:
    shown = explain({"scoring_stderr": THEIRS, "prediction_ingestion_stderr": OURS})
    assert shown.index("ValueError") < shown.index("KeyError")


def test_an_error_of_a_graphics_card_that_is_full_is_no_chatter() -> None:
    line = (
        "2026-11-21 05:34:58.1: E tensorflow/stream_executor/cuda/cuda_driver.cc:1] failed to allocate: out of memory"
    )
    assert telling(line) == [line]


@given(st.dictionaries(st.sampled_from([*ORDER, "another"]), st.text(max_size=3000)))
def test_whatever_stands_in_the_logs_what_is_shown_of_them_has_a_bound(logs: dict[str, str]) -> None:
    assert len(explain(logs)) <= TAIL_LOGS * (TAIL_LINES + 1) * (LONGEST_LINE + 1)


@pytest.fixture
def project(site: Codabench, tmp_path: Path) -> tuple[Layout, Config]:
    site.log = CHATTER
    return make_project(tmp_path / "project", platform="codabench", url=site.url, id="7")


def test_the_crash_of_the_scoring_program_is_told_and_not_the_noise(
    site: Codabench, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.outcome, site.logs = "Failed", {"scoring_stdout": CHATTER, "scoring_stderr": THEIRS}
    with pytest.raises(StageError, match="KeyError: told") as caught:
        submit(*project, make_candidate(project[0]), lambda event: None, waits=waits)
    assert "cuInit" not in caught.value.message


@pytest.mark.parametrize(("score", "log", "told"), [("0.0", OURS, True), ("0.86", OURS, False), ("0.0", "", False)])
def test_a_score_far_from_what_was_expected_is_told_with_the_crash_in_its_logs(
    site: Codabench, project: tuple[Layout, Config], waits: Waits, score: str, log: str, told: bool
) -> None:
    site.score, site.log = score, CHATTER + log
    said: list[Event] = []
    submit(*project, make_candidate(project[0], cv=0.88), said.append, waits=waits)
    assert any("ValueError: told" in event.text for event in said if event.kind == "warn") == told
    said.clear()
    (line,) = leaderboard(*project, said.append, waits=waits).submissions
    assert ("ValueError: told" in line.attempt.message) == told == any("ValueError: told" in e.text for e in said)
    assert site.count("details") == (score == "0.0")
