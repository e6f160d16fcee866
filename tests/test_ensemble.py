"""Blending predictions from files, as a user of other tools does it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from test_cli import run

from kit.base.events import Event
from kit.base.tasks import TASKS
from kit.cli import spread
from kit.errors import DataError, KitError
from kit.judge.blend import Options, fit
from kit.project import Project
from kit.runtime.pool import softmax
from kit.stages.ensemble.foreign import of_project, of_table
from kit.stages.ensemble.library import Library, decided
from kit.stages.ensemble.summary import tell
from kit.store.candidate import StoredBlend
from kit.store.data import load_images, load_index, load_record
from kit.store.partition import load_folds
from kit.store.predictions import Predictions, load_predictions

pytestmark = pytest.mark.stage


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
    blend = StoredBlend.model_validate_json((project / "blend" / "blend.json").read_text())
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
        (lambda p: p.update(ids=p["ids"][:-1], proba=p["proba"][:-1]), "has no predictions for 1 rows"),
        (lambda p: p.update(classes=np.array([*p["classes"][:-1], "ten"])), "class '9' of the data is missing"),
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


@pytest.fixture(scope="module")
def hold_out(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Digits, of which one row in five is held out, once."""
    folder = tmp_path_factory.mktemp("hold-out")
    (folder / "kit.toml").write_text(
        '[data]\ntrain = "digits"\nimage_size = 8\n[folds]\nmethod = "hold-out"\n', encoding="utf-8"
    )
    made = Project(folder)
    made.folds()
    return made


def guesses(labels: np.ndarray, right: float, seed: int) -> np.ndarray:
    """Probabilities (N, 10) whose largest is the label's in about a share ``right`` of the rows."""
    random = np.random.default_rng(seed)
    said = np.where(random.random(len(labels)) < right, labels, random.integers(0, 10, len(labels)))
    return np.eye(10)[said] * 0.8 + random.dirichlet(np.full(10, 5.0), len(labels)) * 0.2


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_in_a_hold_out_project_only_the_held_out_rows_are_blended_and_scored(
    hold_out: Project, tmp_path: Path, suffix: str
) -> None:
    index = load_index(hold_out.layout)
    held = load_folds(hold_out.layout, hold_out.config, index).validated
    proba = guesses(index.labels, 0.7, 0)
    name = "linear" if suffix == ".npz" else "near"
    ids = np.array(index.ids)
    (tmp_path / "all").mkdir()
    save(tmp_path, name, tuple(ids[held].tolist()), index.classes, proba[held])
    save(tmp_path / "all", name, index.ids, index.classes, proba)
    blends = []
    for file, out in ((f"{name}{suffix}", "one"), (f"all/{name}{suffix}", "two")):
        hold_out.blend_foreign([tmp_path / file], (), tmp_path / out)
        blends.append((tmp_path / out / "blend.json").read_text())
        with (tmp_path / out / "oof.csv").open() as written:
            assert [row["id"] for row in csv.DictReader(written)] == ids[held].tolist()
    assert blends[0] == blends[1]


def test_a_member_that_was_trained_on_rows_that_are_never_held_out_is_refused(
    hold_out: Project, tmp_path: Path
) -> None:
    index = load_index(hold_out.layout)
    held = load_folds(hold_out.layout, hold_out.config, index).validated
    proba = np.where(held[:, None], guesses(index.labels, 0.6, 1), guesses(index.labels, 0.95, 2))
    save(tmp_path, "linear", index.ids, index.classes, proba)
    with pytest.raises(DataError, match=f"{(~held).sum()} rows that are never held out .* not out of fold") as caught:
        hold_out.blend_foreign([tmp_path / "linear.npz"], (), tmp_path / "out")
    assert "fold is -1" in caught.value.hint
    assert not (tmp_path / "out").exists()
    with hold_out.layout.folds_table("folds").open() as table:
        kept = {row["id"] for row in csv.DictReader(table) if row["fold"] != "-1"}
    mask = np.isin(index.ids, list(kept))
    save(tmp_path, "linear", tuple(np.array(index.ids)[mask].tolist()), index.classes, proba[mask])
    hold_out.blend_foreign([tmp_path / "linear.npz"], (), tmp_path / "out")


