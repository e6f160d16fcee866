"""The zip where it is sent to: an ingestion program of Codabench, an older one, `kit predict`."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from bundles import CLASSES, bundle_files, images, make_bundle
from PIL import Image
from test_cli import run

from kit.base.arrays import ImageArray
from kit.platforms.sandbox import BundleRun, run_bundle
from kit.runs.costs import write_halved
from kit.store.files import write_zip

pytestmark = pytest.mark.tf

INGESTION = """
import sys
from pathlib import Path
import numpy as np
submission, data, out = (Path(name) for name in sys.argv[1:])
sys.path.insert(0, str(submission))
{start}
X = np.load(data / "X.npy")
y = predictor.predict(X)
assert isinstance(y, np.ndarray) and y.shape == (len(X),) and y.dtype.kind == "i", (y.shape, y.dtype)
np.save(out / "y.npy", y)
assert "kit" not in sys.modules
"""
STARTS = {
    "an2dl-2024": "from model import Model\npredictor = Model()",
    "codalab-legacy": "from model import model\npredictor = model(str(submission))",
}


class Answered(NamedTuple):
    """A bundle, and what it gives for images where the kit runs it as a platform would."""

    bundle: Path
    x: ImageArray
    run: BundleRun


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    bundle, x = make_bundle(tmp_path_factory.mktemp("answered")), images(20)
    return Answered(bundle, x, run_bundle(bundle, x))


def execute(code: str, *arguments: Path, cwd: Path) -> None:
    """Run a platform's program in a process of its own; what it wrote beside its outputs is a failure."""
    command = [sys.executable, "-I", "-B", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(cwd.iterdir())


@pytest.mark.parametrize("contract", STARTS)
def test_an_ingestion_program_gets_the_class_indices(contract: str, answered: Answered, tmp_path: Path) -> None:
    x = answered.x
    folders = [tmp_path / name for name in ("ingested_program", "input_data", "output", "program")]
    for folder in folders:
        folder.mkdir()
    submission, data, out, program = folders
    bundle = make_bundle(tmp_path, contract=contract)
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(submission)
    assert "command" not in (submission / "metadata").read_text()  # else Codabench would run it in our place
    np.save(data / "X.npy", x)
    execute(INGESTION.format(start=STARTS[contract]), submission, data, out, cwd=program)
    assert np.load(out / "y.npy").tolist() == answered.run.labels.tolist()  # all contracts have the same weights
    if bundle.read_bytes() != answered.bundle.read_bytes():
        assert run_bundle(bundle, x).labels.tolist() == answered.run.labels.tolist()
    assert np.ptp(answered.run.proba, axis=0).max() > 1e-3


def save_folder(folder: Path, x: ImageArray) -> Path:
    (folder / "pictures").mkdir()
    for row, pixels in enumerate(x):
        Image.fromarray(pixels).save(folder / "pictures" / f"{row}.png")
    return folder / "pictures"


def save_table(folder: Path, x: ImageArray) -> Path:
    save_folder(folder, x)
    (folder / "test.csv").write_text("\n".join(["id", *(f"pictures/{row}.png" for row in range(len(x)))]) + "\n")
    return folder / "test.csv"


def save_array(folder: Path, x: ImageArray) -> Path:
    np.savez(folder / "test.npz", images=x)
    return folder / "test.npz"


@pytest.mark.parametrize("save", [save_folder, save_table, save_array])
def test_kit_predict_reads_a_folder_a_table_and_an_array_and_runs_no_code_of_the_bundle(
    save: Callable[..., Path], answered: Answered, tmp_path: Path
) -> None:
    with zipfile.ZipFile(answered.bundle) as archive:
        files: dict[str, Path | bytes] = {name: archive.read(name) for name in archive.namelist()}
    files["model.py"] = files["kit_runtime/predictor.py"] = b"raise SystemExit('executed')"
    x, bundle = answered.x[:6], str(write_zip(tmp_path / "theirs.zip", files))
    done = run(tmp_path, "predict", "--bundle", bundle, "--input", str(save(tmp_path, x)), "--out", "p.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["predict: 6 of 6", "wrote p.csv"]  # not a word of TensorFlow's
    with (tmp_path / "p.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
    expected = answered.run
    assert [row["label"] for row in rows] == [CLASSES[label] for label in expected.labels[:6]]
    assert np.allclose([[float(row[name]) for name in CLASSES] for row in rows], expected.proba[:6], atol=2e-6)


def test_halved_weights_move_probabilities_a_little(answered: Answered, tmp_path: Path) -> None:
    from kit.runtime.predictor import Predictor

    files = bundle_files(tmp_path)
    full = write_zip(tmp_path / "full.zip", files)
    assert full.read_bytes() == answered.bundle.read_bytes()
    for name, content in files.items():
        if isinstance(content, Path) and content.suffix == ".npz":
            files[name] = write_halved(content, tmp_path / f"half-{content.name}")
    half = write_zip(tmp_path / "half.zip", files)
    with zipfile.ZipFile(half) as archive:
        archive.extractall(tmp_path / "half")
    before, after = answered.run.proba, Predictor(str(tmp_path / "half")).predict_proba(answered.x)
    assert 0 < np.abs(before - after).max() < 0.01
    assert half.stat().st_size < full.stat().st_size


class Refuses:
    """Says that it is an array and is none."""

    def __array__(self, *arguments: Any, **keywords: Any) -> Any:
        raise RuntimeError("gone")


def bad_input(chance: random.Random) -> Any:
    """Something that is no set of images, or one with something wrong in it."""
    rng = np.random.default_rng(chance.randrange(2**32))
    n = chance.choice([0, 1, 3])
    shape = list(
        chance.choice([(n, 16, 16, 3), (n, 16, 16), (n, 3, 16, 16), (16, 16, 3), (n, 15, 16, 3), (n, 16, 16, 4)])
    )
    values = rng.random(shape) * chance.choice([1, 255])
    if values.size:
        values.flat[rng.integers(values.size)] = chance.choice([np.nan, np.inf, -np.inf, 0.5])
    kinds: list[Callable[[], Any]] = [
        lambda: values,
        lambda: values.astype(chance.choice([np.float16, np.float32, ">f4", "f8"])),
        lambda: values.astype(complex),
        lambda: values > 0.5,
        lambda: values.astype(str),
        lambda: values.astype(object),
        lambda: rng.bytes(100),
        lambda: chance.choice([None, 3, 2.5, "image.png", b"", {}, {"images": values}, [], [[]], [None], Refuses()]),
        lambda: [values, values[:0]],
        lambda: [[1, 2], [3]],
        lambda: np.zeros(shape, [("r", "u1"), ("g", "u1")]),
        lambda: np.full(shape, np.datetime64("2020-01-01")),
        lambda: iter(values),
        lambda: np.ma.masked_all(shape),
        lambda: np.zeros([*shape, 1]),
    ]
    return chance.choice(kinds)()


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_five_hundred_bad_inputs_are_answered_or_refused_with_a_message(tmp_path: Path) -> None:
    from kit.runtime.predictor import Predictor

    folder = tmp_path / "bundle"
    with zipfile.ZipFile(make_bundle(tmp_path, folds=1)) as archive:
        archive.extractall(folder)
    predictor = Predictor(str(folder))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    chance, refused = random.Random(0), 0
    for _ in range(500):
        given = bad_input(chance)
        try:
            found = predictor.predict(given)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(("expected ", "the images ")), repr(error)
        else:
            shape, values = np.shape(given), np.asarray(given)
            assert shape[1:] == (16, 16, 3) and found.shape == shape[:1]
            assert np.isfinite(values).all() and (values.max(initial=2) > 1 or not (values % 1).any())
    assert refused > 300
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_classes_that_are_numbers_are_answered_with_their_number(tmp_path: Path) -> None:
    """A scorer compares with labels as they were handed out, from 1 to 8 for example."""
    from kit.runtime.predictor import Predictor

    cases = {("1", "3", "8"): [1, 3, 8], ("cat", "3", "8"): [0, 1, 2], ("1", "01", "2"): [0, 1, 2]}
    for classes, numbers in cases.items():
        folder = tmp_path / classes[0] / classes[1]
        with zipfile.ZipFile(make_bundle(tmp_path, folds=1, classes=classes)) as archive:
            archive.extractall(folder)
        predictor = Predictor(str(folder))
        expected = np.array(numbers)[predictor.predict_proba(images(12)).argmax(axis=1)]
        assert predictor.predict(images(12)).tolist() == expected.tolist()
