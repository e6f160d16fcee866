"""Kaggle through the official package, against a stand-in that answers as Kaggle does."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.kaggle import Kaggle
from servers.project import make_candidate, make_project, states

from kit.base.events import Event, silent
from kit.config import Config
from kit.errors import ConfigError, PlatformError, StageError
from kit.platforms import Refused, Waits, open_platform
from kit.platforms.credentials import kaggle_secrets
from kit.platforms.kaggle import board_rows
from kit.stages.lb import leaderboard
from kit.stages.submit import Choice, submit
from kit.store.layout import Layout
from kit.store.ledger import attempts, load_submissions

pytestmark = pytest.mark.matrix

NAME = "20261121T054000Z-3f9c2ab1"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    with Kaggle() as server:
        monkeypatch.setenv("KAGGLE_API_TOKEN", server.token)
        yield server


@pytest.fixture
def project(site: Kaggle, tmp_path: Path) -> tuple[Layout, Config]:
    return _project(site, tmp_path / "project")


def _project(site: Kaggle, folder: Path, **more: object) -> tuple[Layout, Config]:
    layout, config = make_project(folder, platform="kaggle", url=site.url, id="cells", **more)
    paths = make_candidate(layout)
    paths.table.write_text("id,label\na,0\nb,1\n")
    return layout, config


def run(project: tuple[Layout, Config], waits: Waits, **options: object) -> list[Event]:
    said: list[Event] = []
    layout, config = project
    submit(layout, config, layout.submission(NAME), said.append, Choice(**options), waits)  # type: ignore[arg-type]
    return said


def test_a_table_is_sent_scored_and_ranked_without_a_word_of_the_package(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = run(project, waits)
    assert site.created() == 1
    assert states(project) == ["scored"]
    text = "\n".join(event.text for event in said)
    assert "rank 80 of 151" in text
    assert "4 of 5 today" in text
    assert capfd.readouterr() == ("", "")
    assert list(home.rglob("*")) == []
    (upload,) = site.storage.objects.values()
    assert upload == b"id,label\na,0\nb,1\n"
    assert all("authorization" not in request.headers for request in site.storage.requests)


def test_the_message_carries_the_content_hash(site: Kaggle, project: tuple[Layout, Config], waits: Waits) -> None:
    run(project, waits)
    (attempt,) = attempts(load_submissions(project[0]))
    assert site.submissions[0]["description"] == attempt.begun.tag
    said = run(project, waits)
    assert "submission 1000 of" in said[-1].text
    assert site.created() == 1


def test_a_broken_upload_goes_on_where_it_stopped(site: Kaggle, project: tuple[Layout, Config], waits: Waits) -> None:
    site.storage.cut = 5
    run(project, waits)
    assert list(site.storage.objects.values()) == [b"id,label\na,0\nb,1\n"]
    assert site.created() == 1


def test_an_upload_that_fails_is_an_error_and_nothing_is_submitted(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.storage.faults["put"] = ("403", -1)
    with pytest.raises(PlatformError, match=r"did not accept submission\.csv"):
        run(project, waits)
    assert site.created() == 0
    assert states(project) == ["intended"]


def test_an_error_shows_the_reason_that_kaggle_hides(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.error = "Submission must have 100 rows"
    with pytest.raises(StageError, match="must have 100 rows"):
        run(project, waits)
    assert states(project) == ["failed"]


def test_the_private_score_is_picked_up_when_it_appears(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits
) -> None:
    run(project, waits)
    assert leaderboard(*project, silent, waits=waits).submissions[0].attempt.private is None
    site.private = "0.86001"
    report = leaderboard(*project, silent, waits=waits)
    assert report.submissions[0].attempt.private == 0.86001
    assert report.standing.medal == ""
    assert report.standing.zones == {"gold": 10, "silver": 30, "bronze": 60}


def test_the_end_of_the_whole_allowance_is_told_without_a_midnight(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits
) -> None:
    site.total = 30
    site.used = 28
    site.limit = 30
    left = open_platform(*project, waits).remaining()
    assert (left.now, left.total, left.per_person, left.resets) == (2, 2, 30, None)


def zipped(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("cells-publicleaderboard.csv", text)
    return content.getvalue()


def test_our_line_is_that_of_our_members_then_of_our_name_then_of_our_rank() -> None:
    head = "\ufeffRank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames\n"
    text = head + "".join(
        f'{n},{n},we,2026-11-20 10:00:00,0.{9 - n},1,"{who}"\n' for n, who in ((1, "x,y"), (2, "Z,student"))
    )
    for username, names, rank, expected in [
        ("student", {"we"}, 1, [2]),
        ("nobody", {"we"}, 1, [1, 2]),
        ("nobody", {"they"}, 1, [1]),
        ("", set(), 0, []),
    ]:
        rows = board_rows(zipped(text), names, rank, username)
        assert [row.rank for row in rows if row.mine] == expected
    with pytest.raises(PlatformError, match="not a zip"):
        board_rows(b"<html>", set(), 0)


def test_a_token_in_a_file_that_the_environment_names_is_a_secret_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("KGAT_in_a_file\n")
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(tmp_path / "token"))
    assert "KGAT_in_a_file" in kaggle_secrets()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x" * 5000)
    assert kaggle_secrets() == ["x" * 5000]


def test_private_scores_are_asked_for_one_by_one_only_once_they_are_there(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits
) -> None:
    for number in range(3):
        paths = make_candidate(project[0], f"2026112{number}T000000Z-{number:08x}", salt=b"%d" % number)
        paths.table.write_text(f"id,label\na,{number}\n")
        submit(*project, paths, silent, waits=waits)
    before = site.count("status")
    leaderboard(*project, silent, waits=waits)
    assert site.count("status") == before + 1
    site.private = "0.86001"
    lines = leaderboard(*project, silent, waits=waits).submissions
    assert [line.attempt.private for line in lines] == [0.86001] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda site: setattr(site, "entered", False), "not joined"),
        (lambda site: setattr(site, "code", True), "notebooks only"),
        (lambda site: setattr(site, "used", 5), "no submissions are left"),
        (lambda site: setattr(site, "token", "another"), "Unauthenticated"),
    ],
)
def test_what_would_be_refused_is_refused_before_anything_is_uploaded(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits, change: object, message: str
) -> None:
    change(site)  # type: ignore[operator]
    with pytest.raises((Refused, ConfigError, PlatformError), match=message):
        run(project, waits)
    assert site.storage.objects == {} and site.created() == 0


@pytest.mark.parametrize("text", ["", "id,label\n", "id,label\na,0\na,1\n", "id,label\na,\n", "id,label\na\n"])
def test_a_table_that_cannot_be_scored_is_not_sent(
    site: Kaggle, project: tuple[Layout, Config], waits: Waits, text: str
) -> None:
    project[0].submission(NAME).table.write_text(text)
    with pytest.raises(PlatformError):
        run(project, waits)
    assert site.created() == 0


def test_a_code_competition_runs_the_bundle_in_a_notebook_without_internet(
    site: Kaggle, tmp_path: Path, waits: Waits
) -> None:
    site.code = True
    project = _project(site, tmp_path / "code", code=True)
    run(project, waits)
    (notebook,) = site.kernels["student/kit-cells"]
    assert notebook.get("enableInternet", False) is False
    assert notebook["isPrivate"] is True
    assert notebook["datasetDataSources"] == ["student/kit-cells"]
    compile(notebook["text"], "run.py", "exec")
    assert attempts(load_submissions(project[0]))[0].begun.tag in notebook["text"]
    assert site.datasets["student/kit-cells"]["isPrivate"] is True
    sent = site.submissions[0]["body"]
    assert (sent["kernelOwner"], sent["kernelSlug"], sent["kernelVersion"]) == ("student", "kit-cells", 1)
    assert project[0].submission(NAME).bundle.read_bytes() in site.storage.objects.values()
    assert states(project) == ["scored"]
    order = [request.phase for request in site.requests]
    assert order.index("kernel") > max(i for i, phase in enumerate(order) if phase == "dataset-status")
    assert order.index("create-code") > max(i for i, phase in enumerate(order) if phase == "kernel-status")


def test_a_notebook_that_fails_spends_nothing(site: Kaggle, tmp_path: Path, waits: Waits) -> None:
    site.code = True
    site.walks["kernel"] = ["QUEUED", "ERROR"]
    project = _project(site, tmp_path / "code", code=True)
    for _ in range(2):
        with pytest.raises(PlatformError, match="ended with ERROR"):
            run(project, waits)
    assert site.created() == 0
    assert len(site.kernels["student/kit-cells"]) == 2, "a failed notebook is no reason never to try another"
    site.walks["kernel"] = ["COMPLETE"]
    run(project, waits)
    assert site.created() == 1
    assert site.submissions[0]["body"]["kernelVersion"] == 3


def test_without_credentials_the_package_is_not_even_imported(tmp_path: Path, home: Path) -> None:
    _project_without_site(tmp_path / "project")
    script = (
        "import sys\nfrom kit.__main__ import main\nsys.argv = ['kit', 'lb']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('loaded', 'kaggle' in sys.modules, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "project", capture_output=True, text=True, check=False
    )
    assert "no credentials for Kaggle" in done.stderr
    assert done.stdout.splitlines()[-1] == "loaded False False"
    assert list(home.rglob("*")) == []


def _project_without_site(folder: Path) -> None:
    make_project(folder, platform="kaggle", id="cells")
