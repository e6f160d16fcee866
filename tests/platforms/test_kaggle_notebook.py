"""The notebook of a code competition as Kaggle runs it: what it may use, which version is asked for, what it said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.kaggle import Kaggle
from servers.project import make_candidate, make_project

from kit.base.events import Event
from kit.config import Config, parse
from kit.errors import ConfigError, PlatformError
from kit.platforms import Waits
from kit.stages.submit import Choice, submit
from kit.store.layout import Layout
from kit.store.ledger import attempts, load_submissions

pytestmark = pytest.mark.matrix

NAME = "20261121T054000Z-3f9c2ab1"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    with Kaggle(code=True) as server:
        monkeypatch.setenv("KAGGLE_API_TOKEN", server.token)
        yield server


def project(site: Kaggle, root: Path, notebook: str = "") -> tuple[Layout, Config]:
    layout, _ = make_project(root / "project", platform="kaggle", url=site.url, id="cells", code=True)
    text = layout.config.read_text() + f"[notebook]\n{notebook}\n"
    layout.config.write_text(text)
    make_candidate(layout)
    return layout, parse(text)


def run(made: tuple[Layout, Config], waits: Waits) -> str:
    said: list[Event] = []
    submit(*made, made[0].submission(NAME), said.append, Choice(), waits)
    return "\n".join(event.text for event in said)


def test_what_a_failed_notebook_said_last_is_told(site: Kaggle, tmp_path: Path, waits: Waits) -> None:
    site.walks["kernel"] = ["ERROR"]
    site.kernel_log = "2026-11-21 05:34:57.9: I tensorflow/core/util/port.cc:153] on\nkit: no sample_submission.csv\n"
    with pytest.raises(PlatformError, match="ended with ERROR") as caught:
        run(project(site, tmp_path), waits)
    assert "kit: no sample_submission.csv" in caught.value.message and "port.cc" not in caught.value.message
    assert caught.value.hint.endswith("/code/student/kit-cells")
    site.kernel_failure = "Your notebook ran out of memory"
    site.faults["kernel-log"] = ("403", -1)
    with pytest.raises(PlatformError, match="ran out of memory"):
        run((made := project(site, tmp_path)), waits)
    assert [attempt.state for attempt in attempts(load_submissions(made[0]))] == ["intended"]


def test_the_status_is_that_of_the_version_that_was_pushed(site: Kaggle, tmp_path: Path, waits: Waits) -> None:
    site.kernels["student/kit-cells"] = [{}, {}]
    run(project(site, tmp_path), waits)
    asked = [request.json() for request in site.requests if request.phase == "kernel-status"]
    assert len(asked) == 3 and {body["versionLabel"] for body in asked} == {"3"}
    assert site.submissions[0]["body"]["kernelVersion"] == 3


def test_machine_image_models_data_sets_and_output_are_those_of_the_configuration(
    site: Kaggle, tmp_path: Path, waits: Waits
) -> None:
    text = """accelerator = "NvidiaTeslaT4"
image = "original"
datasets = ["ada/wheels"]
models = ["google/efficientnet/keras/b0/1"]
output = "submission.parquet"
"""
    said = run(project(site, tmp_path, text), waits)
    (notebook,) = site.kernels["student/kit-cells"]
    assert notebook["machineShape"] == "NvidiaTeslaT4" and notebook["enableGpu"] is True
    assert notebook["dockerImagePinningType"] == "original" and "dockerImage" not in notebook
    assert notebook["datasetDataSources"] == ["student/kit-cells", "ada/wheels"]
    assert notebook["modelDataSources"] == ["google/efficientnet/keras/b0/1"]
    assert site.submissions[0]["body"]["fileName"] == "submission.parquet"
    assert "12.5 of 30 hours" in said


@pytest.mark.parametrize(
    ("changed", "pushed"), [("", 1), ('accelerator = "NvidiaTeslaT4"', 2), ('output = "a.csv"', 2)]
)
def test_a_notebook_that_was_pushed_with_other_settings_is_pushed_again(
    site: Kaggle, tmp_path: Path, waits: Waits, changed: str, pushed: int
) -> None:
    layout, config = project(site, tmp_path)
    site.faults["kernel-status"] = ("404", 1)
    with pytest.raises(PlatformError):
        run((layout, config), waits)
    run((layout, parse(layout.config.read_text() + changed)), waits)
    assert len(site.kernels["student/kit-cells"]) == pushed and site.created() == 1


def test_without_an_accelerator_none_is_asked_for(site: Kaggle, tmp_path: Path, waits: Waits) -> None:
    said = run(project(site, tmp_path, 'accelerator = "none"\nimage = "gcr.io/kaggle-images/python@sha256:1"'), waits)
    (notebook,) = site.kernels["student/kit-cells"]
    assert not notebook.get("enableGpu") and not notebook.get("machineShape")
    assert notebook["dockerImage"] == "gcr.io/kaggle-images/python@sha256:1"
    assert "hours" not in said and site.count("quota") == 0


@pytest.mark.parametrize("kind", ["Dataset", "Model", "Competition"])
def test_a_source_that_kaggle_does_not_let_us_use_is_refused_by_name(
    site: Kaggle, tmp_path: Path, waits: Waits, kind: str
) -> None:
    site.invalid = {f"invalid{kind}Sources": ["ada/unknown"]}
    with pytest.raises(PlatformError, match="ada/unknown"):
        run(project(site, tmp_path), waits)
    assert site.created() == 0


@pytest.mark.parametrize("text", ['evaluation = "a b"', 'datasets = ["wheels"]', 'output = ""'])
def test_what_cannot_be_a_setting_of_a_notebook_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="notebook"):
        parse(f'[data]\ntrain = "x"\n[notebook]\n{text}\n')


@pytest.mark.parametrize("keys", [{"code": False}, {"code": True}])
def test_only_a_code_competition_builds_a_bundle(
    site: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    from kit.project import Project

    layout, _ = make_project(tmp_path / "project", platform="kaggle", url=site.url, id="cells", **keys)

    class Asked(Exception):
        pass

    def asked(*_: object, **__: object) -> None:
        raise Asked

    monkeypatch.setattr(Project, "bundle" if keys["code"] else "table", asked)
    with pytest.raises(Asked):
        Project(layout.root).submit()
