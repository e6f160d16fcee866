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
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import in_this_process, networks

from kit.base.events import Event
from kit.errors import KitError, StageError, TrainingError
from kit.project import Project
from kit.runs.results import RunRecord
from kit.runs.spec import plan_runs
from kit.runs.units.forks import FORKS
from kit.stages.train.checkpoint import Checkpoint, Interrupt, Interrupted
from kit.store.candidate import Ensemble
from kit.store.files import lock
from kit.store.predictions import load_predictions

# Keras with NumPy 2 says so of its own conversion of variables.
pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

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
    """Its two folds were trained side by side, in processes."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "kit.toml").write_text(CONFIG + "[train]\nworkers = 2\n")
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


def test_a_done_fold_is_fresh_and_a_deleted_one_is_trained_alone_to_the_bytes_it_had_beside_another(
    trained: Path,
) -> None:
    run = run_folder(trained)
    kept = (run / "fold-0" / "valid.npz").stat().st_mtime_ns
    names = ("oof.npz", "curves.svg", "confusion.svg", "fold-1/weights.npz", "fold-1/valid.npz")
    beside = {name: (run / name).read_bytes() for name in names}
    heard: list[Event] = []
    Project(trained, emit=heard.append).train()
    assert [event.data["stage"] for event in heard if event.kind == "fresh"] == ["clean", "folds", "train"]
    for path in (run / "fold-1").iterdir():
        path.unlink()
    heard.clear()
    Project(trained, emit=heard.append).train()
    assert {event.text for event in heard if event.kind == "unit"} == {"a fold 1"}
    assert (run / "fold-0" / "valid.npz").stat().st_mtime_ns == kept
    assert {name: (run / name).read_bytes() for name in names} == beside


LONG = CONFIG.replace("epochs = 4", "epochs = 40")


def start(folder: Path, text: str, *arguments: str) -> subprocess.Popen[str]:
    """`kit train` in a group of its own."""
    (folder / "kit.toml").write_text(text)
    write_data(folder)
    command = [sys.executable, "-m", "kit", "train", *arguments]
    # Tests that run in the background are deaf to Ctrl-C, and what they start would be too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    return process


def wait_until(found: Callable[[], list[Any]]) -> list[Any]:
    deadline = time.monotonic() + 300
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found()


@pytest.mark.parametrize("to_all", [True, False], ids=["SIGINT to all", "SIGTERM to one"])
def test_a_signal_saves_what_runs_and_ends_with_its_code(tmp_path: Path, to_all: bool) -> None:
    process = start(tmp_path, LONG, "--fold", "0")
    wait_until(lambda: list(tmp_path.glob("runs/*/fold-0/checkpoint-*.npz")))
    if to_all:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends Ctrl-C
    else:
        process.terminate()
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == (130 if to_all else 143)
    project = Project(tmp_path)
    spec = plan_runs(project.layout, project.config, ())["a"][0]
    assert Checkpoint(spec.paths, spec.key).resumed and not spec.paths.valid.exists()


def descendants(process: int) -> list[int]:
    """Processes that a process started, and those that they did."""
    found: list[int] = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *descendants(child)]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes under /proc")
def test_a_fold_that_the_system_kills_for_memory_is_named_and_the_others_finish(tmp_path: Path) -> None:
    process = start(tmp_path, LONG)
    wait_until(lambda: list(tmp_path.glob("runs/*/fold-0/checkpoint-*.npz")))
    # The fold, with those that started it and wait for it: the next fold does without them.
    for below in descendants(process.pid):
        os.kill(below, signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == 1
    assert "error: a fold 0 was killed, most likely because memory ran out" in said
    assert "hint: [train] workers = 1" in said
    assert list(tmp_path.glob("runs/*/fold-1/valid.npz"))
    assert not list(tmp_path.glob("runs/*/fold-0/valid.npz"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes under /proc")
def test_new_processes_write_the_bytes_of_forks(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a graphics card units are new processes; TensorFlow finds none of that number, and takes the processor.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    FORKS.end()
    (tmp_path / "kit.toml").write_text(CONFIG)
    write_data(tmp_path)
    Project(tmp_path).train(fold=0)
    assert not descendants(os.getpid())
    for name in ("weights.npz", "valid.npz"):
        assert (run_folder(tmp_path) / "fold-0" / name).read_bytes() == (
            run_folder(trained) / "fold-0" / name
        ).read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes under /proc")
def test_a_process_that_cannot_be_forked_any_more_is_replaced(tmp_path: Path) -> None:
    ended = []
    for _ in range(2):
        with (tmp_path / "stderr.txt").open("w") as errors:
            unit = FORKS(["kit.stages.train.worker", "fold", str(tmp_path / "none.json")], errors.fileno(), os.environ)
        assert unit is not None
        with unit:
            unit.stdout.read()
        ended.append(unit.returncode)
        for warm in descendants(os.getpid()):
            os.kill(warm, signal.SIGKILL)
    assert ended == [1, 1]


def test_a_changed_configuration_is_another_folder(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(CONFIG.replace("epochs = 4", "epochs = 5"))
    write_data(tmp_path)
    project = Project(tmp_path)
    project.folds()
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


@pytest.mark.filterwarnings("ignore:.input_shape. is undefined:UserWarning")
def test_weights_without_network_are_one_error_with_a_hint(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    folder = make_project(
        '[data]\ntrain = "small.npz"\nimage_size = 32\n[folds]\nn = 2\n[runs.m]\nbackbone = "mobilenetv2"\n'
        'weights = "imagenet"\nstages = [{ train = "head", epochs = 1 }]\n'
    )
    write_data(folder)
    missing = pytest.raises(TrainingError, match="ImageNet weights of mobilenetv2 cannot be downloaded")
    with in_this_process(), missing as caught:
        Project(folder).train()
    assert "weights = " in caught.value.hint
    assert (folder / "folds" / "folds.csv").exists()


def test_a_head_on_cached_features_then_the_last_block(tmp_path: Path) -> None:
    from kit.runtime.backbones import build

    untrained = build({"backbone": "plain-cnn", "size": 16, "classes": 2, "head": {}}).backbone
    untrained.save_weights(tmp_path / "w.weights.h5")
    write_data(tmp_path)
    (tmp_path / "kit.toml").write_text(
        '[data]\ntrain = "small.npz"\n[folds]\nn = 2\n[runs.m]\nbackbone = "plain-cnn"\n'
        'weights = "w.weights.h5"\naugment = [{ op = "flip" }, { op = "cutmix" }]\nviews = ["identity"]\n'
        'stages = [{ train = "head", epochs = 2, early_stopping = 2 }, '
        '{ train = "head", epochs = 1, lr = 1e-4, cached_views = 2 }, '
        '{ train = "last-block", epochs = 1 }, { train = "head", epochs = 1, cached_views = 3 }]\n'
    )
    with in_this_process():
        Project(tmp_path).train(fold=0)
    features = sorted(path.name for path in (tmp_path / "runs" / "features").rglob("*.npy"))
    assert features == ["augmented-1.npy", "clean.npy"]
    (valid,) = tmp_path.glob("runs/m-*/fold-0/valid.npz")
    assert load_predictions(valid).logits.shape == (1, 60, 2)


def ended_at(*place: int) -> Callable[..., None]:
    """What a process does that is asked to end in a stage, an epoch and a step of it."""

    def work(kind: str, path: Path, report: Callable[[dict[str, Any]], None]) -> None:
        interrupt = Interrupt()

        def hear(line: dict[str, Any]) -> None:
            if line["event"] == "step" and (line["stage"], line["epoch"], line["step"]) == place:
                interrupt.came = signal.SIGTERM
            report(line)

        networks(kind, path, hear, interrupt)

    return work


def test_every_ingredient_of_a_stage_goes_on_after_an_end_to_the_same_bytes(tmp_path: Path) -> None:
    text = """
