"""One input of a trained project changes: which files are made anew, and is anything old left in a result?

The same commands run again in the same folder must give what a project made from nothing gives. The units are real
networks in this process; `Remembering` computes those once that read the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from in_process import InProcess, Remembering, networks
from lineage import edit

from kit.base.events import silent
from kit.config import load
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.stressed import StressedRun
from kit.stages.clean.clean import clean
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.folds import make_folds
from kit.stages.stress.stress import stress
from kit.stages.table import table
from kit.stages.train.train import train
from kit.store.candidate import Ensemble
from kit.store.layout import Layout, SubmissionPaths

# Keras with NumPy 2 says so of its own conversion of variables.
pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

ROWS, SIDE = 24, 16
CONFIG = """
[competition]
metric = "nll"
[data]
train = "raw/train.npz"
test = "raw/test.npz"
classes = "raw/classes.txt"
group = "patient"
weight = "trust"
[folds]
n = 2
seed = 0
method = "hold-out"
[runs.net]
backbone = "two-conv-cnn"
weights = "raw/pretrained.weights.h5"
stages = [{ train = "all", epochs = 1, lr = 0.01 }]
views = ["identity", "flip-lr"]
[stress]
families = ["noise", "occlusion"]
rows = 2
seed = 0
[ensemble]
seed = 5
"""


class Made(NamedTuple):
    """A project whose commands have all run; ``done`` are the units that ran."""

    layout: Layout
    candidate: SubmissionPaths
    done: list[str]

    @property
    def fold(self) -> FoldSpec:
        return plan_runs(self.layout, load(self.layout.config), ())["net"][0]

    def files(self) -> dict[str, Path]:
        """By stage the file that it writes last."""
        layout, fold = self.layout, self.fold
        return {
            "data": layout.data_manifest,
            "test": layout.manifest_of("test"),
            "folds": layout.folds_manifest("folds"),
            "fold": fold.paths.record,
            "predicted": fold.paths.test_record,
            "joined": fold.run_paths.manifest,
            "joined test": fold.run_paths.test_record,
            "stressed": fold.paths.stress_record,
            "joined stressed": fold.run_paths.stress_manifest,
            "ensemble": self.candidate.ensemble,
            "table": self.candidate.table,
        }

    def states(self) -> dict[str, tuple[str, int, int]]:
        """What tells whether a file was written since."""
        found = {stage: (path, path.stat()) for stage, path in self.files().items()}
        return {stage: (str(path), stat.st_ino, stat.st_mtime_ns) for stage, (path, stat) in found.items()}

    def results(self) -> dict[str, object]:
        """All that is predicted and scored."""
        run, record = self.fold.run_paths, Ensemble.load(self.candidate.ensemble)
        arrays = [run.oof, run.test, run.stress, run.stress_grid, self.candidate.predictions]
        return {
            "table": self.candidate.table.read_text(),
            "scores": StressedRun.load(run.stress_manifest).scores,
            "stress table": run.stress_table.read_text(),
            "ensemble": (record.metric, record.cv, record.stressed, record.classes, record.blend),
            **{path.name: path.read_bytes() for path in arrays},
        }


def run_all(root: Path, work: Callable[..., None], folds: Path | None = None) -> Made:
    """Every command once; ``folds`` is the split of another project, whose ids keep their folds."""
    layout, launch = Layout(root), InProcess(work)
    config = load(layout.config)
    clean(layout, config, silent)
    if folds is not None:
        shutil.copytree(folds, layout.folds, dirs_exist_ok=True)
    make_folds(layout, config, silent)
    train(layout, config, silent, launch=launch, pictures=False)
    stress(layout, config, silent, launch=launch)
    candidate = ensemble(layout, config, silent)
    table(layout, config, candidate, silent)
    return Made(layout, candidate, launch.done)


def write_raw(root: Path) -> None:
    from kit.runtime.backbones import build

    (root / "raw").mkdir(parents=True)
    labels = np.arange(ROWS) % 3
    own = {"labels": labels, "patient": np.arange(ROWS) // 2, "trust": np.ones(ROWS)}
    np.savez(root / "raw/train.npz", images=images(labels, 0), **own)
    np.savez(root / "raw/test.npz", images=images(labels[:4], 1))
    (root / "raw/classes.txt").write_text("cat\ndog\nhen\n")
    network = build({"backbone": "two-conv-cnn", "size": SIDE, "classes": 3, "head": {}})
    network.backbone.save_weights(str(root / "raw/pretrained.weights.h5"))
    (root / "kit.toml").write_text(CONFIG)


def images(labels: np.ndarray, seed: int) -> np.ndarray:
    """(N, 16, 16, 3) noise with a square of the class's colour."""
    found = np.random.default_rng(seed).integers(0, 120, (len(labels), SIDE, SIDE, 3))
    found[:, 4:12, 4:12] += (np.eye(3, dtype=int)[labels] * 110)[:, None, None]
    return found.astype(np.uint8)


