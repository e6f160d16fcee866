"""Blending predictions from files, as a user of other tools does it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from test_cli import run

from kit.blend import StoredBlend
from kit.cli import spread
from kit.data import load_images, load_index
from kit.partition import load_folds
from kit.project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits with two members' predictions, one as npz, the other as csv with rows and classes in another order."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "kit.toml").write_text('[data]\ntrain = "digits"\nimage_size = 8\n', encoding="utf-8")
    made = Project(folder)
    made.folds()
    index = load_index(made.layout)
    fold = load_folds(made.layout, made.config, index).fold
    x = np.asarray(load_images(made.layout)).reshape(len(index.ids), -1)[:, ::3] / 255
    for name, model in {"linear": LogisticRegression(C=0.1, max_iter=200), "near": KNeighborsClassifier(9)}.items():
        proba = np.zeros((len(x), 10))
        for number in range(5):
            model.fit(x[fold != number], index.labels[fold != number])
            proba[fold == number] = model.predict_proba(x[fold == number])
        save(folder, name, index.ids, index.classes, proba)
        save(folder, f"{name}_test", tuple(f"t{row}" for row in range(20)), index.classes, proba[:20])
    return folder


def save(folder: Path, name: str, ids: tuple[str, ...], classes: tuple[str, ...], proba: np.ndarray) -> None:
    if name.startswith("linear"):
        np.savez(folder / f"{name}.npz", ids=np.array(ids), classes=np.array(classes), proba=proba)
        return
    rows, columns = np.random.default_rng(0).permutation(len(ids)), np.arange(10)[::-1]
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(classes[column] for column in columns)])
        writer.writerows([ids[row], *(repr(float(p)) for p in proba[row, columns])] for row in rows)


def test_files_of_other_tools_are_blended_whatever_their_order(project: Path) -> None:
    done = run(project, "ensemble", "--oof", "linear.npz", "near.csv", "--test", "linear_test.npz", "near_test.csv")
    assert done.returncode == 0, done.stderr
    blend = StoredBlend.from_json((project / "blend" / "blend.json").read_text())
    assert blend.members == ("linear", "near")
    assert sum(blend.weights) == pytest.approx(1)
    with (project / "blend" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"t{row}" for row in range(20)]
    proba = np.load(project / "linear_test.npz")["proba"], read(project / "near_test.csv")
    expected = blend.apply(np.stack(proba))
    assert np.allclose([[float(row[str(c)]) for c in range(10)] for row in rows], expected, atol=1e-12)


def read(path: Path) -> np.ndarray:
    with path.open() as file:
        table = {row["id"]: [float(row[str(c)]) for c in range(10)] for row in csv.DictReader(file)}
    return np.array([table[f"t{row}"] for row in range(20)])


def test_what_is_shown_is_out_of_fold_and_says_what_adds_nothing(project: Path) -> None:
    (project / "copy.npz").write_bytes((project / "linear.npz").read_bytes())
    done = run(project, "ensemble", "--oof", "linear.npz", "copy.npz", "--out", "twice")
    assert done.returncode == 0, done.stderr
    assert "copy" in done.stderr  # named as a duplicate
    assert "plain mean" in done.stdout
    assert "duality gap" in done.stderr
    assert json.loads((project / "twice" / "blend.json").read_text())["gap"] <= 1e-9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["proba"].__setitem__((3, 0), np.nan), "row"),
        (lambda p: p["proba"].__setitem__(3, 0.7), "row"),
        (lambda p: p.update(ids=p["ids"][:-1], proba=p["proba"][:-1]), "has no prediction of 1 rows"),
        (lambda p: p.update(classes=np.array([*p["classes"][:-1], "ten"])), "class `"),
        (lambda p: p["ids"].__setitem__(1, p["ids"][0]), "twice"),
    ],
)
def test_members_that_do_not_fit_are_refused_by_name(project: Path, tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    with np.load(project / "linear.npz") as file:
        arrays = dict(file)
    change(arrays)
    np.savez(tmp_path / "odd.npz", **arrays)
    done = run(project, "ensemble", "--oof", "linear.npz", str(tmp_path / "odd.npz"), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "odd" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_test_file_too_few_is_refused(project: Path) -> None:
    done = run(project, "ensemble", "--oof", "linear.npz", "near.csv", "--test", "linear_test.npz")
    assert done.returncode == 1
    assert "--oof names 2 files, --test 1" in done.stderr


def test_several_files_after_one_option_are_the_option_several_times() -> None:
    assert spread(["ensemble", "--oof", "a", "b", "--test", "c", "d", "--force"]) == [
        *["ensemble", "--oof", "a", "--oof", "b", "--test", "c", "--test", "d", "--force"]
    ]
    assert spread(["train", "a", "b", "--fold", "1"]) == ["train", "a", "b", "--fold", "1"]
