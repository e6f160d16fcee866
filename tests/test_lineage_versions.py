"""The version of a stage is raised when its output changes, and only then.

What each stage makes of a fixed small input is recorded in ``snapshots/lineage.json`` with the stage's version. Where
the output has changed and was meant to: raise the version that the message names, so that files of earlier versions are
made again, and record anew with

    KIT_RECORD=1 python -m pytest tests/test_lineage_versions.py -m "tf or not tf"

Text and whole numbers are compared exactly; other numbers with a tolerance, because processors and libraries differ.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from competitions import picture
from in_process import InProcess, networks
from test_lineage import VERSIONS

from kit.base.events import silent
from kit.config import Config, StressConfig, load, parse
from kit.images.corrupt.plan import apply, assign, grid, plan_of
from kit.judge.blend import Options, fit
from kit.judge.shift.outputs import detect, estimate
from kit.judge.shift.pictures import image_statistics
from kit.runs.spec import plan_runs
from kit.runtime import decode
from kit.runtime.forward import mean_of_folds
from kit.stages.bundle.contents import zip_members
from kit.stages.clean.clean import clean
from kit.stages.folds import make_folds, split
from kit.stages.train.features import feature_files
from kit.stages.train.train import train
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import load_index
from kit.store.files import read_csv
from kit.store.layout import Layout
from kit.store.ledger import latest
from kit.store.predictions import Predictions, join, load_predictions

pytestmark = pytest.mark.stage

RECORDED = Path(__file__).parent / "snapshots" / "lineage.json"
TOLERANCE = {"decode": 3.0, "stress": 1.0, "train": 0.02, "predict": 2e-3, "ensemble": 0.01, "forecast": 0.01}
ANEW = 'KIT_RECORD=1 python -m pytest tests/test_lineage_versions.py -m "tf or not tf"'


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def pictures(n: int, side: int = 16) -> np.ndarray:
    """(n, side, side, 3) smooth gradients with a square, of three kinds in turn."""
    ramp = np.linspace(40, 160, side)
    found = np.zeros((n, side, side, 3))
    for row in range(n):
        found[row] = ramp[None, :, None] + (row * 7) % 30
        found[row, 4 : 10 + row % 3, 4:11, row % 3] += 60
    return found.astype(np.uint8)


def proba(seed: int, y: np.ndarray, skill: float) -> np.ndarray:
    logits = random(len(y), 3, seed=seed) * 2
    logits[np.arange(len(y)), y] += skill
    found = np.exp(logits)
    return found / found.sum(axis=1, keepdims=True)


def of_decode(folder: Path, project: tuple[Layout, Config]) -> Any:
    file = io.BytesIO()
    picture("cat", 0, 40).crop((0, 0, 40, 25)).save(file, "png")
    policies: tuple[decode.Policy, ...] = ("fit", "crop", "stretch")
    return [decode.decode(file.getvalue(), 6, policy).astype(float).tolist() for policy in policies]


def of_clean(folder: Path, project: tuple[Layout, Config]) -> Any:
    """Two copies under one label, two under two, a mirror image, an empty picture."""
    images = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3)).astype(np.uint8)
    labels = np.arange(24) % 3
    images[3], images[7], images[8], images[9] = images[0], images[1], images[2][:, ::-1], 0
    np.savez(folder / "train.npz", images=images, labels=labels)
    layout = Layout(folder)
    clean(layout, parse('[data]\ntrain = "train.npz"'), silent)
    rows = [[row["id"], row["label"], row["group"], row["role"]] for row in read_csv(layout.index)]
    return [rows, *([list(row.values())[:3] for row in read_csv(path)] for path in (layout.dropped, layout.noted))]


def of_folds(folder: Path, project: tuple[Layout, Config]) -> Any:
    ids = tuple(f"{row:02d}" for row in range(30))
    groups = tuple(f"g{row // 2}" if row < 12 else name for row, name in enumerate(ids))
    return split(ids, np.arange(30) % 4, groups, n=3, seed=0, pinned={"29": 2}).tolist()


def of_join(folder: Path, project: tuple[Layout, Config]) -> Any:
    def part(rows: list[int], seed: int) -> Predictions:
        ids = np.array([f"{row}" for row in rows])
        return Predictions(ids, ("0", "1"), ("identity",), random(1, len(rows), 2, seed=seed).astype(np.float32))

    parts = [part([0, 2], 0), part([3, 1], 1), part([0, 1], 2), part([2, 3], 3)]
    whole = join(parts, 2, ["3", "2", "1", "0"], ["cat", "dog"])
    return [whole.ids.tolist(), list(whole.classes), whole.logits.tolist(), mean_of_folds(random(3, 2, 2)).tolist()]


def of_stress(folder: Path, project: tuple[Layout, Config]) -> Any:
    """Every family at every severity, and the mixture: the fate of each picture and the means of its quarters."""
    plan, images, ids = plan_of(StressConfig(rows=2)), pictures(6), [f"{row}" for row in range(6)]
    other = plan_of(StressConfig(rows=2, families=("laboratory",)))
    fate = assign(plan, ids, plan.seed)
    families, severities = fate.family, fate.severity
    hurt = [apply(plan, images, ids, plan.seed), *(one for p in (plan, other) for one in grid(p, images[:2], ids[:2]))]
    means = [np.asarray(part, float).reshape(len(part), 2, 8, 2, 8, 3).mean(axis=(2, 4)) for part in hurt]
    return [families.tolist(), severities.tolist(), [np.round(part, 1).tolist() for part in means]]


def of_ensemble(folder: Path, project: tuple[Layout, Config]) -> Any:
    y = np.arange(90) % 3
    members = np.stack([proba(seed, y, skill) for seed, skill in ((0, 1.5), (1, 1.0), (2, 0.2))])
    options = Options(members=("a", "b", "c"), classes=("x", "y", "z"), rows=tuple(map(str, range(90))))
    blend = fit(members, y, np.arange(90) % 5, metric="nll", seed=0, options=options)
    nested = [blend.nested.score, blend.nested.low, blend.nested.high]
    applied = blend.apply(members)[:5].tolist()
    return [list(blend.candidates), list(blend.weights), list(blend.temperatures), nested, applied]


def of_bundle(folder: Path, project: tuple[Layout, Config]) -> Any:
    """The files beside runtime and weights; one member and one part of the blend, without their numbers."""
    layout, config = project
    paths = latest(layout)
    assert paths is not None
    files = zip_members(config, Ensemble.load(paths.ensemble), {})
    names = [name for name in files if "/" not in name]
    description = json.loads(bytes(files["bundle.json"]))
    first = {"members": description["members"][:1], "blend": {**description["blend"], "parts": []}}
    part = description["blend"]["parts"][0]
    return [names, files["model.py"].decode(), without_numbers({**description, **first}), sorted(part)]


def without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_numbers(part) for part in value]
    return "number" if isinstance(value, float) else value


def of_forecast(folder: Path, project: tuple[Layout, Config]) -> Any:
    layout, config = project
    records = [ForecastRecord.load(folds[0].run_paths.forecast) for folds in plan_runs(layout, config, ()).values()]
    return [[one.name, one.basis, one.past, one.value, one.low, one.high, one.clean, one.stressed] for one in records]


def of_shift(folder: Path, project: tuple[Layout, Config]) -> Any:
    """All but the forest that tells the images apart: scikit-learn grows another one with every version."""
    y = np.arange(60) % 3
    clean, test = proba(0, y, 1.0), proba(1, y[:30], 0.5)
    prior = estimate(test, np.full(3, 1 / 3))
    statistics = image_statistics(pictures(4)).astype(float)
    return [detect(clean, test), list(prior.prior), prior.pvalue, np.round(statistics, 3).tolist()]


TRAINED = """
[data]
train = "train.npz"
[folds]
n = 2
[runs.net]
backbone = "plain-cnn"
weights = "pretrained.weights.h5"
augment = [{ op = "dihedral" }]
label_smoothing = 0.1
class_weights = "balanced"
batch_size = 8
stages = [{ train = "head", epochs = 2, cached_views = 2 }, { train = "all", epochs = 2, lr = 0.01, ema = 0.5 }]
"""


def of_train(folder: Path, project: tuple[Layout, Config]) -> Any:
    """Means of the cached features, and the logits of the held-out rows of a fold."""
    layout = Layout(folder)
    np.savez(folder / "train.npz", images=pictures(24), labels=np.arange(24) % 3)
    network().backbone.save_weights(str(folder / "pretrained.weights.h5"))
    layout.config.write_text(TRAINED)
    config = load(layout.config)
    clean(layout, config.model_copy(update={"clean": config.clean.model_copy(update={"near": "off"})}), silent)
    make_folds(layout, config, silent)
    train(layout, config, silent, launch=InProcess(networks), fold=0, pictures=False)
    spec = plan_runs(layout, config, ())["net"][0]
    features = [np.load(path).mean(axis=1).tolist() for path in feature_files(spec)]
    assert len(load_index(layout).ids) == 24
    return [features, load_predictions(spec.paths.valid).logits.tolist()]


def network() -> Any:
    """A small network whose weights do not come from TensorFlow's generators."""
    from kit.runtime.backbones import build

    made = build({"backbone": "plain-cnn", "size": 16, "classes": 3, "head": {}})
    shapes = [array.shape for array in made.model.get_weights()]
    # Vectors may be variances: they stay above 0.
    made.model.set_weights([random(*s, seed=7) * 0.1 + (0.5 if len(s) == 1 else -0.04) for s in shapes])
    return made


