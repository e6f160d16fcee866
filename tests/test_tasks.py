"""Tasks beside one class an image: several labels, classes in order, shares of votes, numbers."""

from __future__ import annotations

import csv
import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from competitions import names, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from in_process import InProcess, drawn
from PIL import Image

from kit.base.events import Event, silent
from kit.base.tasks import TASKS, bins, blurred, distributions
from kit.config import Config, RunConfig, parse
from kit.errors import KitError
from kit.images.sources import open_source
from kit.images.sources.raw import RawSet
from kit.judge.blend.foreign import read_foreign
from kit.judge.metrics import row_nll
from kit.judge.score import score
from kit.runtime import pool
from kit.runtime.answer import Mismatch, labels_of
from kit.runtime.forward import mean_of_folds
from kit.stages.clean.clean import clean
from kit.stages.clean.review import propose_labels
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.ensemble.foreign import blend_foreign, of_project
from kit.stages.folds import make_folds, split
from kit.stages.forecast.forecast import forecast
from kit.stages.report.report import report
from kit.stages.stress.stress import stress
from kit.stages.table import blend_of_test, table
from kit.stages.train.steering import measure, watched_metrics
from kit.stages.train.train import train
from kit.store.candidate import Ensemble
from kit.store.data import load_index
from kit.store.layout import Layout
from kit.store.predictions import load_predictions
from kit.store.tables import read_table

pytestmark = pytest.mark.stage

NAMES = ("red", "green", "blue")
TRUTH = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])
LABELS = hnp.arrays(np.int64, st.tuples(st.integers(4, 40), st.integers(2, 5)), elements=st.integers(0, 1))
SHARES = hnp.arrays(np.int64, (6, 4), elements=st.integers(0, 3)).filter(lambda votes: votes.sum(axis=1).all())


def read(folder: Path, table: str, task: str, lines: str = "", part: Any = "train") -> RawSet:
    """The images of ``train.csv`` with this content."""
    (folder / "images").mkdir(exist_ok=True)
    for row in range(6):
        Image.new("RGB", (8, 8), (40 * row, 0, 0)).save(folder / "images" / f"i{row}.png")
    (folder / "train.csv").write_text(table)
    text = f'[competition]\ntask = "{task}"\nmetric = "nll"\n[data]\ntrain = "train.csv"\nimages = "images"\n{lines}'
    return open_source(parse(text).data, folder, part)


def columns() -> str:
    return "id," + ",".join(NAMES) + "\n" + "".join(f"i{n},{','.join(map(str, y))}\n" for n, y in enumerate(TRUTH))


def lists(divider: str, empty: str = "") -> str:
    cells = [divider.join(np.array(NAMES)[y > 0]) or empty for y in TRUTH]
    return "id,labels\n" + "".join(f'i{row},"{cell}"\n' for row, cell in enumerate(cells))


def pairs() -> str:
    found = [(row, NAMES[label]) for row, label in np.argwhere(TRUTH).tolist()] + [(1, "")]
    return "id,label\n" + "".join(f"i{row},{name}\n" for row, name in sorted(found))


@pytest.mark.parametrize("table", [columns(), lists(" "), lists(", "), lists("|", "nan"), lists(";"), pairs()])
def test_every_form_of_several_labels_says_the_same(tmp_path: Path, table: str) -> None:
    raw = read(tmp_path, table, "multilabel")
    order = [raw.classes.index(name) for name in NAMES]
    assert raw.ids == tuple(f"i{row}" for row in range(6))
    assert (raw.truth[:, order] == TRUTH).all() and (raw.labels >= 0).all()


def test_named_classes_give_several_labels_their_order_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    for text in (columns(), lists(" "), pairs()):
        raw = read(tmp_path, text, "multilabel", 'classes = "classes.txt"\n')
        assert raw.classes == NAMES and (raw.truth == TRUTH).all()
    for text, said in (
        (lists(" ").replace("green", "grey"), "'grey' is not a class"),
        (columns() + "i9,2,0,0\n", "2"),
    ):
        with pytest.raises(KitError, match=said):
            read(tmp_path, text, "multilabel", 'classes = "classes.txt"\n')