def test_of_the_rows_that_are_held_out_none_may_be_missing(hold_out: Project, tmp_path: Path) -> None:
    index = load_index(hold_out.layout)
    held = load_folds(hold_out.layout, hold_out.config, index).validated
    ids = np.array(index.ids)[held]
    save(tmp_path, "linear", tuple(ids[1:].tolist()), index.classes, guesses(index.labels, 0.7, 0)[held][1:])
    with pytest.raises(DataError, match=f"has no predictions for 1 rows, first for row '{ids[0]}'"):
        hold_out.blend_foreign([tmp_path / "linear.npz"], (), tmp_path / "out")


def test_views_as_the_kit_writes_them_are_blended_as_the_kit_blends_them(hold_out: Project, tmp_path: Path) -> None:
    index = load_index(hold_out.layout)
    folds = load_folds(hold_out.layout, hold_out.config, index)
    held, classes, views = folds.validated, index.classes, ("identity", "flip-lr")
    logits = np.log([guesses(index.labels, right, seed)[held] for seed, right in enumerate((0.7, 0.75))])
    ids = np.array(index.ids)[held]
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files.append(Predictions(ids, classes, views, logits.astype(np.float32)).save(tmp_path / name / "oof.npz"))
        logits = logits[:, :, ::-1]
    hold_out.blend_foreign(files, files, tmp_path / "out")
    blend = StoredBlend.model_validate_json((tmp_path / "out" / "blend.json").read_text())
    assert blend.members == ("a/oof", "b/oof") and blend.view_names == views
    proba = softmax(np.stack([load_predictions(path).logits for path in files]).astype(np.float64))
    expected = fit(
        proba,
        index.labels[held],
        folds.fold[held],
        metric=hold_out.config.competition.metric,
        seed=hold_out.config.ensemble.seed,
        options=Options(members=blend.members, views=views, classes=classes, rows=ids.tolist()),
        groups=np.array(index.groups)[held],
    )
    assert blend == StoredBlend.model_validate_json(expected.to_json())
    with (tmp_path / "out" / "test.csv").open() as file:
        shown = [[float(row[name]) for name in classes] for row in csv.DictReader(file)]
    assert np.allclose(shown, expected.apply(proba), atol=1e-12)


def test_arrays_without_ids_are_the_same_members_as_files_with_ids(hold_out: Project, tmp_path: Path) -> None:
    index = load_index(hold_out.layout)
    held = load_folds(hold_out.layout, hold_out.config, index).validated
    proba = guesses(index.labels, 0.7, 0)
    raw = np.zeros((load_record(hold_out.layout).raw, 10))
    raw[[int(name) for name in index.ids]] = proba
    order = np.random.default_rng(0).permutation(len(held))
    (tmp_path / "mixed.ids.txt").write_text("\n".join(np.array(index.ids)[order]))
    arrays = {"all": proba, "held": proba[held], "raw": raw, "mixed": proba[order]}
    save(tmp_path, "linear", index.ids, index.classes, proba)
    hold_out.blend_foreign([tmp_path / "linear.npz"], (), tmp_path / "out")
    expected = (tmp_path / "out" / "oof.csv").read_text()
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        heard: list[Event] = []
        project = Project(hold_out.layout.root, emit=heard.append)
        project.blend_foreign([tmp_path / f"{name}.npy"], (), tmp_path / name)
        assert (tmp_path / name / "oof.csv").read_text() == expected
        assert any("has no ids" in event.text for event in heard) == (name != "mixed")


def test_an_array_is_not_taken_for_rows_in_the_order_of_numbers_that_the_table_of_labels_shuffles(
    tmp_path: Path,
) -> None:
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "raw.csv"\nimage_size = 8\n', encoding="utf-8")
    project, pixels = Project(tmp_path), np.random.default_rng(0).integers(256, size=(30, 64)).tolist()
    for ids, orders in ((range(30), 1), ([*range(1, 30), 0], 0)):
        lines = [[name, row % 3, *pixels[row]] for row, name in enumerate(ids)]
        header = ["id", "label", *(f"pixel{k}" for k in range(64))]
        (tmp_path / "raw.csv").write_text("\n".join(",".join(map(str, line)) for line in (header, *lines)))
        project.folds()
        assert len(of_project(project.layout, project.config).orders) == orders