def of_predict(folder: Path, project: tuple[Layout, Config]) -> Any:
    from kit.runtime.forward import compile_forward, logits
    from kit.runtime.views import VIEWS

    images = pictures(3)
    return logits(compile_forward(network().model), images, np.arange(3), tuple(VIEWS)).tolist()


OUTPUTS: dict[str, Callable[[Path, tuple[Layout, Config]], Any]] = {
    "decode": of_decode,
    "clean": of_clean,
    "folds": of_folds,
    "train": of_train,
    "predict": of_predict,
    "join": of_join,
    "stress": of_stress,
    "ensemble": of_ensemble,
    "bundle": of_bundle,
    "forecast": of_forecast,
    "shift": of_shift,
}
NETWORKS = ("train", "predict")
CASES = [pytest.param(name, marks=[pytest.mark.tf] if name in NETWORKS else []) for name in OUTPUTS]


def version_of(name: str) -> tuple[str, int]:
    """Where the constant of a version is, and its value."""
    reference = VERSIONS[name][0][0]
    module, constant = reference.rsplit(".", 1)
    return reference, getattr(importlib.import_module(module), constant)


def is_same(found: Any, recorded: Any, tolerance: float) -> bool:
    if isinstance(found, dict) and isinstance(recorded, dict):
        return found.keys() == recorded.keys() and all(is_same(found[k], recorded[k], tolerance) for k in found)
    if isinstance(found, list) and isinstance(recorded, list):
        pairs = zip(found, recorded, strict=False)
        return len(found) == len(recorded) and all(is_same(*pair, tolerance) for pair in pairs)
    if isinstance(found, float) and isinstance(recorded, int | float):
        return abs(found - recorded) <= tolerance
    return bool(found == recorded)