def test_other_labelled_images_have_the_columns_of_the_training_set(tmp_path: Path) -> None:
    read(tmp_path, columns(), "multilabel")
    (tmp_path / "truth.csv").write_text("id,blue,red\ni0,1,0\ni1,0,1\n")
    raw = read(tmp_path, columns(), "multilabel", 'truth = "truth.csv"\n', "truth")
    assert raw.classes == NAMES and raw.truth.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("task", ["multilabel", "soft", "regression"])
def test_images_in_folders_have_one_class_each_and_are_refused_for_another_task(tmp_path: Path, task: str) -> None:
    for name in NAMES:
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / "a.png")
    data = parse(f'[competition]\ntask = "{task}"\nmetric = "nll"\n[data]\ntrain = "train"').data
    with pytest.raises(KitError, match="one class an image"):
        open_source(data, tmp_path, "train")


def test_votes_become_shares_and_an_image_without_votes_has_no_label(tmp_path: Path) -> None:
    table = "id,cat,dog,source\ni0,3,1,a\ni1,0,0,b\ni2,0,5,a\ni3,1,1,a\ni4,0.2,0.6,c\ni5,2,0,d\n"
    raw = read(tmp_path, table, "soft")
    assert raw.classes == ("cat", "dog")
    assert np.allclose(raw.truth[[0, 2, 3, 4]], [[0.75, 0.25], [0, 1], [0.5, 0.5], [0.25, 0.75]])
    assert raw.labels.tolist() == [0, -1, 1, 0, 1, 0]


def test_a_number_is_kept_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    table = "id,age\ni0,3.5\ni1,10\ni2,\ni3,7\ni4,1\ni5,2\n"
    raw = read(tmp_path, table, "regression")
    assert raw.truth[[0, 1, 3]].tolist() == [3.5, 10, 7] and raw.labels[2] == -1
    assert (float(raw.classes[0]), float(raw.classes[-1])) == (1, 10)
    with pytest.raises(KitError, match="'old' in column 'age' is not a number"):
        read(tmp_path, table.replace("10", "old"), "regression")


def sechidis(truth: np.ndarray, n: int, order: list[int]) -> np.ndarray:
    """Algorithm 1 of Sechidis et al. (2011) with equal folds, written from the paper; ties go to the earlier one of
    ``order`` and the lower fold, where the paper draws a lot."""
    rows, fold = list(order), np.full(len(truth), -1)
    desired, wanted = (
        [Fraction(len(truth), n)] * n,
        [[Fraction(int(c), n) for c in truth.sum(axis=0)] for _ in range(n)],
    )

    def deal(row: int, among: list[int]) -> None:
        chosen = max(among, key=lambda k: (desired[k], -k))
        fold[row] = chosen
        desired[chosen] -= 1
        wanted[chosen] = [left - int(one) for left, one in zip(wanted[chosen], truth[row], strict=True)]

    while any(truth[row].any() for row in rows):
        left = {c: sum(truth[row, c] for row in rows) for c in range(truth.shape[1])}
        first = {c: [k for k, row in enumerate(order) if truth[row, c]] for c in left}
        label = min((c for c in left if left[c]), key=lambda c: (left[c], first[c]))
        for row in [row for row in rows if truth[row, label]]:
            most = max(wanted[k][label] for k in range(n))
            deal(row, [k for k in range(n) if wanted[k][label] == most])
            rows.remove(row)
    for row in rows:
        deal(row, list(range(n)))
    return fold


@settings(deadline=None, max_examples=60)
@given(LABELS, st.integers(2, 4), st.integers(0, 3))
def test_iterative_stratification_is_that_of_its_definition(truth: np.ndarray, n: int, seed: int) -> None:
    ids = tuple(f"{row}" for row in range(len(truth)))
    order = sorted(range(len(ids)), key=lambda row: hashlib.sha256(f"{seed}/{ids[row]}".encode()).digest())
    expected = sechidis(truth, n, order)
    found = split(ids, truth[:, 0], ids, n=n, seed=seed, several=truth)
    assert (found == expected).all()