[data]
train = "small.npz"
[folds]
n = 3
method = "hold-out"
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
    with in_this_process():
        Project(whole, emit=heard.append).train()
    numbers = {event.text: event.data["value"] for event in heard if event.kind == "number"}
    assert set(numbers) == {"a: accuracy out of fold", "a: accuracy out of fold, augmented rows"}
    for place in ((0, 1, 2), (1, 0, 1)):
        with in_this_process(ended_at(*place)), pytest.raises(Interrupted):
            Project(stopped).train()
        assert list(stopped.glob("runs/*/fold-0/checkpoint-*.npz"))
    heard.clear()
    with in_this_process():
        Project(stopped, emit=heard.append).train()
    assert "resumed" in [event.data["event"] for event in heard if event.kind == "unit"]
    for name in ("oof.npz", "fold-0/weights.npz", "fold-0/history.csv", "fold-0/valid-augmented.npz"):
        assert (run_folder(stopped) / name).read_bytes() == (run_folder(whole) / name).read_bytes()


def test_a_failing_unit_is_named_and_the_others_finish(make_project: Callable[..., Path]) -> None:
    folder = make_project(CONFIG + '[runs.b]\nextends = "a"\nstages = [{ train = "all", epochs = 1, lr = 1e18 }]\n')
    write_data(folder)
    failing = pytest.raises(KitError, match="the loss of run `b` fold 0 became")
    with in_this_process(), failing as caught:
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
    folder = make_project(CONFIG.replace("n = 2", split).replace("epochs = 4", "epochs = 1") + "[stress]\nrows = 2\n")
    write_data(folder)
    with in_this_process():
        Project(folder).train()
    # One unit of stress runs in a process of its own.
    with in_this_process() if units > 1 else nullcontext():
        paths = Project(folder).ensemble(all=True)
    assert len(list(folder.glob("runs/a-*/fold-*/stress.npz"))) == units
    assert len(list(folder.glob("runs/a-*/fold-*/valid.npz"))) == units
    record = Ensemble.load(paths.ensemble)
    assert record.members[0].folds == units
    assert abs(record.rows - rows) <= 2