def rounded(value: Any) -> Any:
    if isinstance(value, dict | list):
        return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else [rounded(v) for v in value]
    return round(float(value), 5) if isinstance(value, float) else value


def test_every_version_has_a_recorded_output() -> None:
    assert OUTPUTS.keys() == VERSIONS.keys() == json.loads(RECORDED.read_text()).keys()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_version_is_raised_when_the_output_changes(
    name: str, drawn_project: tuple[Layout, Config], tmp_path: Path
) -> None:
    constant, version = version_of(name)
    found = rounded(OUTPUTS[name](tmp_path, drawn_project))
    if os.environ.get("KIT_RECORD"):
        known = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
        known[name] = {"version": version, "output": found}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(known.items())]
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    recorded = json.loads(RECORDED.read_text())[name]
    same = is_same(found, recorded["output"], TOLERANCE.get(name, 1e-4))
    assert same or version != recorded["version"], (
        f"{constant} is {version} as it was, but the output has changed: raise it, then {ANEW}"
    )
    assert version == recorded["version"], f"{constant} is {version}, recorded is {recorded['version']}: {ANEW}"


def test_another_output_under_the_same_version_is_noticed() -> None:
    for name, recorded in json.loads(RECORDED.read_text()).items():
        text = json.dumps(recorded["output"])
        assert is_same(recorded["output"], json.loads(text), 0)
        assert not is_same(recorded["output"], [recorded["output"]], TOLERANCE.get(name, 1e-4))