@settings(deadline=None, max_examples=40)
@given(LABELS, st.integers(0, 3), st.data())
def test_groups_of_rows_with_several_labels_stay_together_and_pinned_ones_where_they_are(
    truth: np.ndarray, seed: int, data: st.DataObject
) -> None:
    ids = tuple(f"{row}" for row in range(len(truth)))
    groups = tuple(data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=len(ids), max_size=len(ids))))
    fold = split(ids, truth[:, 0], groups, n=2, seed=seed, several=truth)
    assert all(len(set(fold[[g == group for g in groups]])) == 1 for group in set(groups))
    order = np.random.default_rng(seed).permutation(len(ids))
    again = split(
        tuple(ids[row] for row in order), truth[order, 0], tuple(groups[row] for row in order),
        n=2, seed=seed, several=truth[order][:, ::-1],
    )  # fmt: skip
    assert (again == fold[order]).all()
    pinned = {ids[0]: 1 - int(fold[0])}
    assert split(ids, truth[:, 0], groups, n=2, seed=seed, several=truth, pinned=pinned)[0] == 1 - fold[0]


@given(LABELS)
def test_the_log_loss_of_several_labels_is_their_mean_cross_entropy(truth: np.ndarray) -> None:
    logits = np.random.default_rng(0).normal(size=truth.shape)
    flat = TASKS["multilabel"].flat(truth, ("",) * truth.shape[1])
    proba = pool.sigmoid(logits)
    expected = -np.where(truth, np.log(proba), np.log(1 - proba)).mean()
    assert row_nll(flat.y, flat.spread(proba)).mean() == pytest.approx(expected, rel=1e-9)
    assert np.allclose(pool.softmax(flat.logits(logits)), flat.spread(proba))
    assert np.allclose(flat.gather(flat.spread(proba)), proba)


@given(SHARES)
def test_the_log_loss_of_copies_is_the_cross_entropy_of_shares(votes: np.ndarray) -> None:
    shares = votes[[0]] / votes[[0]].sum()
    proba = pool.softmax(np.random.default_rng(0).normal(size=shares.shape))
    flat = TASKS["soft"].flat(shares, ("a", "b", "c", "d"))
    assert row_nll(flat.y, flat.spread(proba)).mean() == pytest.approx(-(shares * np.log(proba)).sum(), rel=1e-9)
    many = TASKS["soft"].flat(votes / votes.sum(axis=1, keepdims=True), ("a", "b", "c", "d"))
    counts = np.zeros((6, 4))
    np.add.at(counts, (many.row, many.y), len(votes) / len(many.y))
    assert np.abs(counts - votes / votes.sum(axis=1, keepdims=True)).max() < 0.1 + 1e-9


