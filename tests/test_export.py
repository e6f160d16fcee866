"""`kit export`: what is on the disk reaches the tracker once, by its own words when the package is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from invented import EPOCHS, HOSTILE, invent, stress
from test_cli import run

from kit.errors import ConfigError, PlatformError
from kit.project import Project
from kit.runs.results import Epoch
from kit.stages.export import TRACKERS, gather
from kit.store.data import load_index
from kit.store.files import read_csv
from kit.store.ledger import add_event, latest
from kit.store.ledger.facts import Score
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage

# MLflow says that its folders of files are not what is newest; they are what a test needs.
QUIET = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    found = invent(tmp_path_factory.mktemp("export"), name=HOSTILE[1])
    stress(found)
    return found


def test_what_is_gathered_is_what_the_files_say(project: Project) -> None:
    runs = {one.name: one for one in gather(project.layout) if one.kind == "run"}
    assert set(runs) == {"first", "second"}
    labels = load_index(project.layout).labels
    for name, one in runs.items():
        folder = project.layout.runs / one.key
        oof = load_predictions(folder / "oof.npz")
        assert one.scores["oof_accuracy"] == (oof.logits[0].argmax(axis=1) == labels).mean()
        assert one.scores["stressed_accuracy"] == 0.62 and one.scores["forecast_low"] == 0.5
        assert one.params["backbone"] == {"first": "plain-cnn", "second": "residual-cnn"}[name]
        for fold, epochs in one.curves.items():
            rows = read_csv(folder / f"fold-{fold}" / "history.csv")
            assert epochs == [
                {key: float(row[key]) for key in ("lr", "loss", "valid_accuracy", "valid_nll")} for row in rows
            ]


def test_the_newest_candidate_has_its_score_and_its_weights(project: Project) -> None:
    (one,) = [one for one in gather(project.layout) if one.kind == "ensemble"]
    assert one.scores["score"] == 0.71
    assert one.scores["cv_low"] <= one.scores["cv"] <= one.scores["cv_high"]
    assert sum(float(one.params[f"weight.{name}"]) for name in ("first", "second")) == pytest.approx(1, abs=1e-3)


def test_no_weights_and_no_images_are_among_the_files(project: Project) -> None:
    files = [path for one in gather(project.layout) for path, _ in one.files]
    assert files and all(path.exists() for path in files)
    assert not [path for path in files if path.name in ("weights.npz", "images.npy", "bundle.zip")]


def test_a_fold_that_is_not_done_is_not_told_yet(tmp_path: Path) -> None:
    project = invent(tmp_path)
    (record,) = project.layout.runs.glob("first-*/fold-1/fold.json")
    record.unlink()
    (first,) = [one for one in gather(project.layout) if one.name == "first"]
    assert sorted(first.curves) == [0, 2]


def test_a_clone_without_data_still_tells_its_curves(tmp_path: Path) -> None:
    project = invent(tmp_path)
    project.layout.index.unlink()
    for one in gather(project.layout):
        assert not [name for name in one.scores if name.startswith("oof_")]
        assert one.kind == "ensemble" or len(one.curves) == 3


def test_a_missing_package_is_one_line_and_how_to_install_it(project: Project) -> None:
    with mock.patch.dict(sys.modules, {"mlflow": None}):
        done = run(project.layout.root, "export", "mlflow")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line][-1] == "hint: pip install mlflow-skinny"
    assert "Traceback" not in done.stderr and "error: the export needs mlflow, which is not installed" in done.stderr


def test_an_unknown_tracker_names_those_that_are_known(project: Project) -> None:
    with pytest.raises(ConfigError, match="no tracker 'wandb'") as caught:
        project.export("wandb")
    assert all(name in caught.value.hint for name in TRACKERS)


def test_the_core_names_no_tracker() -> None:
    kit = Path(__file__).parent.parent / "kit"
    naming = [path for path in kit.rglob("*.py") if 'required("mlflow"' in path.read_text() or
              "import mlflow" in path.read_text()]  # fmt: skip
    assert [str(path.relative_to(kit)) for path in naming] == ["stages/export/mlflow.py"]


@pytest.fixture
def store(tmp_path: Path) -> str:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install mlflow-skinny")
    return (tmp_path / "store").as_uri()


def logged(store: str) -> tuple[Any, dict[str, Any]]:
    """MLflow's own client on a store, and the runs in it by name."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=store)
    experiments = [found.experiment_id for found in client.search_experiments()]
    return client, {found.info.run_name: found for found in client.search_runs(experiments)}


