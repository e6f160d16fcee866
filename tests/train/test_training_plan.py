"""A long training is measured before it begins; later ones know how fast the run was; pictures stand beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stub import InProcess

from kit.base.events import Event, silent
from kit.config import load
from kit.errors import StageError
from kit.project import Project
from kit.runs.results import load_oof, load_test
from kit.runs.spec import plan_runs
from kit.runs.units import Unit
from kit.stages.clean.clean import clean
from kit.stages.folds import make_folds
from kit.stages.train.plan import WORTH_MEASURING, plan_run, timings
from kit.stages.train.train import train
from kit.store.data import load_index, unlabelled_record
from kit.store.layout import Layout
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 2
[train]
tensorboard = true
[runs.long]
backbone = "plain-cnn"
views = ["identity"]
batch_size = 4
stages = [{ train = "all", epochs = 3, lr = 0.5 }, { train = "last-block", epochs = 47, early_stopping = 45 }]
[runs.short]
extends = "long"
stages = [{ train = "all", epochs = 2, lr = 0.5 }]
"""
ROWS = 90


@pytest.fixture
def layout(make_project: Callable[..., Path]) -> Layout:
    made = make_project(CONFIG)
    rng = np.random.default_rng(0)
    labels = (np.arange(ROWS) % 3 == 0).astype(np.int64)
    images = rng.integers(0, 120, (ROWS, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 60
    np.savez(made / "small.npz", images=images, labels=labels)
    Project(made).folds()
    return Layout(made)


def trained(layout: Layout, **keys: Any) -> list[Event]:
    heard: list[Event] = []
    train(layout, load(layout.config), heard.append, launch=InProcess(), **keys)
    return heard


def the_plan(heard: list[Event]) -> dict[str, Any]:
    (event,) = [event for event in heard if event.kind == "plan"]
    return event.data


def test_only_a_long_run_is_measured_and_a_plan_needs_all_of_its_runs_measured(layout: Layout) -> None:
    folds = plan_runs(layout, load(layout.config), ["long", "short"])
    long, short = (plan_run(folds[name]) for name in ("long", "short"))
    assert (long.steps, short.steps) == (10, 11)  # of 45 rows the long one holds 4 back, for early stopping
    assert 2 * 50 * long.steps >= WORTH_MEASURING > 2 * 2 * short.steps
    assert (long.worth_measuring, short.worth_measuring) == (True, False)
    heard = trained(layout)
    assert [event.text for event in heard if event.data.get("event") == "measured"] == ["long measure"]
    plan = the_plan(heard)
    assert not plan["measured"] and plan["rows"] == []
    assert plan["units"]["short fold 1"] == {"epochs": [2], "seconds": [11.0], "around": 0.0}
    assert plan["epochs"] == {"long fold 0": 50, "long fold 1": 50, "short fold 0": 2, "short fold 1": 2}


def test_the_plan_comes_before_the_first_step_and_adds_up(layout: Layout) -> None:
    heard = trained(layout, runs=["long"])
    kinds = [event.data.get("event", event.kind) for event in heard]
    assert kinds.index("measured") < kinds.index("plan") < kinds.index("step")
    plan = the_plan(heard)
    assert plan["measured"]
    ((run, folds, epochs, steps, step, fold, whole),) = plan["rows"]
    assert (run, folds, epochs, steps) == ("long", 2, 50, 10)
    unit = plan["units"]["long fold 0"]
    assert fold == pytest.approx(unit["around"] + np.dot(unit["epochs"], unit["seconds"]))
    assert whole == pytest.approx(2 * fold)
    assert 0 < 50 * 10 * step < fold


def test_a_fold_that_is_missing_later_is_planned_from_those_that_are_done(layout: Layout) -> None:
    trained(layout, runs=["short"])
    folds = plan_runs(layout, load(layout.config), ["short"])["short"]
    folds[1].paths.valid.unlink()
    heard = trained(layout, runs=["short"])
    assert not [event for event in heard if event.data.get("event") == "measured"]
    assert the_plan(heard)["measured"]
    (line,) = map(json.loads, folds[0].paths.log.read_text().splitlines())
    assert line["resumed"] is False
    with folds[1].paths.log.open("a") as file:
        file.write('{"event": "done", "stages": {"0": {"st')  # killed while it wrote
    again = [json.loads(line) for line in folds[1].paths.log.read_text().splitlines()[:-1]]
    assert timings(folds[0])[0] == {"around": again[-1]["around"], **again[-1]["stages"]["0"]}


def test_while_folds_train_the_data_stay_and_afterwards_they_can_be_cleaned_anew(layout: Layout) -> None:
    config, refused = load(layout.config), []

    class Launch(InProcess):
        def __call__(self, unit: Unit, emit: Any) -> None:
            with pytest.raises(StageError, match="is working on data/") as caught:
                clean(layout, config, silent, force=True)
            refused.append(caught.value.hint)
            super().__call__(unit, emit)

    before = layout.data_manifest.read_bytes()
    train(layout, config, silent, runs=["short"], launch=Launch(), pictures=False)
    assert refused == ["wait for it to end, then run the same command"] * 2
    clean(layout, config, silent, force=True)
    assert layout.data_manifest.read_bytes() == before


def test_other_names_of_the_classes_train_nothing_and_are_in_the_joined_predictions(layout: Layout) -> None:
    trained(layout, runs=["short"])
    specs = plan_runs(layout, load(layout.config), ["short"])["short"]
    (layout.root / "names.txt").write_text("round\nlong\n")
    layout.config.write_text(CONFIG.replace("[folds]", 'classes = "names.txt"\n[folds]'))
    config = load(layout.config)
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    before = load_predictions(specs[0].run_paths.oof)
    assert not [event for event in trained(layout, runs=["short"]) if event.kind == "unit"]
    after = load_oof(plan_runs(layout, config, ["short"])["short"], load_index(layout))
    assert (before.classes, after.classes) == (("0", "1"), ("round", "long"))
    assert (after.logits == before.logits).all()


def test_test_images_that_come_later_are_predicted_by_the_folds_that_are_there(layout: Layout) -> None:
    trained(layout, runs=["short"])
    folds = plan_runs(layout, load(layout.config), ["short"])["short"]
    kept = folds[0].paths.record.read_bytes()
    layout.config.write_text(CONFIG.replace("[folds]", 'test = "test.npz"\n[folds]'))
    config, rng = load(layout.config), np.random.default_rng(1)
    for n in (7, 9):
        np.savez(layout.root / "test.npz", images=rng.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8))
        clean(layout, config, silent)
        heard = trained(layout, runs=["short"])
        assert {event.data["kind"] for event in heard if event.kind == "unit"} <= {"test"}
        found = load_test(folds, load_index(layout), unlabelled_record(layout, "test"))
        assert len(found.ids) == n and found.classes == ("0", "1")
        mean = np.mean([load_predictions(spec.paths.test).first for spec in folds], axis=0)
        np.testing.assert_allclose(found.first, mean, atol=1e-6)
    assert folds[0].paths.record.read_bytes() == kept


def test_curves_of_all_folds_and_the_confusion_stand_beside_the_run(layout: Layout) -> None:
    heard = trained(layout, runs=["short"])
    paths = plan_runs(layout, load(layout.config), ["short"])["short"][0].run_paths
    wrote = [path for event in heard if event.kind == "wrote" for path in event.data["paths"]]
    assert wrote == [paths.curves, paths.confusion]
    before = [path.read_bytes() for path in wrote]
    assert all(data.startswith(b"<svg ") for data in before)
    for gone in wrote:
        gone.unlink()
        trained(layout, runs=["short"])
        assert [path.read_bytes() for path in wrote] == before


def test_curves_for_tensorboard_are_written_only_where_asked(layout: Layout) -> None:
    trained(layout, runs=["short"])
    assert len(list(layout.runs.glob("short-*/fold-*/tensorboard/events.out.tfevents.*"))) == 2
    layout.config.write_text(
        CONFIG.replace("tensorboard = true", "tensorboard = false").replace("lr = 0.5", "lr = 0.4")
    )
    trained(layout, runs=["short"])
    assert len(list(layout.runs.glob("short-*/fold-*/tensorboard/*"))) == 2
