"""``submission.csv``: what the sample file asks for, and nothing that a strict host would refuse."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from competitions import picture
from hypothesis import given
from hypothesis import strategies as st
from recorded import join_runs, write_candidate, write_fold

from kit.base.events import silent
from kit.config import parse
from kit.errors import DataError, StageError
from kit.runs.results import lineage_of_test, require
from kit.runs.spec import plan_runs
from kit.runtime import pool
from kit.runtime.answer import Mismatch, answers, fill, match_ids, places
from kit.runtime.forward import mean_of_folds
from kit.runtime.names import columns_of
from kit.stages.clean.clean import clean
from kit.stages.folds import make_folds
from kit.stages.table import blend_of_test, check_table, table
from kit.stages.train.fold import predict_test
from kit.store.candidate import Ensemble, Member
from kit.store.data import load_index, unlabelled_ids, unlabelled_record
from kit.store.layout import Layout
from kit.store.partition import held_out, load_folds
from kit.store.predictions import load_predictions
from kit.store.tables import Table, read_table

CLASSES = ("cat", "dog", "hen")
VIEWS = ("identity", "flip-lr", "rot90")


def answer(sample, proba, classes, of_proba):
    """The cells of a sample for the probabilities of its lines, one class an image."""
    ids = sample.column(sample.header[0])[: len(proba)]
    described = {"classes": classes, "blend": {}}
    return fill(sample.header, sample.rows, ids, proba, described, of_proba, sample.path.name, ids)


def sample_of(text: str, tmp_path: Path) -> Table:
    path = tmp_path / "sample_submission.csv"
    path.write_text(text)
    return read_table(path)


def proba_of(*rows: str) -> np.ndarray:
    """One row a class name, sure of it."""
    return np.eye(3)[[CLASSES.index(name) for name in rows]] * 0.7 + 0.1


@pytest.fixture
def candidate(tmp_path):
    """A candidate of two members with three views, and what its test predictions must be."""
    layout, rng = Layout(tmp_path), np.random.default_rng(0)
    names = [f"t/{name}.png" for name in "abcdef"]
    for folder, files in (("train", [f"{name}/{n}.png" for name in CLASSES for n in range(6)]), ("test", names)):
        for row, file in enumerate(files):
            path = tmp_path / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(CLASSES[row % 3], row, size=16).save(path)
    config = config_of()
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    index, test = load_index(layout), unlabelled_record(layout, "test")
    ids, logits, members = unlabelled_ids(layout, "test"), rng.normal(size=(2, 3, 6, 3)), []
    for name, said in zip(("one", "two"), logits, strict=True):
        (spec, other) = plan_runs(layout, config, [name])[name]
        # The second member has its views in another order.
        ordered = said if name == "one" else said[[0, 2, 1]]
        for one in (spec, other):
            rows = np.flatnonzero(held_out(load_folds(layout, config, index).table, one.fold))
            write_fold(one, np.array(index.ids)[rows], rng.normal(size=(3, len(rows), 3)))
            predict_test(one, lineage_of_test(one, require(one), test), lambda *_, said=ordered: said)
        network = spec.network
        members.append(Member(run=name, folder=spec.run_paths.root.name, folds=2, network=network, oof="", weights=()))
    join_runs(layout, config)
    paths = layout.submission("20260101T000000Z-aaaaaaaa")
    part = {"temperatures": (2, 1), "weights": (0.25, 0.75)}
    record = write_candidate(paths, members, CLASSES, VIEWS, **part)
    means = [mean_of_folds(np.stack([said, said])) for said in logits.astype(np.float32)]
    return layout, paths, record.blend.apply(pool.from_logits(np.stack(means))), ids


def config_of(extra: str = "", metric: str = "accuracy"):
    text = '[data]\ntrain = "train"\ntest = "test"\n[clean]\nexact = "keep"\n[folds]\nn = 2\n'
    views = 'backbone = "plain-cnn"\nviews = ["identity", "flip-lr", "rot90"]\n'
    runs = f'[runs.one]\n{views}[runs.two]\nextends = "one"\nviews = ["identity", "rot90", "flip-lr"]\n'
    return parse(f'[competition]\nmetric = "{metric}"\n' + text.replace("[clean]", extra + "\n[clean]") + runs)


@pytest.mark.stage
def test_members_are_blended_whatever_the_order_of_their_views(candidate):
    layout, paths, expected, ids = candidate
    found_ids, proba = blend_of_test(layout, config_of(), Ensemble.load(paths.ensemble))
    assert found_ids == ids
    np.testing.assert_array_equal(proba, expected)


@pytest.mark.stage
def test_the_file_has_the_columns_ids_and_order_of_the_sample(candidate):
    layout, paths, expected, _ = candidate
    (layout.root / "sample.csv").write_text("image,dog,hen,cat\n" + "".join(f"{n},0.3,0.3,0.4\n" for n in "fadbec"))
    written = pd.read_csv(table(layout, config_of('sample_submission = "sample.csv"', "nll"), paths, silent))
    assert list(written.columns) == ["image", "dog", "hen", "cat"] and list(written.image) == list("fadbec")
    rows = ["abcdef".index(name) for name in "fadbec"]
    np.testing.assert_allclose(written[["cat", "dog", "hen"]], expected[rows], atol=1e-11)


@pytest.mark.stage
@pytest.mark.parametrize("sample", ["label,id", "cat,image,dog,hen"])
def test_the_column_of_ids_may_stand_behind_the_answers(candidate, sample):
    layout, paths, expected, _ = candidate
    ids = [f"cat,{n}" if sample == "label,id" else f"0.5,{n},0.5,0" for n in "cba"]
    (layout.root / "sample.csv").write_text("\n".join([sample, *ids]))
    metric = "accuracy" if sample == "label,id" else "nll"
    written = pd.read_csv(table(layout, config_of('sample_submission = "sample.csv"', metric), paths, silent))
    assert ",".join(written.columns) == sample and list(written[sample.split(",")[1]]) == list("cba")
    if metric == "nll":
        np.testing.assert_allclose(written[list(CLASSES)], expected[[2, 1, 0]], atol=1e-11)


@pytest.mark.stage
@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("id,label\na,cat\nz,cat\n", "1 of 2 ids"),
        ("id,cat,dog\na,1,0\n", "'hen' has no column"),
        ("id,label\na,00_cat\nb,01_dog\nc,00_cat\n", "none of which is one of the classes"),
        ("id,label\nA.PNG,x", ""),
        ("id,label\na,cat hen\nb,dog cat\n", ""),
    ],
)
def test_a_sample_that_cannot_be_filled_is_told_before_any_training(candidate, sample, said):
    layout, _, _, _ = candidate
    (layout.root / "sample.csv").write_text(sample)
    heard = []
    clean(layout, config_of('sample_submission = "sample.csv"'), heard.append)
    assert [event.text for event in heard if event.kind == "warn" and said in event.text] or not said
    assert bool(said) == any("submission.csv cannot" in event.text for event in heard)
    assert sample.endswith(",x") == any("'x', which is no class" in event.text for event in heard)


@pytest.mark.stage
def test_labels_are_written_where_the_sample_has_one_column(candidate):
    layout, paths, expected, _ = candidate
    (layout.root / "sample.csv").write_text("id,label\n" + "".join(f"{n}.png,cat\n" for n in "cba"))
    path = table(layout, config_of('sample_submission = "sample.csv"'), paths, silent)
    wanted = [CLASSES[expected["abcdef".index(name)].argmax()] for name in "cba"]
    assert path.read_text().split() == ["id,label", *(f"{n}.png,{c}" for n, c in zip("cba", wanted, strict=True))]


@pytest.mark.stage
def test_a_sample_with_ids_that_have_no_image_is_a_mistake_of_the_user_with_a_hint(candidate):
    layout, paths, _, _ = candidate
    (layout.root / "sample.csv").write_text("id,label\na,cat\nz,cat\n")
    with pytest.raises(DataError, match="1 of 2 ids have no test image, the first is 'z'") as caught:
        table(layout, config_of('sample_submission = "sample.csv"'), paths, silent)
    assert caught.value.hint.startswith("[data] test =") and not paths.table.exists()


@pytest.mark.stage
def test_without_a_sample_there_are_labels_or_probabilities_as_the_metric_needs(candidate):
    layout, paths, expected, ids = candidate
    labels = pd.read_csv(table(layout, config_of(), paths, silent))
    assert list(labels.id) == list(ids) and list(labels.label) == [CLASSES[row.argmax()] for row in expected]
    proba = pd.read_csv(table(layout, config_of(metric="auc"), paths, silent))
    assert list(proba.columns) == ["id", *CLASSES]


@pytest.mark.stage
def test_a_second_time_gives_the_same_bytes_and_says_so(candidate):
    layout, paths, _, _ = candidate
    said = []
    first = table(layout, config_of(), paths, silent).read_bytes()
    assert table(layout, config_of(), paths, said.append).read_bytes() == first
    assert [event.kind for event in said] == ["fresh"]


@pytest.mark.stage
def test_a_member_without_test_predictions_is_named(candidate):
    layout, paths, _, _ = candidate
    (run,) = layout.runs.glob("two-*/test.npz")
    run.unlink()
    with pytest.raises(StageError, match="run `two` has no predictions for the current test images") as caught:
        table(layout, config_of(), paths, silent)
    assert caught.value.hint == "kit train two"


@pytest.mark.stage
def test_predictions_of_other_test_images_or_changed_ones_are_not_taken(candidate):
    layout, paths, _, _ = candidate
    (run,) = layout.runs.glob("two-*/test.npz")
    before = run.read_bytes()
    load_predictions(run).select(VIEWS).save(run)
    with pytest.raises(StageError, match=r"test\.npz was changed after the kit wrote it"):
        table(layout, config_of(), paths, silent)
    run.write_bytes(before)
    picture("hen", 99, size=16).save(layout.root / "test/t/a.png")
    clean(layout, config_of(), silent)
    with pytest.raises(StageError, match="run `one` has no predictions for the current test images"):
        table(layout, config_of(), paths, silent)


@given(st.permutations(range(6)))
def test_ids_match_with_or_without_folder_and_suffix(order):
    ids = [f"test/{n}.png" for n in range(6)]
    for wanted in (ids, [f"{n}.png" for n in range(6)], [str(n) for n in range(6)], [f"{n}.jpg" for n in range(6)]):
        assert match_ids([wanted[n] for n in order], ids, "sample").tolist() == list(order)


def test_ids_that_would_be_mixed_up_are_not_matched():
    with pytest.raises(Mismatch, match="2 of 3 ids have no test image, the first is '1'"):
        match_ids(["1", "2", "3"], ["a/1.png", "b/1.png", "2.png"], "sample")


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True), st.randoms(use_true_random=False))
def test_row_numbers_match_however_many_zeros_they_begin_with(numbers, random):
    ids = [f"{number:07d}" for number in numbers]
    order = random.sample(range(len(numbers)), len(numbers))
    for form in ("{}", "{}.0", "{:05d}", "test/{}.jpg"):
        assert match_ids([form.format(numbers[row]) for row in order], ids, "sample").tolist() == order


def test_only_the_suffix_of_an_image_is_cut_off_an_id():
    ids = ["scan.1.v2.PNG", "scan.1.v3.png", "scan.2"]
    assert match_ids(["scan.2", "scan.1.v3", "scan.1.v2"], ids, "sample").tolist() == [2, 1, 0]
    with pytest.raises(Mismatch):
        match_ids(["scan.1"], ["scan.1.v2"], "sample")


def test_an_id_matches_however_its_accents_are_composed():
    ids = [unicodedata.normalize("NFD", f"café_{row}.png") for row in range(3)]
    assert match_ids(["café_2", "café_0"], ids, "sample").tolist() == [2, 0]


def test_an_id_without_an_image_or_twice_in_the_sample_is_named():
    with pytest.raises(Mismatch, match="1 of 2 ids have no test image, the first is 'z'"):
        match_ids(["a", "z"], ["a.png", "b.png"], "sample")
    with pytest.raises(Mismatch, match="has the id 'a' twice"):
        match_ids(["a", "a"], ["a.png", "b.png"], "sample")


def test_class_numbers_are_written_where_the_sample_has_numbers(tmp_path):
    sample = sample_of("id,label\n1,0\n2,0\n", tmp_path)
    assert answer(sample, proba_of("hen", "dog"), CLASSES, "") == [["2"], ["1"]]
    assert answer(sample, proba_of("hen", "dog"), ("3", "0", "7"), "") == [["7"], ["0"]]


@pytest.mark.parametrize("seen", [{"0"}, {"1", "2"}, {"0.0"}, {"", "nan"}])
def test_a_class_that_is_a_number_is_written_as_that_number_whatever_the_sample_holds(seen):
    assert answers(("id", "label"), seen, proba_of("hen", "dog", "cat"), ("1", "2", "3")) == [["3"], ["2"], ["1"]]


def test_numbers_in_the_sample_that_are_no_places_of_the_classes_are_refused():
    with pytest.raises(Mismatch, match="the labels 1, 3, which are no numbers of the 3 classes cat, dog, hen"):
        answers(("id", "label"), {"1", "3"}, proba_of("hen"), CLASSES)


def test_one_column_with_the_name_of_a_class_is_of_that_class():
    proba = np.array([[0.75, 0.25], [0.125, 0.875]])
    assert answers(("id", "Sick"), {"0.5"}, proba, ("sick", "well"), "auc") == [["0.75"], ["0.125"]]
    assert answers(("id", "sick"), {"0"}, proba, ("sick", "well")) == [["1"], ["0"]]
    assert answers(("id", "sick"), {"0.5"}, proba, ("sick", "well")) == [[str(p)] for p in proba[:, 0].tolist()]
    assert answers(("id", "sick"), {"well"}, proba, ("sick", "well")) == [["sick"], ["well"]]
    assert answers(("id", "hen"), {"0"}, proba[:, [0, 1, 0]], CLASSES, "auc") == [["0.75"], ["0.125"]]


@given(st.permutations("AaBbC"))
def test_columns_are_told_by_their_exact_names_before_others(order):
    classes = ("A", "B", "C", "a", "b")
    proba = np.eye(5)
    written = answers(("id", *order), set(), proba, classes, "nll")
    assert [[column for column, value in zip(order, row, strict=True) if value == "1"] for row in written] == [
        [name] for name in classes
    ]
    assert places([name.swapcase() if name == "C" else name for name in order], classes) == places(order, classes)


@pytest.mark.stage
def test_a_column_of_no_class_is_0_where_every_class_has_its_column(candidate):
    layout, paths, expected, _ = candidate
    rows = "".join(f"{name},0,0,0,0\n" for name in "abcdef")
    (layout.root / "sample.csv").write_text(f"image,owl,dog,hen,cat\n{rows}")
    said = []
    path = table(layout, config_of('sample_submission = "sample.csv"', "nll"), paths, said.append)
    written = pd.read_csv(path)
    assert (written.owl == 0).all() and any("owl" in event.text for event in said if event.kind == "warn")
    np.testing.assert_allclose(written[["cat", "dog", "hen"]], expected, atol=1e-11)


def test_one_column_for_a_metric_of_probabilities_is_that_of_the_second_class(tmp_path):
    sample = sample_of("id,target\n1,0.5\n2,0.5\n", tmp_path)
    assert answer(sample, np.array([[0.25, 0.75], [1, 0]]), ("no", "yes"), "auc") == [["0.75"], ["0"]]
    with pytest.raises(Mismatch, match="one column, 'target', for the auc of 3 classes"):
        answer(sample, proba_of("cat", "dog"), CLASSES, "auc")


def test_a_column_that_is_no_class_and_a_class_without_column_are_named(tmp_path):
    with pytest.raises(Mismatch, match="'owl' is no class"):
        answer(sample_of("id,cat,dog,owl\n1,0,0,1\n", tmp_path), proba_of("cat"), CLASSES, "nll")
    with pytest.raises(Mismatch, match="'hen' has no column"):
        answer(sample_of("id,cat,dog\n1,0,1\n", tmp_path), proba_of("cat"), CLASSES, "nll")


def test_a_number_in_the_only_column_is_a_class_of_two_only(tmp_path):
    sample, three = sample_of("id,level_1\n1,-1\n", tmp_path), np.array([[0.2, 0.3, 0.5]])
    assert answer(sample, np.array([[0.75, 0.25]]), ("0", "1"), "auc") == [["0.25"]]
    with pytest.raises(Mismatch, match="one column, 'level_1', for the auc of 3 classes"):
        answer(sample, three, ("0", "1", "2"), "auc")
    assert answer(sample, three, ("0", "1", "2"), "") == [["2"]]


@pytest.mark.parametrize("form", ["p_{}", "class {}", "{} (p)", "is.{}?"])
@pytest.mark.parametrize("case", [str, str.upper])
def test_columns_may_have_the_same_around_the_names_of_classes(form, case, tmp_path):
    columns = ",".join(form.format(case(name)) for name in ("hen", "cat", "dog"))
    sample = sample_of(f"id,{columns}\n1,0,0,1\n", tmp_path)
    assert answer(sample, proba_of("dog"), CLASSES, "nll") == [["0.1", "0.1", "0.8"]]


@given(st.integers(2, 40), st.integers(0, 1), st.sampled_from(["class", "Class_", "c-", "p_1_", ""]), st.randoms())
def test_numbered_columns_are_of_the_classes_with_these_numbers(count, start, before, random):
    classes = [str(number) for number in range(start, start + count)]
    columns = random.sample(classes, count)
    assert [columns[place] for place in columns_of([before + name for name in columns], classes)] == classes
    assert -1 in columns_of([before + str(int(name) + 1) for name in columns], classes)


@pytest.mark.parametrize(
    ("column", "names", "place"),
    [
        ("P(Cat)", ("cat", "dog"), 0),
        ("p_cat", ("cat", "dog"), 0), ("dog probability", ("cat", "dog"), 1), ("target", ("cat", "dog"), 1),
        ("concat", ("cat", "dog"), 1), ("cat_or_dog", ("cat", "dog"), 1), ("label_0", ("0", "1"), 0),
        ("target", ("target", "other"), 0),
    ],
)  # fmt: skip
def test_the_only_column_is_of_the_class_that_it_names_or_else_of_the_second(column, names, place, tmp_path):
    sample = sample_of(f"id,{column}\n1,0.5\n", tmp_path)
    assert answer(sample, np.array([[0.25, 0.75]]), names, "auc") == [[["0.25", "0.75"][place]]]


@given(st.integers(2, 40), st.integers(1, 30), st.integers(0, 1000))
def test_whatever_the_probabilities_the_file_passes_the_host(classes, rows, seed):
    names = tuple(f"c{number}" for number in range(classes))
    proba = np.random.default_rng(seed).dirichlet(np.full(classes, 0.05), size=rows)
    proba = np.maximum(proba, 1e-7) / np.maximum(proba, 1e-7).sum(axis=1, keepdims=True)
    header = ("id", *names)
    sample = Table(Path("sample.csv"), header, tuple((str(row), *["0"] * classes) for row in range(rows)))
    frame = pd.DataFrame(answer(sample, proba, names, "nll"), columns=list(names))
    frame.insert(0, "id", range(rows))
    check_table(frame.to_csv(index=False), sample)


GOOD = "id,cat,dog,hen\na,0.5,0.25,0.25\nb,0,0,1\nc,1,0,0\n"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GOOD.replace("cat,dog", "dog,cat"), "the header is id, dog, cat, hen"),
        (GOOD.replace("c,1,0,0\n", ""), "2 rows, but the sample has 3"),
        (GOOD.replace("c,1", "b,1"), "line 4: id 'b' is already in line 3"),
        (GOOD.replace("c,1", "d,1"), "line 4 has the id 'd', but the sample has 'c'"),
        (GOOD.replace("a,0.5", "a,nan"), "line 2 \\(a\\) has an empty or non-finite cell"),
        (GOOD.replace("a,0.5", "a,"), "line 2 \\(a\\) has an empty or non-finite cell"),
        (GOOD.replace("a,0.5", "a,0.500002"), "line 2 \\(a\\): probabilities .* sum 1.0000020"),
        (GOOD.replace("b,0,0", "b,-0.5,0.5"), "line 3 \\(b\\): probabilities from -0.5"),
        (GOOD.replace("a,0.5", "a,half"), "line 2 \\(a\\) has a cell that is not a number"),
        (GOOD.replace("a,0.5", "a,0.5,0"), "line 2 has 5 cells"),
        ("", "the header is nothing"),
    ],
)
def test_what_a_strict_host_refuses_is_refused_with_the_line(broken, message, tmp_path):
    sample = sample_of(GOOD, tmp_path)
    check_table(GOOD, sample)
    with pytest.raises(DataError, match=message):
        check_table(broken, sample)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("id,dog,cat\na,0,0\nb,0,0\n", ""),
        ("id,label\na,cat dog\nb,cat\n", ""),
        ("id,label\na_cat,0\na_dog,0\nb_cat,0\nb_dog,0\n", ""),
        ("id,dog,hen\na,0,0\nb,0,0\n", "'hen' is no class, 'cat' has no column"),
        ("id,dog,cat\na,0,0\nz,0,0\n", "1 of 2 ids have no test image, the first is 'z'"),
    ],
)
def test_a_sample_of_several_labels_is_compared_before_any_training(tmp_path, sample, said):
    for row, name in enumerate("abcdefgh"):
        picture(CLASSES[row % 3], row, size=16).save(tmp_path / f"{name}.png")
        (tmp_path / "test").mkdir(exist_ok=True)
    for name in "ab":
        picture("cat", ord(name), size=16).save(tmp_path / f"test/{name}.png")
    (tmp_path / "train.csv").write_text(
        "id,cat,dog\n" + "".join(f"{name},{row % 2},{row // 2 % 2}\n" for row, name in enumerate("abcdefgh"))
    )
    (tmp_path / "sample.csv").write_text(sample)
    told = []
    text = '[competition]\ntask = "multilabel"\nmetric = "macro_f1"\n'
    text += '[data]\ntrain = "train.csv"\ntest = "test"\nsample_submission = "sample.csv"\n'
    clean(Layout(tmp_path), parse(text), told.append)
    warned = [event.text for event in told if event.kind == "warn" and "submission.csv" in event.text]
    assert len(warned) == bool(said) and all(said in one for one in warned), warned
