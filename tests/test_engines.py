"""Every engine computes what TensorFlow does, is part of what predictions are made from, and is chosen once."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import InProcess
from rich.console import Console as RichConsole
from train.stub import StubTrainer, predictor

from kit.base.events import Event
from kit.config import load
from kit.project import Project
from kit.runs.results import FoldRecord, PredictedRecord, forward_lineage, require
from kit.runs.spec import EngineChoice, FoldSpec, plan_runs
from kit.runs.stressed import StressedFold
from kit.runs.units import Unit, networks
from kit.runs.units.networks import ENGINES, convert, fold_predictor
from kit.runs.units.process import WORKERS
from kit.runs.units.worker import THREADS
from kit.runtime.backbones import build
from kit.runtime.forward import compile_forward, logits
from kit.runtime.pool import softmax
from kit.runtime.views import RESIZED, VIEWS
from kit.show.progress import Progress
from kit.stages.train import fold as fold_module
from kit.stages.train import plan as plan_module
from kit.stages.train.checkpoint import Interrupt
from kit.stages.train.fold import train_fold
from kit.store.predictions import load_predictions

pytestmark = [
    pytest.mark.tf,
    pytest.mark.usefixtures("here"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
MISSING = {name: find_spec(engine.module) is None for name, engine in ENGINES.items()}
each = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"pip install 'kit[{name}]'"))
        for name, missing in MISSING.items()
    ],
)

CONFIG = """
[data]
train = "train.npz"
test = "test.npz"
[folds]
n = 2
method = "hold-out"
[stress]
families = ["noise"]
rows = 4
[predict]
engine = "{engine}"
[runs.net]
backbone = "two-conv-cnn"
stages = [{{ train = "all", epochs = 1 }}]
batch_size = 4
views = ["identity", "flip-lr"]
"""
PREDICTED = ("valid", "test", "stress", "stress_grid")


def make(folder: Path, engine: str) -> Project:
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = rng.integers(0, 120, (24, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 100
    np.savez(folder / "train.npz", images=images, labels=labels)
    np.savez(folder / "test.npz", images=255 - images[:7])
    return configured(folder, engine)


def configured(folder: Path, engine: str) -> Project:
    (folder / "kit.toml").write_text(CONFIG.format(engine=engine))
    return Project(folder)


def planned(project: Project) -> FoldSpec:
    return plan_runs(project.layout, load(project.layout.config), ["net"])["net"][0]


Folds = Callable[[str], FoldSpec]


@pytest.fixture(scope="module")
def folds(here: InProcess, tmp_path_factory: pytest.TempPathFactory) -> Folds:
    """The fold of a run, trained, predicted and stressed with an engine."""

    @cache
    def fold(engine: str) -> FoldSpec:
        project = make(tmp_path_factory.mktemp("engines") / engine, engine)
        project.stress(all=True)
        return planned(project)

    return fold


@each
def test_all_predictions_are_those_of_tensorflow_and_name_their_engine(folds: Folds, engine: str) -> None:
    first, second = folds("tensorflow"), folds(engine)
    assert first.key == second.key
    for name in ("weights", "history", "probe"):
        assert getattr(first.paths, name).read_bytes() == getattr(second.paths, name).read_bytes(), name
    for name in PREDICTED:
        paths = [getattr(spec.paths, name) for spec in (first, second)]
        expected, found = (softmax(load_predictions(path).logits.astype(np.float64)) for path in paths)
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)
        assert paths[0].read_bytes() != paths[1].read_bytes(), f"{name} was predicted by the same engine"
    for record, name in ((FoldRecord, "record"), (PredictedRecord, "test_record"), (StressedFold, "stress_record")):
        made = [record.load(getattr(spec.paths, name)).made_from for spec in (first, second)]
        assert made[1].pop("engine") == engine
        assert made[0] == made[1], "what TensorFlow predicted names no engine, as before there were others"


@each
@pytest.mark.parametrize("more", [{}, {"preprocess": [{"op": "segmentation"}]}])
def test_any_number_of_images_gives_the_same_probabilities(engine: str, more: dict[str, Any]) -> None:
    head = {"dropout": 0.2, "units": [8], "pooling": "avg"}
    model = build({"backbone": "two-conv-cnn", "size": 16, "classes": 3, "head": head, **more}).model  # type: ignore[typeddict-item]
    images = np.random.default_rng(1).integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    forwards = compile_forward(model), ENGINES[engine].forward(convert(engine, model), 1)
    expected, found = (softmax(logits(one, images, np.arange(11), ("identity", "rot90"), 4)) for one in forwards)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@each
def test_a_network_of_another_size_runs_in_an_engine_behind_a_resize_of_tensorflow(
    here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    root = make(tmp_path / "project", engine).layout.root
    text = (root / "kit.toml").read_text()
    (root / "kit.toml").write_text(text + 'size = 20\npreprocess = [{ op = "clahe", tiles = 2 }]\n')
    said: list[Event] = []
    Project(root, emit=said.append).train()
    assert [event.data["message"] for event in said if event.data.get("event") == "told"] == []
    spec = planned(Project(root))
    assert spec.paths.converted.exists()
    weights = require(spec).files[spec.paths.weights.name]
    images = np.random.default_rng(1).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    both = [spec, spec.model_copy(update={"predict": "tensorflow"})]
    found, expected = (fold_predictor(one, weights)(images, np.arange(7), ("identity", "larger")) for one in both)
    np.testing.assert_allclose(softmax(found), softmax(expected), atol=1e-5)
    assert (found != expected).any(), "was predicted by TensorFlow"
    monkeypatch.setattr(networks, "ROUNDS", 1)
    networks.choose_engine(spec)
    assert engine in EngineChoice.load(spec.run_paths.engine).seconds


@each
def test_bytes_are_the_same_with_what_was_converted_before_without_it_and_with_it_damaged(
    folds: Folds, engine: str
) -> None:
    spec, project = folds(engine), Project(folds(engine).layout.root)
    before = {name: getattr(spec.paths, name).read_bytes() for name in ("test", "test_record")}
    content = spec.paths.converted.read_bytes()
    damage = {
        "kept": content,
        "empty": b"",
        "cut off": content[: len(content) // 2],
        "one bit": bytes([*content[:20_000], content[20_000] ^ 1, *content[20_001:]]),
    }
    for what, found in damage.items():
        spec.paths.converted.write_bytes(found)
        spec.paths.test_record.unlink()
        project.train()
        assert {name: getattr(spec.paths, name).read_bytes() for name in before} == before, what
        assert (spec.paths.converted.read_bytes() == found) == (what == "kept"), f"{what}: converted anew"


@each
@pytest.mark.parametrize("kind", ["stress", "test"])
def test_a_unit_with_a_network_that_was_kept_loads_no_tensorflow(folds: Folds, engine: str, kind: str) -> None:
    spec = folds(engine)
    unit = Unit(kind, spec)
    assert not unit.needs_tensorflow
    if kind == "test":  # else its description was not written: training predicts the test images as well
        spec.paths.test_record.unlink()
        Project(spec.layout.root).train()
    code = f"import sys; from {WORKERS[kind]} import main; sys.exit(main(*sys.argv[1:]) or 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, kind, str(unit.description)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_a_unit_that_resizes_for_a_view_prepares_tensorflow_though_its_network_was_kept(
    folds: Folds, tmp_path: Path, engine: str
) -> None:
    root = shutil.copytree(folds(engine).layout.root, tmp_path / "project")
    text = (root / "kit.toml").read_text()
    (root / "kit.toml").write_text(text.replace('"flip-lr"]', '"crop-top-left"]'))
    Project(root).train()
    unit = Unit("test", planned(Project(root)))
    unit.spec.paths.test_record.unlink()
    Project(root).train()
    assert unit.spec.paths.converted.exists() and unit.needs_tensorflow
    threads = "tensorflow.config.threading.get_intra_op_parallelism_threads()"
    code = f"import sys; from {WORKERS['test']} import main; code = main(*sys.argv[1:]); import tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(code or {threads} - {THREADS})", "test", str(unit.description)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["fold", "test", "stress"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_unit_needs_tensorflow_where_it_trains_or_resizes_or_no_conversion_is_kept(
    project: Project, kind: str, kept: bool
) -> None:
    first = planned(project)
    first.paths.root.mkdir(exist_ok=True)
    if kept:
        first.paths.converted.touch()
    for size, view in product([0, 16, 20], VIEWS):
        settings = first.settings.model_copy(update={"views": ("identity", view), "size": size})
        unit = Unit(kind, first.model_copy(update={"settings": settings, "predict": "litert"}))
        expected = kind == "fold" or not kept or size == 20 or view in RESIZED
        assert unit.needs_tensorflow == expected, (size, view)
    first.paths.converted.unlink(missing_ok=True)


@each
@pytest.mark.parametrize("reason", ["other probabilities", "not installed", "cannot be converted"])
def test_a_network_that_an_engine_does_not_predict_alike_stays_on_tensorflow_and_says_so(
    folds: Folds, monkeypatch: pytest.MonkeyPatch, engine: str, reason: str
) -> None:
    spec = folds(engine)
    kept, images = spec.paths.converted.read_bytes(), np.full((2, 16, 16, 3), 99, np.uint8)
    weights = require(spec).files[spec.paths.weights.name]
    expected = fold_predictor(folds("tensorflow"), weights)(images, np.arange(2), ("identity",))

    def refuse(traced: Any) -> Any:
        raise RuntimeError("no translation of the operation")

    if reason == "other probabilities":
        probe = load_predictions(spec.paths.probe)
        logits = probe.logits + np.float32([0, 1e-3])
        monkeypatch.setattr(networks, "load_predictions", lambda path: replace(probe, logits=logits))
    elif reason == "not installed":
        monkeypatch.setitem(sys.modules, ENGINES[engine].module, None)
    else:
        spec.paths.converted.unlink()
        monkeypatch.setitem(ENGINES, engine, ENGINES[engine]._replace(to_bytes=refuse))
    said: list[Any] = []
    found = fold_predictor(spec, weights, said.append)(images, np.arange(2), ("identity",))
    spec.paths.converted.write_bytes(kept)
    np.testing.assert_array_equal(found, expected)
    (line,) = said
    assert line["message"].startswith("run `net` is predicted with TensorFlow: ")
    words = {"not installed": f'pip install "kit[{engine}]"', "cannot be converted": "no translation"}
    assert words.get(reason, "differ by 0.000") in line["message"]


@each
def test_another_engine_trains_nothing_and_predicts_the_test_again(
    folds: Folds, here: InProcess, tmp_path: Path, engine: str
) -> None:
    project = make(tmp_path / "project", "tensorflow")
    project.train()
    valid = planned(project).paths.valid.read_bytes()
    here.done.clear()
    project = configured(tmp_path / "project", engine)
    project.train()
    spec = planned(project)
    assert here.done == ["test net 0"]
    assert "engine" not in require(spec).made_from
    assert spec.paths.valid.read_bytes() == valid
    assert spec.paths.test.read_bytes() == folds(engine).paths.test.read_bytes()


@pytest.mark.skipif(all(MISSING.values()), reason="pip install 'kit[openvino,litert]'")
def test_auto_measures_a_run_once_and_keeps_what_it_chose(
    here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "WORTH_MEASURING", 1)
    project = make(tmp_path / "project", "auto")
    here.done.clear()
    project.train()
    project.stress()
    assert here.done == ["measure net 0", "fold net 0", "stress net 0"]
    spec = planned(project)
    choice = EngineChoice.load(spec.run_paths.engine)
    assert choice.engine == min(choice.seconds, key=choice.seconds.__getitem__)
    assert set(choice.seconds) == {"tensorflow", *(name for name, missing in MISSING.items() if not missing)}
    for engine in choice.seconds:
        choice.model_copy(update={"engine": engine}).save(spec.run_paths.engine)
        spec.paths.test_record.unlink()  # as if killed before
        here.done.clear()
        project.train()
        assert here.done == ["test net 0"]
        made_from = PredictedRecord.load(spec.paths.test_record).made_from
        assert made_from.get("engine", "tensorflow") == engine


@pytest.mark.parametrize("predict", ["auto", "tensorflow", *ENGINES])
@pytest.mark.parametrize("measured", [None, "{", "tensorflow", *ENGINES])
def test_predictions_name_the_engine_of_the_configuration_or_for_auto_the_one_that_was_measured(
    project: Project, measured: str | None, predict: Any
) -> None:
    first = planned(project)
    spec, plain = (first.model_copy(update={"predict": engine}) for engine in (predict, "tensorflow"))
    record = FoldRecord(made_from={}, files={"weights.npz": "w"}, versions={})
    path = spec.run_paths.engine
    path.unlink(missing_ok=True)
    if measured == "{":
        path.write_text(measured)
    elif measured:
        EngineChoice(engine=measured, seconds={}).save(path)
    chosen = predict if predict != "auto" else measured if measured in ENGINES else "tensorflow"
    assert spec.engine == chosen
    more = dict(forward_lineage(spec, record).items() - forward_lineage(plain, record).items())
    assert more == ({} if chosen == "tensorflow" else {"engine": chosen})
    assert spec.key == plain.key
    assert [teacher.engine for teacher in spec.model_copy(update={"teachers": (spec,)}).taught_by] == ["tensorflow"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make(tmp_path_factory.mktemp("engines") / "planned", "auto")
    made.folds()
    planned(made).run_paths.root.mkdir(parents=True)
    return made


def test_without_the_packages_a_project_is_trained_with_tensorflow_and_told_once(
    here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "WORTH_MEASURING", 1)
    for engine in ENGINES.values():
        monkeypatch.setitem(sys.modules, engine.module, None)
    project = make(tmp_path / "project", "auto")
    project.train()
    assert not planned(project).run_paths.engine.exists()
    assert "engine" not in require(planned(project)).made_from
    said: list[Event] = []
    project = configured(tmp_path / "project", "openvino")
    project = Project(project.layout.root, emit=said.append)
    project.train(force=True)
    told = [event.data["message"] for event in said if event.data.get("event") == "told"]
    sentence = 'run `net` is predicted with TensorFlow: OpenVINO is not installed (pip install "kit[openvino]")'
    assert told == [sentence]
    assert require(planned(project)).made_from["engine"] == "openvino", "as configured"
    console = io.StringIO()
    progress = Progress(RichConsole(file=console, width=200))
    for fold in range(3):
        progress.update(Event("unit", f"net fold {fold}", {"event": "told", "message": sentence}))
    assert console.getvalue() == f"{sentence}\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_limit_of_the_bundle_is_held_against_the_time_of_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    now = 0.0

    class Timed(StubTrainer):
        """Takes two seconds for an image and a view, of which the engine takes none."""

        def predict(self, images: Any, rows: Any, views: tuple[str, ...]) -> Any:
            nonlocal now
            now += 2 * len(rows) * len(views)
            return super().predict(images, rows, views)

    project = make(tmp_path / "project", engine)
    project.folds()
    spec = planned(project)
    spec.paths.root.mkdir(parents=True)
    monkeypatch.setattr(fold_module.time, "perf_counter", lambda: now)
    train_fold(spec, Timed, lambda line: None, Interrupt(), predictor)
    line = json.loads(spec.paths.log.read_text().splitlines()[-1])
    assert line["seconds_per_1000"] == 2000.0


def test_the_process_that_is_forked_has_loaded_no_engine() -> None:
    modules = {engine.module for engine in ENGINES.values()}
    code = f"import sys; from kit.runs.units.warm import load; load(); sys.exit(bool({modules} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
