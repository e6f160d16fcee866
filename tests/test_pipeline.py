"""The whole way: raw images to a scored submission, as the commands do it."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_cli import run

from kit.errors import BundleError
from kit.files import read_json, write_zip
from kit.layout import SubmissionPaths
from kit.project import Project
from kit.records import Event
from kit.sandbox import run_bundle

CONFIG = """
[competition]
name = "small"
[data]
train = "practice"
truth = "practice"
practice = { n = 400, size = 32 }
[folds]
n = 2
[runs.plain]
backbone = "plain-cnn"
augment = [{ op = "dihedral" }, { op = "cutmix" }]
stages = [{ train = "all", epochs = 2, lr = 2e-3 }]
views = ["identity", "flip-lr"]
[runs.residual]
extends = "plain"
backbone = "residual-cnn"
augment = [{ op = "randaugment", ops = 1 }]
"""

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "kit.toml").write_text(CONFIG)
    assert run(folder, "ensemble", "--all").returncode == 0
    done = run(folder, "submit")
    assert done.returncode == 0, done.stderr
    return folder


def candidate(folder: Path) -> SubmissionPaths:
    (found,) = (folder / "submissions").glob("*/ensemble.json")
    return SubmissionPaths(found.parent)


def test_the_leaderboard_shows_the_submission_and_cv_beside_it(submitted: Path) -> None:
    done = run(submitted, "lb", "--json")
    answer = json.loads(done.stdout)
    mine = [row for row in answer["board"] if row["mine"]]
    assert len(mine) == 1
    (line,) = answer["submissions"]
    assert line["score"] == mine[0]["score"]
    assert line["low"] <= line["cv"] <= line["high"]
    assert sum(not row["mine"] for row in answer["board"]) >= 2


def test_a_second_submit_is_fresh_in_every_stage_and_sends_nothing(submitted: Path) -> None:
    events = sorted((candidate(submitted).root / "events").iterdir())
    done = run(submitted, "submit")
    said = [line.split(" ")[0] for line in done.stderr.splitlines()]
    assert done.returncode == 0, done.stderr
    assert said[:5] == ["clean:", "folds:", "ensemble:", "bundle:", "submit:"]
    assert sorted((candidate(submitted).root / "events").iterdir()) == events


def test_the_bundle_is_the_runtime_the_weights_and_three_lines(submitted: Path) -> None:
    with zipfile.ZipFile(candidate(submitted).bundle) as archive:
        names = archive.namelist()
        assert len(archive.read("model.py").decode().splitlines()) <= 3
    assert {"model.py", "metadata", "bundle.json", "kit_runtime/predictor.py"} <= set(names)
    assert not [name for name in names if name.endswith((".keras", ".pkl", ".h5", ".pb"))]


def test_the_bundle_is_proven_and_rebuilt_with_the_same_bytes(submitted: Path) -> None:
    paths = candidate(submitted)
    proof = read_json(paths.proof)
    assert proof["difference"] <= 1e-4
    before = paths.bundle.read_bytes()
    assert run(submitted, "bundle", "--force").returncode == 0
    assert paths.bundle.read_bytes() == before


def test_a_bundle_that_predicts_something_else_is_not_kept(submitted: Path) -> None:
    paths = candidate(submitted)
    record = read_json(paths.ensemble)
    broken = json.loads(json.dumps(record))
    broken["members"][0]["folder"], broken["members"][1]["folder"] = (
        record["members"][1]["folder"],
        record["members"][0]["folder"],
    )
    from kit.bundle import bundle

    project = Project(submitted)
    other = SubmissionPaths(submitted / "submissions" / "20000101T000000Z-00000000")
    other.root.mkdir()
    other.ensemble.write_text(json.dumps({**broken, "key": "other"}))
    try:
        with pytest.raises(BundleError):
            bundle(project.layout, project.config, other, lambda event: None)
        assert not other.bundle.exists()
        assert not other.proof.exists()
    finally:
        other.ensemble.unlink()


def test_the_checksums_are_those_of_the_files(submitted: Path) -> None:
    with zipfile.ZipFile(candidate(submitted).bundle) as archive:
        lines = archive.read("SHA256SUMS").decode().splitlines()
        listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    del found["SHA256SUMS"]
    assert listed == found


def test_a_bundle_predicts_an_array_without_its_code_being_run(submitted: Path, tmp_path: Path) -> None:
    paths = candidate(submitted)
    with zipfile.ZipFile(paths.bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["model.py"] = files["kit_runtime/predictor.py"] = b"raise SystemExit('executed')"
    bundle = write_zip(tmp_path / "theirs.zip", files)
    images = np.load(submitted / "data" / "images.npy", mmap_mode="r")[:5]
    np.savez(tmp_path / "images.npz", images=images)
    out = tmp_path / "out.csv"
    done = run(tmp_path, "predict", "--bundle", str(bundle), "--input", "images.npz", "--out", str(out))
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file))
    proven = run_bundle(paths.bundle, np.asarray(images))
    classes = read_json(paths.ensemble)["classes"]
    assert [row["label"] for row in rows] == [classes[label] for label in proven.labels]
    assert np.allclose([float(rows[0][name]) for name in classes], proven.proba[0], atol=1e-5)


def test_the_ensemble_says_every_member_the_mean_and_the_choice(submitted: Path) -> None:
    heard: list[Event] = []
    Project(submitted, emit=heard.append).ensemble(force=True)
    (table,) = [event for event in heard if event.text == "ensemble"]
    names = [row[0] for row in table.data["rows"]]
    assert names[:3] == ["plain", "residual", "plain mean"]
    assert names[3] == "blend"


def test_the_sandbox_knows_no_kit_and_no_working_directory(tmp_path: Path) -> None:
    code = (
        "import importlib.util, os\nimport numpy as np\n"
        "class Model:\n"
        "    def predict(self, X):\n"
        "        assert importlib.util.find_spec('kit') is None\n"
        "        assert not os.listdir('.')\n"
        "        return np.zeros(len(X), int)\n"
    )
    write_zip(tmp_path / "b.zip", {"model.py": code.encode()})
    done = run_bundle(tmp_path / "b.zip", np.zeros((3, 4, 4, 3), np.uint8))
    assert done.labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("body", "said"),
    [("raise ValueError('no weights')", "no weights"), ("return np.zeros((len(X), 2))", "expected class indices")],
)
def test_a_bundle_that_fails_says_why(tmp_path: Path, body: str, said: str) -> None:
    code = f"import numpy as np\nclass Model:\n    def predict(self, X):\n        {body}\n"
    write_zip(tmp_path / "b.zip", {"model.py": code.encode()})
    with pytest.raises(BundleError, match=said):
        run_bundle(tmp_path / "b.zip", np.zeros((3, 4, 4, 3), np.uint8))