def change_array(root: Path, file: str, name: str, place: tuple[int, ...], value: float) -> None:
    with np.load(root / file) as found:
        arrays = dict(found)
    assert arrays[name][place] != value
    arrays[name][place] = value
    np.savez(root / file, **arrays)


def nothing(root: Path) -> None:
    """The same commands once more."""


def one_label(root: Path) -> None:
    change_array(root, "raw/train.npz", "labels", (0,), 1)


def one_pixel(root: Path) -> None:
    change_array(root, "raw/train.npz", "images", (0, 0, 0, 0), 255)


def one_patient(root: Path) -> None:
    change_array(root, "raw/train.npz", "patient", (2,), 1000)  # of a row that is held out, which intervals count


def one_row_weight(root: Path) -> None:
    change_array(root, "raw/train.npz", "trust", (0,), 3)


def one_override(root: Path) -> None:
    (root / "clean_overrides.csv").write_text("id,action\n05,drop\n")


def one_test_image(root: Path) -> None:
    change_array(root, "raw/test.npz", "images", (0, 0, 0, 0), 255)


def one_pretrained_weight(root: Path) -> None:
    import h5py

    with h5py.File(root / "raw/pretrained.weights.h5", "r+") as file:
        kernels: list[h5py.Dataset] = []
        file.visititems(lambda name, found: kernels.append(found) if getattr(found, "ndim", 0) == 4 else None)
        kernels[0][0, 0, 0, 0] += 0.5


def one_class_name(root: Path) -> None:
    edit(root / "raw/classes.txt", "hen", "duck")


def other_folds(root: Path) -> None:
    edit(root / "kit.toml", "n = 2\nseed = 0", "n = 2\nseed = 1")
    if (root / "folds").exists():
        make_folds(Layout(root), load(root / "kit.toml"), silent, reset=True)


def stress_seed(root: Path) -> None:
    edit(root / "kit.toml", "rows = 2\nseed = 0", "rows = 2\nseed = 1")


def metric(root: Path) -> None:
    edit(root / "kit.toml", '"nll"', '"brier"')


def blend_seed(root: Path) -> None:
    edit(root / "kit.toml", "seed = 5", "seed = 6")


CANDIDATE = {"ensemble", "table"}
FROM_STRESS = {"stressed", "joined stressed", *CANDIDATE}
FROM_FOLD = {"fold", "predicted", "joined", "joined test", *FROM_STRESS}
CHANGES: dict[Callable[[Path], None], set[str]] = {
    nothing: set(),
    one_label: {"data", "folds", *FROM_FOLD},
    one_pixel: {"data", *FROM_FOLD},
    # Who is alone now stays in the fold; intervals count groups of rows once.
    one_patient: {"data", "folds", "joined stressed", *CANDIDATE},
    one_row_weight: {"data", *FROM_FOLD},
    one_override: {"data", "folds", *FROM_FOLD},
    one_test_image: {"test", "predicted", "joined test", "table"},
    one_pretrained_weight: FROM_FOLD,
    one_class_name: {"data", "folds", "joined", "joined test", "joined stressed", *CANDIDATE},
    other_folds: {"folds", *FROM_FOLD},
    stress_seed: FROM_STRESS,
    metric: {"joined stressed", *CANDIDATE},
    blend_seed: CANDIDATE,
}


@pytest.fixture(scope="module")
def remembered() -> Remembering:
    return Remembering(networks)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, remembered: Remembering) -> Made:
    root = tmp_path_factory.mktemp("base") / "project"
    write_raw(root)
    return run_all(root, remembered)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_depends_on_an_input_is_made_anew_and_nothing_old_is_in_a_result(
    change: Callable[[Path], None], base: Made, remembered: Remembering, tmp_path: Path
) -> None:
    again, anew = tmp_path / "again", tmp_path / "anew"
    shutil.copytree(base.layout.root, again, copy_function=shutil.copy2)
    copied = Made(Layout(again), SubmissionPaths(again / "submissions" / base.candidate.root.name), [])
    before, results = copied.states(), copied.results()
    change(again)
    after = run_all(again, remembered)
    now = after.states()
    assert {stage for stage in now if now[stage] != before[stage]} == CHANGES[change]

    for name in ("kit.toml", "raw"):
        found = base.layout.root / name
        shutil.copytree(found, anew / name) if found.is_dir() else (anew.mkdir(), shutil.copy(found, anew))
    change(anew)
    # Without a change the units are run again: a training gives the same bytes.
    truth = run_all(anew, networks if change is nothing else remembered, folds=again / "folds")
    assert after.results() == truth.results()
    assert (after.results() == results) == (change is nothing)