def test_a_blend_far_below_the_plain_mean_is_told_and_another_is_not(hold_out: Project) -> None:
    index = load_index(hold_out.layout)
    y, proba = index.labels, guesses(index.labels, 0.7, 0)
    blend = fit(proba[None], y, np.arange(len(y)) % 5)
    library = Library(
        index.ids, ("a",), ("identity",), proba[None, None], y, y * 0, np.array(index.groups), index.classes
    )
    for right, told in ((0.7, False), (0.69, False), (0.5, True)):
        heard: list[Event] = []
        oof = proba if right == 0.7 else guesses(y, right, 1)
        found = blend.model_copy(update={"oof": oof, "answers": oof.argmax(axis=1)})
        tell(heard.append, hold_out.config, library, found)
        assert any("worse than the plain mean" in event.text for event in heard if event.kind == "warn") == told


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_of_several_labels_that_lose_more_than_an_error_are_not_kept(seed: int) -> None:
    rng, n = np.random.default_rng(seed), 90
    y = (rng.random((n, 3)) < 0.3).astype(np.int64)
    oof = 1 / (1 + np.exp(1 - 3 * y * (seed % 2) - rng.normal(0, 2, y.shape)))
    names, groups = tuple(map(str, range(n))), np.arange(n).astype(str)
    library = Library(
        names,
        ("a",),
        ("identity",),
        oof[None, None],
        y,
        np.arange(n) % 3,
        groups,
        ("x", "y", "z"),
        task=TASKS["multilabel"],
    )
    found = decided(library, "macro_f1", oof, oof[::-1])
    gain, error = found["decision_worth"]
    if gain < -error:
        assert set(found["decision"].thresholds) == {0.5}
        np.testing.assert_array_equal(found["answers"], oof > 0.5)
        np.testing.assert_array_equal(found["stressed_answers"], oof[::-1] > 0.5)
    plain, kept = (f1_score(y, said, average="macro") for said in (oof > 0.5, found["answers"]))
    assert kept == pytest.approx(plain + max(gain, 0.0 if gain < -error else gain))


def test_a_table_of_labels_and_folds_stands_for_a_project(project: Path, tmp_path: Path) -> None:
    (table,) = (project / "folds").glob("*.csv")
    files = [str(project / name) for name in ("linear.npz", "near.csv")]
    done = run(tmp_path, "ensemble", "--oof", *files, "--config", str(table), "--out", "without")
    assert done.returncode == 0, done.stderr
    made = Project(project)
    made.blend_foreign([Path(file) for file in files], [], tmp_path / "within")
    without, within = (json.loads((tmp_path / name / "blend.json").read_text()) for name in ("without", "within"))
    assert (without.pop("metric"), within.pop("metric")) == ("nll", made.config.competition.metric)
    for name in ("params", "weights", "member_worth", "method"):  # the scores are of another metric
        assert without[name] == within[name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["within", "without"]
    assert "accuracy" not in done.stdout


def test_a_row_of_a_table_is_held_out_where_its_fold_is_a_number_or_a_name(tmp_path: Path) -> None:
    folds = ["0", "0.0", "-1", "-1.0", "", "nan", "b"]
    lines = [f"r{row},{row % 2},{fold}" for row, fold in enumerate(folds)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,fold", *lines]), encoding="utf-8")
    known = of_table(tmp_path / "labels.csv")
    assert known.held.tolist() == [True, True, False, False, False, False, True]
    assert known.fold[0] == known.fold[1] != known.fold[6]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,label\na,0\n", "'fold' not found"),
        ("id,label,fold\na,0,0\na,1,1\n", "'a' appears twice"),
        ("id,label,fold\na,,0\nb,1,1\n", "line 2 has no label"),
        ("id,label,fold\na,0,-1\nb,1,\n", "no row has a fold"),
    ],
)
def test_a_table_that_does_not_say_what_is_held_out_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(KitError, match=said):
        of_table(tmp_path / "labels.csv")