@QUIET
def test_mlflow_has_every_epoch_of_every_fold_and_every_score(project: Project, store: str) -> None:
    project.export("mlflow", store)
    client, runs = logged(store)
    names = [found.name for found in client.search_experiments()]
    assert HOSTILE[1].replace('"', "\u201d").replace("'", "\u2019") in names
    for one in gather(project.layout):
        there = runs[one.name]
        assert {name: there.data.metrics[name] for name in one.scores} == one.scores
        assert there.data.params == {name: value[:500] for name, value in one.params.items()}
        assert there.info.status == "FINISHED"
        for fold, epochs in one.curves.items():
            curve = client.get_metric_history(there.info.run_id, f"fold-{fold}/valid_nll")
            assert sorted((point.step, point.value) for point in curve) == [
                (n, epoch["valid_nll"]) for n, epoch in enumerate(epochs, 1)
            ]
            assert len(epochs) == EPOCHS
        stored = {item.path for item in client.list_artifacts(there.info.run_id)}
        assert {folder or path.name for path, folder in one.files} == stored


@QUIET
def test_a_second_export_sends_nothing_and_a_new_score_sends_itself(tmp_path: Path, store: str) -> None:
    project = invent(tmp_path / "project")
    assert project.export("mlflow", store) == 3
    assert project.export("mlflow", store) == 0
    newest = latest(project.layout)
    assert newest is not None
    add_event(newest, "1", Score(score=0.72))
    assert project.export("mlflow", store) == 1
    client, runs = logged(store)
    assert len(runs) == 3
    (ensemble,) = [found for name, found in runs.items() if name.startswith("ensemble-")]
    points = client.get_metric_history(ensemble.info.run_id, "score")
    assert [point.value for point in points] == [0.71, 0.72]
    nll = client.get_metric_history(runs["first"].info.run_id, "fold-0/valid_nll")
    assert len(nll) == EPOCHS


@QUIET
def test_an_export_that_was_cut_off_is_finished_by_the_next(tmp_path: Path, store: str) -> None:
    import mlflow

    project = invent(tmp_path / "project")
    refused = mlflow.exceptions.MlflowException("the disk is full")
    with (
        mock.patch.object(mlflow.MlflowClient, "log_artifact", side_effect=refused),
        pytest.raises(PlatformError, match="the disk is full"),
    ):
        project.export("mlflow", store)
    assert project.export("mlflow", store) == 3
    client, runs = logged(store)
    assert sorted(name.partition("-")[0] for name in runs) == ["ensemble", "first", "second"]
    nll = client.get_metric_history(runs["first"].info.run_id, "fold-0/valid_nll")
    assert len(nll) == EPOCHS


@QUIET
def test_the_command_prints_a_table_and_where_it_went(project: Project, store: str) -> None:
    done = run(project.layout.root, "export", "mlflow", "--to", store)
    assert done.returncode == 0, done.stderr
    assert "first" in done.stdout and "sent" in done.stdout
    assert store in "".join(done.stderr.split())


def test_the_hash_of_a_long_configuration_is_whole_in_its_file(project: Project) -> None:
    """Values are cut for the tracker; what was cut is in run.json beside them."""
    for one in gather(project.layout):
        if one.kind == "run":
            (path,) = [path for path, _ in one.files if path.name == "run.json"]
            assert json.loads(path.read_text())["config"]["backbone"] == one.params["backbone"]


def test_numbers_that_are_not_finite_are_left_out() -> None:
    from kit.stages.export import _numbers

    epoch = Epoch(0, "all", 0, 0.1, float("inf"), {"nll": 0.7}, {"nll": float("nan"), "accuracy": 0.5})
    assert _numbers(epoch) == {"lr": 0.1, "inner_nll": 0.7, "valid_accuracy": 0.5}
