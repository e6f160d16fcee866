"""Training from the outside: what is done is kept, what is missing is done, a kill changes nothing."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kit.base.events import Event
from kit.errors import KitError, StageError, TrainingError
from kit.project import Project
from kit.runs.results import RunRecord
from kit.store.candidate import Ensemble
from kit.store.locks import lock
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.tf

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 2
[runs.a]
backbone = "plain-cnn"
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = 4, lr = 5e-3 }]
views = ["identity", "flip-lr"]
batch_size = 8
label_smoothing = 0.05
class_weights = "balanced"
"""


def write_data(folder: Path) -> None:
    """Two kinds of 16 px pictures that a network can tell apart, one kind rarer."""
    rng = np.random.default_rng(0)
    labels = (np.arange(120) % 3 == 0).astype(np.int64)
    images = rng.integers(0, 120, (120, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 100
    np.savez(folder / "small.npz", images=images, labels=labels)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "kit.toml").write_text(CONFIG)
    write_data(folder)
    Project(folder).train()
    return folder


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "runs").glob("a-*")
    return found


def test_every_row_is_predicted_once_and_better_than_by_chance(trained: Path) -> None:
    with (trained / "data" / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    oof = load_predictions(run_folder(trained) / "oof.npz")
    assert oof.ids.tolist() == [row["id"] for row in rows]
    assert oof.views == ("identity", "flip-lr")
    labels = np.array([int(row["label"]) for row in rows])
    assert (oof.logits[0].argmax(axis=1) == labels).mean() > 0.8


def test_a_done_fold_is_fresh_and_a_deleted_one_is_trained_alone_to_the_same_bytes(trained: Path) -> None:
    run = run_folder(trained)
    kept = (run / "fold-0" / "valid.npz").stat().st_mtime_ns
    oof = (run / "oof.npz").read_bytes()
    heard: list[Event] = []
    Project(trained, emit=heard.append).train()
    assert [event.data["stage"] for event in heard if event.kind == "fresh"] == ["clean", "folds", "train"]
    for path in (run / "fold-1").iterdir():
        path.unlink()
    heard.clear()
    Project(trained, emit=heard.append).train()
    assert {event.text for event in heard if event.kind == "unit"} == {"a fold 1"}
    assert (run / "fold-0" / "valid.npz").stat().st_mtime_ns == kept
    assert (run / "oof.npz").read_bytes() == oof


def test_a_killed_run_continues_to_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(CONFIG)
    write_data(tmp_path)
    command = [sys.executable, "-m", "kit", "train"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("runs/*/fold-0/checkpoint-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("runs/*/oof.npz"))
    heard: list[Event] = []
    Project(tmp_path, emit=heard.append).train()
    epochs = [event for event in heard if event.kind == "unit" and event.data["event"] == "epoch"]
    assert len(epochs) <= 2 * 4 - 1 + 1  # at most one epoch is repeated
    for name in ("oof.npz", "fold-0/valid.npz", "fold-0/weights.npz", "fold-0/history.csv", "fold-1/weights.npz"):
        assert (run_folder(tmp_path) / name).read_bytes() == (run_folder(trained) / name).read_bytes()
    assert not list(tmp_path.rglob("checkpoint-*"))


LONG = CONFIG.replace("epochs = 4", "epochs = 40")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`kit train` of a longer run in a group of its own, when the first fold has a checkpoint."""
    (folder / "kit.toml").write_text(LONG)
    write_data(folder)
    command = [sys.executable, "-m", "kit", "train", *arguments]
    # Tests that run in the background are deaf to Ctrl-C, and what they start would be too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 300
    while not list(folder.glob("runs/*/fold-0/checkpoint-*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_ctrl_c_saves_what_runs_and_ends_with_130(trained: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "--fold", "0")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 130
    assert list(tmp_path.glob("runs/*/fold-0/checkpoint-*.npz"))
    Project(tmp_path).train(fold=0)
    logs = [next(folder.glob("runs/a-*/fold-0/log.jsonl")) for folder in (tmp_path, trained)]
    assert [json.loads(log.read_text().splitlines()[-1])["resumed"] for log in logs] == [True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes under /proc")
def test_a_fold_that_the_system_kills_for_memory_is_named_and_the_others_finish(tmp_path: Path) -> None:
    process = start(tmp_path)
    for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == 1
    assert "error: a fold 0 was killed, most likely for want of memory" in said
    assert "hint: [train] workers = 1" in said
    assert list(tmp_path.glob("runs/*/fold-1/valid.npz"))
    assert not list(tmp_path.glob("runs/*/fold-0/valid.npz"))


def test_folds_side_by_side_give_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(CONFIG + "[train]\nworkers = 2\n")
    write_data(tmp_path)
    Project(tmp_path).train()
    for name in ("oof.npz", "curves.svg", "confusion.svg", "fold-0/weights.npz", "fold-1/weights.npz"):
        assert (run_folder(tmp_path) / name).read_bytes() == (run_folder(trained) / name).read_bytes()


def test_a_changed_configuration_is_another_folder(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(CONFIG.replace("epochs = 4", "epochs = 5"))
    write_data(tmp_path)
    project = Project(tmp_path)
    project.folds()
    from kit.runs.spec import plan_runs

    (specs,) = plan_runs(project.layout, project.config, ()).values()
    assert specs[0].run_paths.root.name != run_folder(trained).name


def test_two_trainings_of_one_run_are_refused(trained: Path) -> None:
    with (
        lock(run_folder(trained) / ".lock", "it"),
        pytest.raises(StageError, match="another process is working on run"),
    ):
        Project(trained).train()


def test_the_manifest_says_what_was_trained_with_what(trained: Path) -> None:
    record = RunRecord.load(run_folder(trained) / "run.json")
    assert record.config.backbone == "plain-cnn"
    assert {"tensorflow", "keras", "keras-cv", "numpy", "python"} <= set(record.versions)
    log = [json.loads(line) for line in (run_folder(trained) / "fold-0" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["event"] == "done"


def test_weights_without_network_are_one_error_with_a_hint(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    folder = make_project(
        '[data]\ntrain = "digits"\nimage_size = 32\n[folds]\nn = 2\n[runs.m]\nbackbone = "mobilenetv2"\n'
        'weights = "imagenet"\nstages = [{ train = "head", epochs = 1 }]\n'
    )
    with pytest.raises(TrainingError, match="ImageNet weights of mobilenetv2 cannot be downloaded") as caught:
        Project(folder).train()
    assert "weights = " in caught.value.hint
    assert (folder / "folds" / "folds.csv").exists()


def test_a_head_on_cached_features_then_the_last_block(tmp_path: Path) -> None:
    weights = tmp_path / "w.weights.h5"
    script = (
        "import sys, keras\nkeras.utils.set_random_seed(0)\n"
        "keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None)"
        ".save_weights(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(weights)], check=True, capture_output=True)
    (tmp_path / "kit.toml").write_text(
        '[data]\ntrain = "digits"\nimage_size = 32\n[folds]\nn = 2\n[runs.m]\nbackbone = "mobilenetv2"\n'
        'weights = "w.weights.h5"\naugment = [{ op = "flip" }, { op = "cutmix" }]\nviews = ["identity"]\n'
        'stages = [{ train = "head", epochs = 2, early_stopping = 2 }, '
        '{ train = "head", epochs = 1, lr = 1e-4, cached_views = 2 }, '
        '{ train = "last-block", epochs = 1 }, { train = "head", epochs = 1, cached_views = 3 }]\n'
    )
    project = Project(tmp_path)
    project.train(fold=0)
    features = sorted(path.name for path in (tmp_path / "runs" / "features").rglob("*.npy"))
    assert features == ["augmented-1.npy", "clean.npy"]
    (valid,) = tmp_path.glob("runs/m-*/fold-0/valid.npz")
    assert load_predictions(valid).logits.shape[2] == 10


def test_every_ingredient_of_a_stage_goes_through_a_kill_and_into_the_bundles_weights(tmp_path: Path) -> None:
    text = """
[data]
train = "small.npz"
[folds]
n = 2
[runs.a]
backbone = "plain-cnn"
options = { dropout = 0.1, l2 = 1e-4 }
preprocess = [{ op = "clahe", tiles = 2 }, { op = "resize", size = 20 }]
head = { batch_norm = ["features"], units = [8], dropout = [0.0, 0.1] }
augment = [{ op = "dihedral" }, { op = "noise" }]
validate_augment = [{ op = "noise", deviation = 40 }]
loss = "focal"
sampling = "over"
views = ["identity"]
batch_size = 16
stages = [
  { train = "all", epochs = 2, ema = 0.8, clip_norm = 1.0, early_stopping = { metric = "calibrated_nll" } },
  { train = "last-block", epochs = 2, lr = 1e-3, optimizer = "lion", schedule = { kind = "plateau", patience = 1 } },
]
"""
    folders = [tmp_path / name for name in ("whole", "stopped")]
    for folder in folders:
        folder.mkdir()
        (folder / "kit.toml").write_text(text)
        write_data(folder)
    whole, stopped = folders
    heard: list[Event] = []
    Project(whole, emit=heard.append).train(fold=0)
    Project(whole, emit=heard.append).train(fold=1)
    numbers = {event.text: event.data["value"] for event in heard if event.kind == "number"}
    assert set(numbers) == {"a: accuracy out of fold", "a: accuracy out of fold, augmented rows"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kit", "train", "--fold", "0"], cwd=stopped, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list(stopped.glob("runs/*/fold-0/checkpoint-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert list(stopped.glob("runs/*/fold-0/checkpoint-*.npz"))
    heard.clear()
    Project(stopped, emit=heard.append).train()
    assert "resumed" in [event.data["event"] for event in heard if event.kind == "unit"]
    for name in ("oof.npz", "fold-0/weights.npz", "fold-0/history.csv", "fold-0/valid-augmented.npz"):
        assert (run_folder(stopped) / name).read_bytes() == (run_folder(whole) / name).read_bytes()


def test_a_failing_unit_is_named_and_the_others_finish(make_project: Callable[..., Path]) -> None:
    folder = make_project(CONFIG + '[runs.b]\nextends = "a"\nstages = [{ train = "all", epochs = 1, lr = 1e18 }]\n')
    write_data(folder)
    with pytest.raises(KitError, match="the loss of run `b` fold 0 became") as caught:
        Project(folder).train(fold=0)
    assert "smaller lr" in caught.value.hint
    assert list(folder.glob("runs/a-*/fold-0/valid.npz"))


@pytest.mark.parametrize(
    ("split", "units", "rows"),
    [("n = 2\nrepeats = 2", 4, 120), ('n = 3\nmethod = "hold-out"', 1, 40)],
    ids=["repeated", "hold-out"],
)
def test_repeats_and_a_hold_out_go_all_the_way_to_the_blend(
    make_project: Callable[..., Path], split: str, units: int, rows: int
) -> None:
    folder = make_project(CONFIG.replace("n = 2", split).replace("epochs = 4", "epochs = 1"))
    write_data(folder)
    project = Project(folder)
    paths = project.ensemble(all=True)
    assert len(list(folder.glob("runs/a-*/fold-*/valid.npz"))) == units
    record = Ensemble.load(paths.ensemble)
    assert record.members[0].folds == units
    assert abs(record.rows - rows) <= 2
