"""Epochs and rates are chosen by inner rows: whole groups of the training rows, and nothing of the held-out fold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stub import StubTrainer

from kit.config import load
from kit.errors import TrainingError
from kit.judge.score import score
from kit.project import Project
from kit.runs.results import Epoch, kept
from kit.runs.spec import FoldSpec, plan_runs
from kit.runtime.forward import softmax
from kit.stages.train.checkpoint import Interrupt
from kit.stages.train.fold import hold_back, load_fold_data, train_fold
from kit.stages.train.steering import count_falls
from kit.store.files import read_csv
from kit.store.layout import Layout
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage

EPOCHS = 12
CONFIG = """
[data]
train = "noise.npz"
[folds]
n = 2
[runs.a]
backbone = "two-conv-cnn"
views = ["identity"]
batch_size = 16
stages = [{{ train = "all", epochs = 12, lr = {lr}, schedule = "constant", {choice} }}]
"""
CHOICES = {
    "best": 'early_stopping = { metric = "accuracy", patience = 12 }',
    "threshold": "early_stopping = { patience = 12, min_delta = 0.02 }",
    "plateau": "schedule = { kind = 'plateau', metric = 'accuracy', patience = 1, decay = 0.5 }",
}


def project(folder: Path, choice: str, lr: float = 0.5) -> Path:
    """Noise of many colours with labels that mean nothing, cleaned and split."""
    choice, constant = CHOICES[choice], 'schedule = "constant", '
    text = CONFIG.format(lr=lr, choice=choice)
    (folder / "kit.toml").write_text(text.replace(constant, "") if "schedule" in choice else text)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 120, (160, 16, 16, 3)) + rng.integers(0, 136, (160, 1, 1, 3))
    write(folder, images.astype(np.uint8), rng.permutation(np.arange(160) % 2))
    return folder


def write(folder: Path, images: Any, labels: Any) -> None:
    np.savez(folder / "noise.npz", images=images, labels=labels)
    Project(folder, emit=lambda event: None).folds()


def first_fold(folder: Path) -> FoldSpec:
    layout = Layout(folder)
    return plan_runs(layout, load(layout.config), ["a"])["a"][0]


def network_trainer() -> Any:
    from kit.stages.train.trainer import NetworkTrainer

    return NetworkTrainer


def decided(choice: str, values: list[float]) -> list[int]:
    """The best epoch, or how often the rate had fallen before each."""
    if choice == "best":
        return [values.index(max(values))]
    return [count_falls(values[:epoch], True, 1) for epoch in range(EPOCHS)]


def column(spec: FoldSpec, name: str) -> list[float]:
    return [float(line[name]) for line in read_csv(spec.paths.history)]


@pytest.mark.parametrize("choice", ["best", "plateau"])
@pytest.mark.parametrize(
    ("make", "lr"),
    [pytest.param(lambda: StubTrainer, 0.5, id="stub"), pytest.param(network_trainer, 2e-3, marks=pytest.mark.tf)],
)
def test_labels_of_held_out_rows_do_not_reach_the_weights(
    tmp_path: Path, make: Callable[[], Any], lr: float, choice: str
) -> None:
    folder, found = project(tmp_path, choice, lr), []
    with np.load(folder / "noise.npz") as file:
        images, labels = file["images"], file["labels"]
    for turn in range(2):
        spec = first_fold(folder)
        train_fold(spec, make(), lambda line: None, Interrupt())
        found.append((spec, spec.paths.weights.read_bytes()))
        if turn == 0:
            rows = load_fold_data(spec).valid_rows
            labels[rows] = 1 - labels[rows]  # a permutation: there are as many of both
            write(folder, images, labels)
    (before, weights), (after, same) = found
    assert before.key != after.key
    assert weights == same
    assert column(before, "inner_accuracy") == column(after, "inner_accuracy")
    # The held-out fold would have chosen otherwise each time.
    assert decided(choice, column(before, "valid_accuracy")) != decided(choice, column(after, "valid_accuracy"))


@pytest.mark.parametrize("choice", ["best", "threshold"])
def test_the_epoch_that_the_picture_marks_is_the_one_whose_weights_were_kept(tmp_path: Path, choice: str) -> None:
    spec = first_fold(project(tmp_path, choice))
    train_fold(spec, StubTrainer, lambda line: None, Interrupt())
    (place,) = kept([Epoch.of_columns(line) for line in read_csv(spec.paths.history)], spec.settings)
    valid = load_predictions(spec.paths.valid)
    y = load_fold_data(spec).labels[load_fold_data(spec).valid_rows]
    nll = column(spec, "valid_nll")
    assert nll[place] == score("nll", y, softmax(valid.logits[0].astype(np.float64)))
    assert nll.count(nll[place]) == 1 and place < EPOCHS - 1


@given(st.lists(st.integers(0, 3), min_size=30, max_size=120), st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 99))
def test_groups_of_one_row_are_held_back_in_their_classes_shares(
    classes: list[int], fraction: float, seed: int
) -> None:
    labels = np.array([*classes, 0, 0, 1, 1])
    rows = np.arange(len(labels))
    inner = hold_back(labels, rows.astype(str), rows, fraction, np.random.default_rng(seed))
    held, totals = (np.bincount(labels[found], minlength=4) for found in (inner, rows))
    shares = [min(fraction * 2**n, 0.5) for n in range(4)]  # doubled where only one class has a share of a row
    assert any((np.abs(held - share * totals) <= 1).all() for share in shares[: 1 if min(totals[:2]) > 9 else 4])
    assert np.array_equal(inner, hold_back(labels, rows.astype(str), rows, fraction, np.random.default_rng(seed)))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), min_size=1, max_size=80),
    st.floats(0.01, 0.5),
    st.integers(0, 99),
)
def test_groups_stay_whole_and_every_class_keeps_a_row(
    pairs: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    labels, groups = np.array([label for label, _ in pairs]), np.array([str(group) for _, group in pairs])
    rows = np.flatnonzero(np.arange(len(pairs)) % 4)  # the others are held out
    inner = hold_back(labels, groups, rows, fraction, np.random.default_rng(seed))
    left = np.setdiff1d(rows, inner)
    assert set(inner) <= set(rows)
    assert not set(groups[inner]) & set(groups[left])
    assert set(labels[left]) == set(labels[rows])
    assert len(inner) == 0 or len(set(labels[inner])) > 1


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_many_small_classes_and_few_large_groups_are_watched_too(share: float) -> None:
    rng, rows = np.random.default_rng(0), np.arange(800)
    small = hold_back(rows % 200, rows.astype(str), rows, share, rng)
    assert len(small) == round(800 * share) == len(np.unique(small % 200))
    patients = (rows // 200).astype(str)
    assert len(hold_back(rows % 2, patients, rows, share, rng)) == 200


def test_a_run_that_chooses_nothing_trains_on_every_row(tmp_path: Path) -> None:
    folder = project(tmp_path, "best")
    assert len(load_fold_data(first_fold(folder)).inner_rows) == 8
    text = (folder / "kit.toml").read_text()
    (folder / "kit.toml").write_text(text.replace(f", {CHOICES['best']}", ""))
    data = load_fold_data(first_fold(folder))
    assert len(data.inner_rows) == 0
    assert np.array_equal(np.sort(np.r_[data.train_rows, data.valid_rows]), np.arange(160))


def test_groups_that_leave_nothing_to_watch_are_an_error_that_says_what_to_remove(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    rng, lines = np.random.default_rng(0), ["file,label,patient"]
    from PIL import Image

    for row in range(40):  # a patient of each class in each fold
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"noise/{row}.png")
        lines.append(f"noise/{row}.png,{row % 2},p{row % 4}")
    (tmp_path / "noise.csv").write_text("\n".join(lines) + "\n")
    text = CONFIG.format(lr=0.5, choice=CHOICES["best"]).replace("noise.npz", "noise.csv")
    text = text.replace("[folds]", 'group = "patient"\nimage_size = 16\n[folds]')
    (tmp_path / "kit.toml").write_text(text)
    Project(tmp_path, emit=lambda event: None).folds()
    with pytest.raises(TrainingError, match="run `a` fold 0 has too few training rows, or groups") as caught:
        load_fold_data(first_fold(tmp_path))
    assert caught.value.hint == "remove `early_stopping` and the schedule `plateau` from runs.a"
    (tmp_path / "kit.toml").write_text(text.replace(f", {CHOICES['best']}", ""))
    load_fold_data(first_fold(tmp_path))


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.timeout(7200)
def test_random_labels_are_chance_out_of_fold(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "random_labels.py"
    done = subprocess.run([sys.executable, script, tmp_path, "--seeds", "4"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
