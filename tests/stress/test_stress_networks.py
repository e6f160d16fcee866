"""Stress with real networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from by_hand import CONFIG
from in_process import InProcess

from kit.base.events import Event
from kit.errors import StageError, TrainingError
from kit.images.corrupt.plan import CLEAN, assign, plan_of
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.runs.units.networks import fold_predictor
from kit.store.candidate import Ensemble
from kit.store.data import load_index
from kit.store.predictions import load_predictions
from kit.store.record import digest

pytestmark = [
    pytest.mark.tf,
    pytest.mark.usefixtures("here"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SMALL = CONFIG.replace("n = 3", "n = 2") + 'batch_size = 8\nstages = [{ train = "all", epochs = 1 }]\n'


@pytest.fixture(scope="module")
def project(here: InProcess, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("networks")
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 2
    images = rng.integers(0, 120, (48, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 100
    np.savez(folder / "small.npz", images=images, labels=labels)
    (folder / "kit.toml").write_text(SMALL)
    made = Project(folder)
    made.stress(all=True)
    return made


def test_rows_that_stay_clean_are_predicted_as_training_predicted_them(project: Project) -> None:
    (run,) = project.layout.runs.glob("a-*")
    oof, hurt = load_predictions(run / "oof.npz"), load_predictions(run / "stress.npz")
    plan = plan_of(project.config.stress)
    same = assign(plan, oof.ids, plan.seed).family == CLEAN
    np.testing.assert_allclose(hurt.logits[:, same], oof.logits[:, same], atol=1e-4)
    assert not np.allclose(hurt.logits[:, ~same], oof.logits[:, ~same], atol=1e-2)


def test_forced_the_bytes_are_the_same_and_the_ensemble_needs_nothing_more(project: Project) -> None:
    (run,) = project.layout.runs.glob("a-*")
    names = ("stress.npz", "stress-grid.npz", "stress.csv", "stress.svg", "stress.json", "fold-1/stress.npz")
    before = {name: (run / name).read_bytes() for name in names}
    project.stress(force=True)
    assert {name: (run / name).read_bytes() for name in names} == before
    heard: list[Event] = []
    listening = Project(project.layout.root, emit=heard.append)
    paths = listening.ensemble()
    assert not [event for event in heard if event.kind == "unit"]
    stressed = Ensemble.load(paths.ensemble).stressed
    nested = load_predictions(paths.stressed_predictions)
    labels = load_index(listening.layout).labels
    assert stressed is not None and stressed.score == pytest.approx((nested.logits[0].argmax(1) == labels).mean())
    (table,) = [event for event in heard if event.text == "ensemble"]
    assert "stressed" in table.data["header"]


def test_weights_that_cannot_be_read_are_named(project: Project) -> None:
    (run,) = project.layout.runs.glob("a-*")
    path = Path(run / "fold-0" / "weights.npz")
    kept = path.read_bytes()
    path.write_bytes(b"broken")
    with pytest.raises(StageError, match=r"fold-0/weights\.npz was changed after the kit wrote it") as caught:
        project.stress(force=True)
    assert caught.value.hint == "kit train a --fold 0 --force"
    spec = plan_runs(project.layout, project.config, ["a"])["a"][0]
    for expected in (digest(path), "0" * 64):
        with pytest.raises(TrainingError, match="weights of run `a` fold 0 cannot be used"):
            fold_predictor(spec, expected)
    path.write_bytes(kept)
    project.stress()