@given(hnp.arrays(float, 8, elements=st.floats(-5, 40), unique=True))
def test_the_target_of_a_number_is_a_distribution_around_it(numbers: np.ndarray) -> None:
    centres = np.linspace(-10, 45, 56)
    masses = blurred(numbers, centres)
    assert np.allclose(masses.sum(axis=1), 1) and (masses >= 0).all()
    assert np.abs(masses @ centres - numbers).max() < 0.02
    assert len(bins(numbers)) == 32 and float(bins(numbers)[0]) == pytest.approx(numbers.min(), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(
    ("task", "truth"), [("multilabel", TRUTH), ("soft", TRUTH[[0, 2]] / [[2], [1]]), ("regression", np.array([0.1, 7]))]
)
def test_what_a_table_keeps_of_the_truth_is_the_truth(task: str, truth: np.ndarray) -> None:
    assert np.array_equal(TASKS[task].of_texts(TASKS[task].texts(truth), 3), truth)


def test_losses_of_several_labels_are_those_of_keras_and_weights_act_by_multiplication() -> None:
    import keras

    from kit.stages.train.networks import cross_entropy, cumulative, focal

    logits = np.random.default_rng(0).normal(0, 2, TRUTH.shape).astype(np.float32)
    masses = TASKS["multilabel"].masses(TRUTH, NAMES)
    plain = keras.losses.BinaryCrossentropy(from_logits=True)(TRUTH.astype("f"), logits)
    assert float(cross_entropy(masses, logits)) == pytest.approx(3 * float(plain), rel=1e-5)
    focused = keras.losses.BinaryFocalCrossentropy(from_logits=True)(TRUTH.astype("f"), logits)
    assert float(focal(2.0)(masses, logits)) == pytest.approx(3 * float(focused), rel=1e-4)
    for loss, width in ((cross_entropy, 6), (cumulative, 3)):
        one, other = np.random.default_rng(1).random((2, 6, width)).astype(np.float32)
        mixed = float(loss(0.3 * one + 0.7 * other, logits))
        assert mixed == pytest.approx(0.3 * float(loss(one, logits)) + 0.7 * float(loss(other, logits)), rel=1e-5)


def test_the_cumulative_loss_is_the_mean_of_its_questions() -> None:
    from kit.stages.train.networks import cumulative

    y, logits = np.array([0, 2, 3, 1]), np.random.default_rng(0).normal(0, 2, (4, 4)).astype(np.float32)
    below = pool.softmax(logits.astype(float)).cumsum(axis=1)[:, :-1]
    expected = -np.where(y[:, None] <= np.arange(3), np.log(below), np.log(1 - below)).mean()
    assert float(cumulative(np.eye(4, dtype="f")[y], logits)) == pytest.approx(expected, rel=1e-5)


def test_the_huber_loss_is_that_of_keras_of_the_mean_beside_the_cross_entropy() -> None:
    import keras

    from kit.stages.train.networks import cross_entropy, huber

    names = tuple(map(str, range(8)))
    logits = np.random.default_rng(0).normal(0, 2, (5, 8)).astype(np.float32)
    masses = TASKS["regression"].masses(np.array([0.2, 3.5, 7.0, 5.1, 2.0]), names)
    means = [rows @ np.arange(8.0) for rows in (masses, pool.softmax(logits.astype(float)))]
    each = keras.losses.Huber(delta=1.0, reduction=None)(*(mean[:, None] for mean in means))
    for weight in (np.ones(5), np.array([0.0, 1.0, 2.0, 0.5, 3.0])):
        labels = (masses * weight[:, None]).astype(np.float32)
        expected = float(cross_entropy(labels, logits)) + float((np.asarray(each) * weight).mean())
        assert float(huber(labels, logits)) == pytest.approx(expected, rel=1e-4)


def test_a_blend_of_several_labels_is_that_of_single_ones_and_folds_are_averaged_as_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5, 4))
    part = {"share": 1.0, "temperatures": [1.0, 2.0], "weights": [0.3, 0.7], "slopes": [0.1, 0], "centre": 1.2}
    params: Any = {"views": [0.5, 0.2, 0.3], "parts": [{**part, "bias": [0.1, -0.1]}], "several": True}
    proba = pool.from_logits(logits, several=True)
    found = pool.apply(json.loads(json.dumps(params)), proba)
    for label in range(4):
        one = np.stack([1 - proba[..., label], proba[..., label]], axis=-1)
        assert np.allclose(found[:, label], pool.apply({**params, "several": False}, one)[:, 1])
    joined = mean_of_folds(logits[0], several=True)
    assert np.allclose(pool.sigmoid(joined.astype(float)), pool.sigmoid(logits[0]).mean(axis=0), atol=1e-6)


PROBA = np.array([[0.9, 0.2, 0.6], [0.1, 0.3, 0.2], [0.8, 0.7, 0.4]])
IDS = ("a.png", "b.png", "c.png")


def answered(header: str, lines: list[str], values: np.ndarray) -> list[list[str]]:
    table = [line.split(",") for line in lines]
    found = labels_of(header.split(","), table, IDS, values, NAMES)
    return [[line[0], *cells] for line, cells in zip(table, found, strict=True)]


@pytest.mark.parametrize("hard", [True, False])
def test_a_sample_with_a_column_for_each_label_or_a_line_for_each_pair_is_answered(hard: bool) -> None:
    values: Any = (PROBA >= 0.5).astype(np.int64) if hard else PROBA
    words = [[str(value) for value in row] for row in values.tolist()]
    found = answered("id,blue,red,green", ["b,0,0,0", "a,0,0,0", "c,0,0,0"], values)
    assert found == [[name, *(words[row][c] for c in (2, 0, 1))] for name, row in (("b", 1), ("a", 0), ("c", 2))]
    every = [(name, row, c) for row, name in enumerate("abc") for c in (1, 2, 0)]
    lines = [f"{name},{NAMES[c]},0" for name, _, c in every]
    assert answered("image,class,value", lines, values) == [[n, NAMES[c], words[row][c]] for n, row, c in every]
    joint = [f"{name}_{NAMES[c]},0" for name, _, c in every]
    assert answered("id,value", joint, values) == [[f"{n}_{NAMES[c]}", words[row][c]] for n, row, c in every]


