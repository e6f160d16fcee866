"""The whole way: raw images to a scored submission, as the commands do it."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import InProcess
from test_cli import run

from kit.base.events import Event
from kit.config import BundleConfig, Config
from kit.errors import BundleError, StageError
from kit.platforms.sandbox import run_bundle
from kit.project import Project
from kit.runs.results import FoldRecord
from kit.stages.bundle.card import card as make_card
from kit.store.candidate import Ensemble, Proof
from kit.store.files import write_zip
from kit.store.layout import RunPaths, SubmissionPaths
from kit.store.predictions import load_predictions
from kit.store.record import digests_of

CONFIG = """
[competition]
name = "small"
[data]
train = "practice"
truth = "practice"
practice = { n = 240, size = 32 }
[folds]
n = 2
[runs.plain]
backbone = "plain-cnn"
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = 2, lr = 2e-3 }]
views = ["identity", "flip-lr"]
[stress]
rows = 1
[runs.residual]
extends = "plain"
backbone = "residual-cnn"
augment = [{ op = "noise" }]
"""

# Keras with NumPy 2 says so of its own conversion of variables.
pytestmark = [
    pytest.mark.tf,
    pytest.mark.usefixtures("here"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def submitted(here: InProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    assert Proof.load(paths.proof).difference <= 1e-4
    before = paths.bundle.read_bytes()
    assert run(submitted, "bundle", "--force").returncode == 0
    assert paths.bundle.read_bytes() == before


def test_a_bundle_that_predicts_something_else_is_not_kept(submitted: Path) -> None:
    from kit.stages.bundle.bundle import bundle

    project = Project(submitted)
    first, second = Ensemble.load(candidate(submitted).ensemble).members
    swapped = [one.model_copy(update={"folder": two.folder}) for one, two in ((first, second), (second, first))]
    fold = RunPaths(project.layout.runs / first.folder).fold(0)
    differ = pytest.raises(BundleError, match="the weights of run `plain` fold 0 differ from those")
    with another(submitted, members=tuple(swapped)) as other, differ:
        bundle(project.layout, project.config, other, lambda event: None)
    with another(submitted) as other, kept(fold.probe), kept(fold.record):
        probe = load_predictions(fold.probe)
        replace(probe, logits=probe.logits[:, ::-1]).save(fold.probe)
        with pytest.raises(StageError, match=r"probe\.npz was changed after the kit wrote it"):
            bundle(project.layout, project.config, other, lambda event: None)
        record = FoldRecord.load(fold.record)
        files = {**record.files, **digests_of(fold.root, fold.probe)}
        record.model_copy(update={"files": files}).save(fold.record)
        with pytest.raises(BundleError, match="probabilities differ from the kit's by"):
            bundle(project.layout, project.config, other, lambda event: None)
        assert not list(other.root.glob("bundle.*")) and not other.proof.exists()


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """Give a file its content back at the end."""
    before = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(before)


def test_the_checksums_are_those_of_the_files(submitted: Path) -> None:
    with zipfile.ZipFile(candidate(submitted).bundle) as archive:
        lines = archive.read("SHA256SUMS").decode().splitlines()
        listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    del found["SHA256SUMS"]
    assert listed == found


@contextmanager
def another(folder: Path, **changes: Any) -> Iterator[SubmissionPaths]:
    """A candidate like the submitted one but for ``changes`` of its record, gone afterwards."""
    paths = SubmissionPaths(folder / "submissions" / "20000101T000000Z-00000000")
    paths.root.mkdir()
    shutil.copy(candidate(folder).predictions, paths.predictions)
    Ensemble.load(candidate(folder).ensemble).model_copy(update=changes).save(paths.ensemble)
    try:
        yield paths
    finally:
        shutil.rmtree(paths.root)


def with_bundle(project: Project, **keys: Any) -> Config:
    return project.config.model_copy(update={"bundle": BundleConfig(**keys)})


def test_the_proof_holds_what_was_asked_and_the_card_what_a_team_wants_to_know(submitted: Path) -> None:
    paths = candidate(submitted)
    proof = Proof.load(paths.proof)
    assert proof.kit_absent and proof.other_working_directory
    assert proof.network in ("namespace", "patched")
    assert {"uint8", "one image", "no image", "an odd count", "not contiguous"} <= set(proof.accepted)
    assert "NaN or infinity" in proof.refused["NaN"]
    assert "scaled to [0, 1]" in proof.refused["scaled to [0, 1]"]
    assert proof.refused["one channel"] == "expected images of shape (N, 32, 32, 3), got (32, 32, 32, 1)"
    assert proof.float16 is None
    assert proof.versions["numpy"] == np.__version__
    assert proof.peak_mb > 100 and proof.limits.seconds > 0
    card = paths.card.read_text()
    for said in ("## Members", "## Classes, out of fold", "## Data", "dropped", "## Versions", "## Licences", "plain"):
        assert said in card
    record = Ensemble.load(paths.ensemble)
    member, *others = record.members
    network = {**member.network, "preprocess": [{"op": "resize", "size": 48}]}
    resized = record.model_copy(update={"members": (member.model_copy(update={"network": network}), *others)})
    project = Project(submitted)
    told = make_card(project.layout, project.config, paths, resized, proof)
    assert f"| {network['backbone']} at 48 x 48 |" in told and f"| {network['backbone']} |" in card
    classes = record.classes
    assert [line for line in card.splitlines() if line.startswith(f"| {classes[0]} |")]


def test_float16_weights_are_shipped_where_the_score_out_of_fold_stays(submitted: Path) -> None:
    from kit.stages.bundle.bundle import bundle

    project = Project(submitted)
    full = candidate(submitted).bundle.stat().st_size
    # The log loss moves smoothly; one of 240 rows more or less would be .4 points of the accuracy.
    with another(submitted, metric="nll") as paths:
        bundle(project.layout, with_bundle(project, half_precision=True), paths, lambda event: None)
        half = Proof.load(paths.proof).float16
        assert half is not None and half.rows == Ensemble.load(paths.ensemble).rows
        assert 0 < abs(half.score - half.score_float32) <= 5e-4
        assert 0 < half.largest_change < 0.05
        assert paths.bundle.stat().st_size < 0.65 * full


def test_a_zip_over_its_limits_is_refused_and_not_kept(submitted: Path) -> None:
    from kit.stages.bundle.bundle import bundle

    project = Project(submitted)
    with another(submitted) as paths:
        with pytest.raises(BundleError, match=r"max_mb allows 0.6: plain .* MB"):
            bundle(project.layout, with_bundle(project, max_mb=0.6, half_precision=False), paths, lambda event: None)
        assert not paths.bundle.exists() and not paths.proof.exists() and not paths.card.exists()


def test_the_blend_leaves_out_what_the_zip_cannot_carry(submitted: Path) -> None:
    sizes = {
        name: sum(path.stat().st_size for path in submitted.glob(f"runs/{name}-*/fold-*/weights.npz")) / 1e6
        for name in ("plain", "residual")
    }
    largest = max(sizes.values()) + 0.6
    assert largest < sum(sizes.values()) + 0.5
    (submitted / "small.toml").write_text(f"{CONFIG}[bundle]\nmax_mb = {largest}\nhalf_precision = false\n")
    paths = Project(submitted, config=submitted / "small.toml").ensemble()
    try:
        assert len(list((submitted / "submissions").glob("*/ensemble.json"))) == 2
        blend = Ensemble.load(paths.ensemble).blend
        assert sorted(blend.weights) == [0.0, 1.0]
        assert any("left out to keep the limits" in note for note in blend.notes)
    finally:
        shutil.rmtree(paths.root)
        (submitted / "small.toml").unlink()


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
