"""A person's own competition from the files as received to what is sent, on tiny pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from competitions import folder_competition, kaggle_competition, names, picture
from PIL import Image

from kit.base.events import silent
from kit.images.sources import open_source
from kit.project import Project
from kit.stages.predict import predict
from kit.store.data import load_index, unlabelled_ids, unlabelled_images
from kit.store.files import read_csv
from kit.store.ledger import load_submissions
from kit.store.ledger.facts import Score
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage

RUNS = """
[folds]
n = 2
[stress]
rows = 1

[runs.plain]
backbone = "plain-cnn"
views = ["identity", "flip-lr"]
stages = [{ train = "all", epochs = 1, lr = 2e-3 }]
batch_size = 8
"""


@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_kaggle_competition_ends_in_a_table_that_the_host_takes(tmp_path):
    from kit.runtime.predictor import Predictor

    kaggle_competition(tmp_path)
    (tmp_path / "more/hen").mkdir(parents=True)
    for row in range(3):
        picture("hen", 900 + row).save(tmp_path / f"more/hen/{row}.png")
    (tmp_path / "kit.toml").write_text(
        '[data]\ntrain = "raw/train.csv"\ntest = "raw/test"\nsample_submission = "raw/sample_submission.csv"\n'
        f'group = "patient"\nweight = "trust"\nexternal = "more"\n{RUNS}'
    )
    project = Project(tmp_path)
    project.train()
    paths = project.table()
    written = pd.read_csv(paths.table)
    sample = pd.read_csv(tmp_path / "raw/sample_submission.csv")
    assert list(written.columns) == list(sample.columns) and list(written.image_id) == list(sample.image_id)
    assert set(written.label) <= {"cat", "dog", "hen"}
    project.bundle()
    with zipfile.ZipFile(paths.bundle) as archive:
        archive.extractall(tmp_path / "zip")
    labels = Predictor(str(tmp_path / "zip")).predict(np.asarray(unlabelled_images(project.layout, "test")))
    classes = load_index(project.layout).classes
    said = {Path(name).stem: classes[n] for name, n in zip(unlabelled_ids(project.layout, "test"), labels, strict=True)}
    assert [said[Path(name).stem] for name in written.image_id] == list(written.label)

    patients = {line["id"]: line["group"] for line in read_csv(project.layout.index)}
    fold = {line["id"]: line["fold"] for line in read_csv(project.layout.folds_table("folds"))}
    assert len(fold) == 36 and not any(name.startswith("external/") for name in fold)
    for patient in {patients[name] for name in fold}:
        assert len({fold[name] for name in fold if patients[name] == patient}) == 1
    oof = load_predictions(next(project.layout.runs.glob("plain-*/oof.npz")))
    assert oof.ids.tolist() == list(load_index(project.layout).ids)


@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_folder_competition_ends_in_a_scored_submission(tmp_path):
    folder_competition(tmp_path)
    for path in tmp_path.glob("*/*/0*.png"):
        Image.open(path).crop((0, 0, 32, 24)).save(path)  # no square, so that the policies differ
    data = 'train = "raw"\ntruth = "hidden"\nimage_size = 32\nresize = "crop"'
    (tmp_path / "kit.toml").write_text(f"[data]\n{data}\n{RUNS}")
    project = Project(tmp_path)
    project.train()
    paths = project.submit()
    submission = load_submissions(project.layout)[0]
    predict(paths.bundle, tmp_path / "hidden", tmp_path / "predicted.csv", silent)
    predicted = pd.read_csv(tmp_path / "predicted.csv")
    truth = open_source(project.config.data, tmp_path, "truth")
    assert tuple(predicted.id) == truth.ids
    # The platform has run the zip on the same images, in a process without the kit.
    right = predicted.label == [Path(name).parent.name for name in truth.ids]
    assert submission.last(Score).score == pytest.approx(right.mean())
    assert (predicted[["cat", "dog", "hen"]].idxmax(axis=1) == predicted.label).all()
    dropped = read_csv(project.layout.dropped)
    assert sorted(line["id"] for line in dropped) == ["cat/empty.png", "cat/text.jpg", "dog/half.png"]
    assert np.unique(load_index(project.layout).labels, return_counts=True)[1].tolist() == [
        names(36).count(name) for name in ("cat", "dog", "hen")
    ]