@pytest.mark.parametrize("divider", [" ", "|", ";"])
def test_a_sample_with_lists_of_labels_is_answered_with_lists(divider: str) -> None:
    hard = (PROBA >= 0.5).astype(np.int64)
    lines = [f"a,red{divider}blue", "b,green", "c,"]
    assert [line[1] for line in answered("id,labels", lines, hard)] == [f"red{divider}blue", "", f"red{divider}green"]
    with pytest.raises(Mismatch, match="one column"):
        answered("id,labels", lines, PROBA)


def test_a_line_of_a_class_that_there_is_not_is_refused() -> None:
    with pytest.raises(Mismatch, match="'grey' in column 'class' is no class"):
        answered("id,class,value", ["a,grey,0", "a,red,0"], PROBA)


def project(
    folder: Path, task: str, table: str, header: str = "", metric: str = "nll", *, trained: bool = True
) -> tuple[Layout, Config]:
    """A project with predictions, made without TensorFlow; ``table`` is that of 36 images, ``header`` the sample's."""
    for part, n in (("train", 36), ("test", 5)):
        (folder / part).mkdir(parents=True)
        for row in range(n):
            picture(names(n)[row], row + 100 * len(part), size=16).save(folder / part / f"{row:02d}.png")
    (folder / "train.csv").write_text(table)
    (folder / "test.csv").write_text("id\n00\n01\n02\n03\n04\n")
    lines = "".join(f"0{row}{',0' * header.count(',')}\n" for row in range(5))
    (folder / "sample.csv").write_text(f"{header}\n{lines}")
    text = f"""
[competition]
task = "{task}"
metric = "{metric}"
[data]
train = "train.csv"
test = "test.csv"
test_images = "test"
sample_submission = "{"sample.csv" if header else ""}"
[folds]
n = 2
[runs.net]
backbone = "plain-cnn"
stages = [{{ train = "all", epochs = 1 }}]
batch_size = 16
class_weights = "balanced"
views = ["identity", "flip-lr"]
[stress]
families = ["noise"]
rows = 4
"""
    (folder / "kit.toml").write_text(text)
    layout, config = Layout(folder), parse(text)
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    if trained:
        train(layout, config, silent, launch=InProcess(drawn))
        stress(layout, config, silent, launch=InProcess(drawn))
    return layout, config


def check_forecasts(layout: Layout, config: Config) -> None:
    """Of run and ensemble, around what the metric says of the rows held out; a score is told on the card and board."""
    heard: list[Event] = []
    records = forecast(layout, config, heard.append)
    assert {record.kind for record in records} == {"run", "ensemble"}
    for record in records:
        kept = Ensemble.load(layout.submission(record.name).ensemble) if record.kind == "ensemble" else None
        assert record.basis == "test pictures" and record.metric == config.competition.metric
        assert record.low <= record.value <= record.high
        if kept is not None:
            assert record.clean == pytest.approx(kept.cv.score, rel=1e-4)
            assert kept.stressed is None or record.stressed == pytest.approx(kept.stressed.score, rel=1e-4)
    told = [event.text for event in heard if event.kind == "say"]
    assert not [text for text in told if text.startswith(("classes:", "labels:"))]
    assert any(text.startswith("outputs:") for text in told)


def test_several_labels_go_from_the_table_to_the_table(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(0, 2, (36, 3))
    lines = "".join(f"{row:02d},{','.join(map(str, y))}\n" for row, y in enumerate(truth.tolist()))
    layout, config = project(tmp_path, "multilabel", f"id,cat,dog,hen\n{lines}", "id,hen,cat,dog")
    index, paths = load_index(layout), ensemble(layout, config, silent)
    assert index.classes == ("hen", "cat", "dog")
    assert (index.truth == truth[[int(name) for name in index.ids]][:, [2, 0, 1]]).all()
    record, oof = Ensemble.load(paths.ensemble), load_predictions(paths.predictions)
    proba = np.clip(oof.first, 1e-15, 1)
    expected = -np.where(index.truth_of(oof.ids), np.log(proba), np.log(1 - proba)).mean()
    assert record.cv.score == pytest.approx(expected, rel=1e-5) and record.rows == len(index.ids)
    answers = read_table(table(layout, config, paths, silent))
    rows, predicted = blend_of_test(layout, config, record)
    assert rows == ("00", "01", "02", "03", "04")
    assert np.allclose(np.array([line[1:] for line in answers.rows], float), predicted, atol=1e-9)
    check_forecasts(layout, config)
    page = report(layout, config, silent, tmp_path / "report.html", compute=False).read_text()
    assert "Classes" in page and "Confusion" not in page
    propose_labels(layout, silent)
    listed = read_table(layout.proposals)
    assert len({row[1:4] for row in listed.rows}) == len(listed.rows) > 1
    for _, name, label, proposed, *_ in listed.rows:
        given = bool(index.truth_of([name])[0, index.classes.index(label.removeprefix("not "))])
        assert (label, proposed)[given].startswith("not ") and label.startswith("not ") == (not given)
    # Predictions from files: those of the kit, logits elsewhere and probabilities in a table, are blended as runs are.
    with (tmp_path / "b.csv").open("w") as file:
        csv.writer(file).writerows(
            [("id", *index.classes), *((n, *p) for n, p in zip(oof.ids, oof.first, strict=True))]
        )
    files = [next(layout.runs.glob("net-*/oof.npz")), tmp_path / "b.csv"]
    known = of_project(layout, config)
    blend = blend_foreign(known, config, silent, oof=files, test=[], out=tmp_path / "blend")
    assert blend.oof.shape == (len(index.ids), 3) and 0 < blend.nested.score < 2
    made = read_table(tmp_path / "blend/oof.csv")
    said = [{index.classes[c] for c in np.flatnonzero(row)} for row in blend.answer(blend.oof)]
    assert [set(cell.split()) for cell in made.column("label")] == said


@pytest.mark.parametrize("form", ["array", "table", "bins"])
def test_numbers_from_files_are_blended_and_keep_their_means(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.round(rng.uniform(0, 10, 36), 3)
    lines = "".join(f"{row:02d},{number}\n" for row, number in enumerate(truth.tolist()))
    layout, config = project(tmp_path, "regression", f"id,age\n{lines}", metric="rmse", trained=False)
    known = of_project(layout, config)
    wanted = known.y + rng.normal(size=len(known.y))
    centres = np.array(known.classes, float)
    if form == "array":
        np.savez(tmp_path / "a.npz", ids=known.ids, predictions=wanted)
    elif form == "table":
        (tmp_path / "a.csv").write_text(
            "id,age\n" + "".join(f"{n},{x}\n" for n, x in zip(known.ids, wanted, strict=True))
        )
    else:
        proba = distributions(wanted, centres, 1.0)
        np.savez(tmp_path / "a.npz", ids=known.ids, classes=known.classes, proba=proba)
    file = next(tmp_path.glob("a.*"))
    blend = blend_foreign(known, config, silent, oof=[file], test=[file], out=tmp_path / "out")
    assert blend.nested.score < 1.5 * np.sqrt(np.mean((wanted - known.y) ** 2))
    told = read_table(tmp_path / "out/test.csv").column("label")
    assert np.corrcoef(np.array(told, float), wanted)[0, 1] > 0.95


@given(st.lists(st.floats(0.5, 9.5), min_size=1, max_size=9), st.floats(0, 3))
def test_a_number_is_the_mean_of_its_distribution(numbers: list[float], error: float) -> None:
    centres = np.linspace(0, 10, 33)
    made = distributions(np.array(numbers), centres, error)
    assert np.allclose(made.sum(axis=1), 1) and np.allclose(made @ centres, numbers, atol=0.02)


@pytest.mark.parametrize(
    ("array", "said"),
    [([[0.2, 1.4]], "1.4 is not a probability"), ([[0.2, np.nan]], "nan is not a prob"), ([0.2, 0.4], "1 columns")],
)
def test_what_is_no_probability_of_a_label_is_refused(tmp_path: Path, array: list[Any], said: str) -> None:
    np.savez(tmp_path / "a.npz", proba=np.repeat(array, 4, axis=0))
    with pytest.raises(KitError, match=said):
        read_foreign(tmp_path / "a.npz", ("cat", "dog"), [list("abcd"), list("abcdefgh")], TASKS["multilabel"])


def test_label_errors_of_votes_are_refused(tmp_path: Path) -> None:
    votes = np.eye(3, dtype=int)[np.arange(36) % 3] + 1
    lines = "".join(f"{row:02d},{','.join(map(str, y))}\n" for row, y in enumerate(votes.tolist()))
    layout, _ = project(tmp_path, "soft", f"id,cat,dog,hen\n{lines}", trained=False)
    with pytest.raises(KitError, match="one class or several labels are supported, but the task is soft") as caught:
        propose_labels(layout, silent)
    assert caught.value.hint.startswith("kit clean")


def test_shares_of_votes_go_from_the_table_to_the_table(tmp_path: Path) -> None:
    votes = np.random.default_rng(0).integers(0, 5, (36, 3)) + np.eye(3, dtype=int)[np.arange(36) % 3]
    lines = "".join(f"{row:02d},{','.join(map(str, y))}\n" for row, y in enumerate(votes.tolist()))
    layout, config = project(tmp_path, "soft", f"id,cat,dog,hen\n{lines}", "id,cat,dog,hen", "kl")
    index, paths = load_index(layout), ensemble(layout, config, silent)
    shares = (votes / votes.sum(axis=1, keepdims=True))[[int(name) for name in index.ids]]
    assert np.allclose(index.truth, shares)
    record, oof = Ensemble.load(paths.ensemble), load_predictions(paths.predictions)
    truth = index.truth_of(oof.ids)
    expected = (truth * (np.log(np.maximum(truth, 1e-15)) - np.log(oof.first))).sum(axis=1).mean()
    assert record.cv.score == pytest.approx(expected, rel=1e-5)
    answers = read_table(table(layout, config, paths, silent))
    assert np.allclose(np.array([line[1:] for line in answers.rows], float).sum(axis=1), 1)
    check_forecasts(layout, config)
    assert report(layout, config, silent, tmp_path / "report.html", compute=False).exists()


def test_numbers_go_from_the_table_to_the_table(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(5, 2, 36).round(2).tolist()
    lines = "".join(f"{row:02d},{number}\n" for row, number in enumerate(numbers))
    layout, config = project(tmp_path, "regression", f"id,age\n{lines}", "id,age", "rmse")
    index, paths = load_index(layout), ensemble(layout, config, silent)
    assert index.truth.tolist() == [numbers[int(name)] for name in index.ids]
    record, oof = Ensemble.load(paths.ensemble), load_predictions(paths.predictions)
    said = oof.first @ np.array(index.classes, float)
    assert record.cv.score == pytest.approx(np.sqrt(np.mean((said - index.truth_of(oof.ids)) ** 2)), rel=1e-5)
    heard: list[Event] = []
    train(layout, config, heard.append, launch=InProcess(drawn))
    (told,) = [event for event in heard if event.kind == "number"]
    member = load_predictions(next(layout.root.glob("runs/net-*/oof.npz")))
    off = member.first @ np.array(index.classes, float) - index.truth_of(member.ids)
    assert told.text == "net: rmse out of fold" and told.data["value"] == pytest.approx(np.sqrt((off**2).mean()))
    answers = read_table(table(layout, config, paths, silent))
    predicted = blend_of_test(layout, config, record)[1] @ np.array(index.classes, float)
    assert np.allclose(np.array(answers.column("age"), float), predicted)
    check_forecasts(layout, config)
    assert report(layout, config, silent, tmp_path / "report.html", compute=False).exists()


def test_classes_in_order_need_names_that_say_it_or_a_list(tmp_path: Path) -> None:
    named = read(tmp_path, "id,label\ni0,2\ni1,10\ni2,1\n", "ordinal")
    assert named.classes == ("1", "2", "10")
    words = "id,label\ni0,low\ni1,high\ni2,mid\n"
    with pytest.raises(KitError, match="does not say its place"):
        read(tmp_path, words, "ordinal")
    (tmp_path / "classes.txt").write_text("low\nmid\nhigh\n")
    assert read(tmp_path, words, "ordinal", 'classes = "classes.txt"\n').labels.tolist() == [0, 2, 1]


def test_a_metric_that_is_not_of_the_task_is_refused() -> None:
    for task, metric in (("multilabel", "qwk"), ("soft", "macro_f1"), ("regression", "accuracy"), ("multiclass", "r2")):
        with pytest.raises(KitError, match=f"metric '{metric}' is not one of task '{task}'"):
            parse(f'[competition]\ntask = "{task}"\nmetric = "{metric}"\n[data]\ntrain = "practice"')


@pytest.mark.parametrize(
    ("task", "labels"),
    [("multilabel", TRUTH), ("multilabel", TRUTH.astype(bool)), ("soft", TRUTH + 1), ("regression", TRUTH[:, 0] + 0.5)],
)
def test_arrays_have_a_column_for_each_class_or_numbers(tmp_path: Path, task: str, labels: np.ndarray) -> None:
    np.savez(tmp_path / "train.npz", images=np.zeros((6, 8, 8, 3), np.uint8), labels=labels)
    (tmp_path / "classes.txt").write_text("\n".join(NAMES if task != "regression" else "012"))
    text = f'[competition]\ntask = "{task}"\nmetric = "nll"\n[data]\ntrain = "train.npz"\nclasses = "classes.txt"'
    raw = open_source(parse(text).data, tmp_path, "train")
    expected = labels / labels.sum(axis=1, keepdims=True) if task == "soft" else labels
    assert np.allclose(raw.truth, expected) and raw.classes == (NAMES if task != "regression" else ("0", "1", "2"))
    np.savez(tmp_path / "train.npz", images=np.zeros((6, 8, 8, 3), np.uint8), labels=np.array(list("abcdef")))
    with pytest.raises(KitError, match="rows of numbers"):
        open_source(parse(text).data, tmp_path, "train")


@pytest.mark.tf
def test_cutmix_mixes_what_speaks_for_a_label_and_against_it() -> None:
    from kit.config import AugmentConfig
    from kit.images.augment.pipeline import Pipeline

    masses = TASKS["multilabel"].masses(np.tile(TRUTH, (4, 1)), NAMES)
    images = np.random.default_rng(0).uniform(0, 255, (24, 16, 16, 3)).astype(np.float32)
    seeds = np.arange(48, dtype=np.int32).reshape(24, 2)
    for op in ("cutmix", "mixup"):
        mixed = np.asarray(Pipeline([AugmentConfig(op=op)], 16, 6)(images, masses, seeds)[1])
        assert np.allclose(mixed[:, :3] + mixed[:, 3:], 1, atol=1e-5)
        assert ((mixed > 0.01) & (mixed < 0.99)).any()


@pytest.mark.parametrize(("task", "metric"), [("multilabel", "auc"), ("soft", "kl"), ("regression", "rmse")])
def test_an_epoch_is_measured_by_what_fits_the_task(task: str, metric: str) -> None:
    rng, kind = np.random.default_rng(0), TASKS[task]
    names = ("0", "1", "4")
    truths = {
        "multilabel": rng.integers(0, 2, (30, 3)),
        "soft": rng.dirichlet(np.ones(3), 30),
        "regression": rng.random(30),
    }
    truth, logits = truths[task], rng.normal(size=(30, 3)).astype(np.float32)
    metrics = [*watched_metrics(RunConfig(backbone="plain-cnn"), kind.kind), "calibrated_nll"]
    found = measure(metrics, logits, kind, truth, names)
    assert list(found) == [metric, "nll", "calibrated_nll"]
    proba = pool.from_logits(logits, kind.several)
    said = proba @ np.array([0.0, 1.0, 4.0]) if task == "regression" else proba
    assert found[metric] == pytest.approx(score(metric, truth, said))
    if task == "multilabel":  # without a row of the other kind there is no curve
        assert list(measure(metrics, logits, kind, np.ones_like(truth), names)) == ["nll", "calibrated_nll"]
