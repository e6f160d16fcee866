"""Students: what teachers may have seen, what a student is made from, and labels that are the same after a kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import fingerprint
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from in_process import InProcess, drawn, in_this_process, networks
from stub import StubTrainer, predictor

from kit.base.events import Event, silent
from kit.config import parse
from kit.errors import ConfigError, StageError, TrainingError
from kit.project import Project
from kit.runs.results import PredictionSpec, load_oof, require, trained
from kit.runs.spec import FoldSpec, plan_runs, with_teachers
from kit.runs.stressed import StressedFold
from kit.runtime.pool import softmax
from kit.stages.train.checkpoint import Interrupt
from kit.stages.train.features import feature_lineage
from kit.stages.train.fold import load_fold_data, train_fold
from kit.stages.train.loop import FoldData, weighted_labels
from kit.stages.train.teach import Stacked, confident, pictures, sharpened, taught
from kit.stages.train.train import train
from kit.store.candidate import Ensemble
from kit.store.data import load_index
from kit.store.files import sha256_json
from kit.store.predictions import load_predictions
from kit.store.record import digests_of

pytestmark = pytest.mark.stage

HEAD = """
[data]
train = "small.npz"
test = "test.npz"
[folds]
n = 3
repeats = 2
"""
RUNS = """
[runs.student]
extends = "a"
backbone = "residual-cnn"
teach = "ensemble"
views = ["identity"]
[runs.next]
extends = "a"
backbone = "residual-cnn"
views = ["identity"]
teach = { by = ["student"], pseudo = "test", soft = 0.5 }
[runs.a]
backbone = "two-conv-cnn"
stages = [{ train = "all", epochs = 2, lr = 2e-3 }]
views = ["identity", "flip-lr"]
batch_size = 16
[runs.b]
extends = "a"
seed = 1
"""
TESTS = 14


def images(n: int, seed: int, labels: Any = None) -> Any:
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 120, (n, 16, 16, 3), dtype=np.uint8)
    for row in range(n if labels is not None else 0):
        found[row, 4:12, 4:12, labels[row]] += 80
    return found


def write(folder: Path, runs: str = RUNS, labels: Any = None, shown: Any = None) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(60) % 3 if labels is None else labels
    shown = images(len(labels), 0, labels) if shown is None else shown
    np.savez(folder / "small.npz", images=shown, labels=labels)
    np.savez(folder / "test.npz", images=images(TESTS, 1, np.arange(TESTS) % 3))
    (folder / "kit.toml").write_text(HEAD + runs)
    project = Project(folder)
    project.folds()
    return project


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two teachers, their student and a student of that one on test images, all trained."""
    project = write(tmp_path_factory.mktemp("whole") / "project")
    train(project.layout, project.config, silent, launch=InProcess(drawn), pictures=False)
    return project


@pytest.fixture
def copied(whole: Project, tmp_path: Path) -> Project:
    shutil.copytree(whole.layout.root, tmp_path / "copy")
    return Project(tmp_path / "copy")


def specs(project: Project, name: str) -> list[FoldSpec]:
    return plan_runs(project.layout, project.config, [name])[name]


def ancestors(spec: FoldSpec) -> Iterator[FoldSpec]:
    for teacher in spec.taught_by:
        yield teacher
        yield from ancestors(teacher)


def labels_of(spec: FoldSpec, interrupt: Interrupt | None = None, of: Any = predictor) -> FoldData:
    return taught(spec, load_fold_data(spec), of, lambda line: None, interrupt or Interrupt())


# What a student may know.


def test_no_teacher_was_trained_on_a_held_out_row_or_its_group(tmp_path: Path) -> None:
    labels = np.arange(60) % 3
    shown = images(60, 0, labels)
    shown[30:] = np.clip(shown[:30].astype(int) + 3, 0, 255)  # near copies: groups of two
    project = write(tmp_path / "project", labels=labels, shown=shown)
    groups = np.array(load_index(project.layout).groups)
    assert len(set(groups.tolist())) <= 30
    for spec in specs(project, "next"):
        held = load_fold_data(spec).valid_rows
        assert len(list(ancestors(spec))) == 3
        for teacher in ancestors(spec):
            rows = load_fold_data(teacher).train_rows
            assert set(groups[rows]).isdisjoint(groups[held])
            assert teacher.fold == spec.fold


def pixels(shown: Any) -> Any:
    return np.asarray(shown[..., 0], np.float64).reshape(len(shown), -1) / 255 - 0.25


class Linear:
    """Least squares on pixels, which learns any labels by heart: of its rows, given their (N, C) labels."""

    def __init__(self, spec: FoldSpec, labels: Any, rows: Any) -> None:
        self.kernel = np.linalg.lstsq(pixels(pictures(spec)[rows]), labels[rows], rcond=None)[0]

    def __call__(self, shown: Any, rows: Any, views: tuple[str, ...]) -> Any:
        logits = np.log(np.clip(pixels(shown[rows]) @ self.kernel, 1e-3, None))
        return np.stack([logits] * len(views)).astype(np.float32)


def by_heart(spec: FoldSpec, weights: str) -> Linear:
    data = load_fold_data(spec)
    return Linear(spec, weighted_labels(spec.settings, data), data.train_rows)


def test_on_random_labels_a_student_is_at_chance_and_would_not_be_with_the_teachers_of_other_folds(
    tmp_path: Path,
) -> None:
    labels = np.random.default_rng(3).permutation(np.arange(1000) % 2)
    noise = np.random.default_rng(4).integers(0, 128, (1000, 16, 16, 3), dtype=np.uint8)
    runs = """
[clean]
near = "off"
quality = false
[runs.a]
backbone = "two-conv-cnn"
views = ["identity"]
[runs.student]
extends = "a"
teach = { by = "a", soft = 1.0 }
"""
    project = write(tmp_path / "project", runs, labels, noise)
    train(project.layout, project.config, silent, runs=["a"], launch=InProcess(drawn), pictures=False)

    def right(spec: FoldSpec) -> int:
        data = labels_of(spec, of=by_heart)
        student = Linear(spec, weighted_labels(spec.settings, data), data.train_rows)
        said = student(pictures(spec), data.valid_rows, ("identity",))[0]
        return int((said.argmax(axis=1) == data.truth[data.valid_rows]).sum())

    folds = specs(project, "student")[:3]
    others = [folds[number - 1].teachers for number in range(3)]
    leaking = [spec.model_copy(update={"teachers": other}) for spec, other in zip(folds, others, strict=True)]
    error = np.sqrt(len(labels)) / 2
    assert abs(sum(map(right, folds)) - len(labels) / 2) < 3 * error
    assert sum(map(right, leaking)) - len(labels) / 2 > 6 * error


def test_test_images_are_trained_on_and_never_scored(whole: Project) -> None:
    index = load_index(whole.layout)
    n = len(index.ids)
    for spec in specs(whole, "next"):
        data = labels_of(spec)
        assert sorted(data.train_rows[data.train_rows >= n].tolist()) == list(range(n, n + TESTS))
        assert max(data.valid_rows) < n
        assert len(pictures(spec)) == n + TESTS
        (teacher,) = spec.taught_by
        logits = predictor(teacher, "")(pictures(spec), np.arange(n, len(pictures(spec))), teacher.settings.views)
        assert weighted_labels(spec.settings, data)[n:] == pytest.approx(softmax(logits)[0], abs=1e-5)
    found = load_oof(specs(whole, "next"), index)
    assert tuple(found.ids.tolist()) == index.ids


@pytest.mark.parametrize(("pseudo", "counts"), [("unlabelled", [5]), ("both", [TESTS, 5])])
def test_other_images_without_labels_are_trained_on_like_those_of_the_test(
    copied: Project, pseudo: str, counts: list[int]
) -> None:
    root, text = copied.layout.root, (HEAD + RUNS).replace('"test", soft', f'"{pseudo}", soft')
    copied.layout.config.write_text(text)
    with pytest.raises(ConfigError, match="needs unlabelled images"):
        specs(Project(root), "next")
    copied.layout.config.write_text(text.replace("[folds]", 'unlabelled = "more.npz"\n[folds]'))
    np.savez(root / "more.npz", images=images(5, 7))
    project = Project(root)
    project.folds()
    spec = specs(project, "next")[0]
    n, every = len(load_index(project.layout).ids), pictures(spec)
    assert len(every) == n + sum(counts)
    np.testing.assert_array_equal(every[-5:], images(5, 7))
    rows = labels_of(spec).train_rows
    assert rows[rows >= n].tolist() == list(range(n, len(every)))
    assert specs(project, "a~round-1")[0].settings.teach.pseudo == "both"  # type: ignore[union-attr]
    np.savez(root / "more.npz", images=images(5, 8))
    project.folds()
    assert specs(project, "next")[0].key != spec.key
    with pytest.raises(TrainingError, match="have changed"):
        load_fold_data(spec)


def test_a_student_that_takes_nothing_from_its_teachers_is_the_network_that_learns_from_labels(copied: Project) -> None:
    text = copied.layout.config.read_text()
    copied.layout.config.write_text(text.replace('teach = "ensemble"', 'teach = { by = "ensemble", soft = 0.0 }'))
    spec = specs(Project(copied.layout.root), "student")[0]
    data, plain = labels_of(spec), load_fold_data(spec)
    assert data.train_rows.tolist() == plain.train_rows.tolist()
    labels = (weighted_labels(spec.settings, one)[plain.train_rows] for one in (data, plain))
    np.testing.assert_array_equal(*labels)


def test_labels_of_training_images_are_mixed_with_those_of_the_teachers(whole: Project) -> None:
    spec = specs(whole, "student")[0]
    data, rows = labels_of(spec), load_fold_data(spec).train_rows
    said = [predictor(teacher, "")(pictures(spec), rows, ("identity",))[0] for teacher in spec.taught_by]
    own = np.eye(3)[data.truth[rows]]
    expected = 0.8 * own + 0.2 * softmax(np.stack(said)).mean(axis=0)
    assert weighted_labels(spec.settings, data)[rows] == pytest.approx(expected, abs=1e-5)
    assert data.train_rows.tolist() == rows.tolist()


def test_test_images_below_the_bound_of_their_class_are_left_out(whole: Project) -> None:
    spec = specs(whole, "next")[0]
    n, rows = len(load_index(whole.layout).ids), np.arange(TESTS)
    said = weighted_labels(spec.settings, labels_of(spec))[n:]
    bounds = [0.0, float(np.median(said.max(axis=1))), 1.0]
    settings = spec.settings.teach.model_copy(update={"min_confidence": tuple(bounds)})  # type: ignore[union-attr]
    stricter = spec.model_copy(update={"settings": spec.settings.model_copy(update={"teach": settings})})
    kept = labels_of(stricter).train_rows
    sure = [row for row in rows if said[row].max() >= bounds[said[row].argmax()]]
    assert (kept[kept >= n] - n).tolist() == sure
    assert len(sure) < TESTS


# What a student is made from.


def test_a_run_without_teachers_is_what_it_was_before_there_were_any(whole: Project) -> None:
    spec = specs(whole, "a")[0]
    told = spec.settings.model_dump(mode="json", exclude={"weights", "inner_fraction", "teach"})
    from kit.runs.spec import lineage

    found = lineage(spec.settings, spec.weights, load_index(whole.layout), spec.table)
    assert found["settings"] == sha256_json(told)
    assert spec.key == sha256_json(found)
    assert set(require(spec).made_from) == {"run", "fold"}


def test_a_teacher_that_comes_out_otherwise_makes_its_students_stale(copied: Project) -> None:
    student, after = specs(copied, "student")[1], specs(copied, "next")[1]
    teacher = student.taught_by[0]
    assert all(trained(spec) is not None for spec in (student, after))
    with np.load(teacher.paths.weights) as found:
        kernel = found["kernel"]
    np.savez(teacher.paths.weights, kernel=kernel / 2)
    record = require(teacher)
    files = {**record.files, **digests_of(teacher.paths.root, teacher.paths.weights)}
    record.model_copy(update={"files": files}).save(teacher.paths.record)
    assert trained(student) is None
    assert trained(after) is None
    assert trained(specs(copied, "student")[0]) is not None  # other folds have other teachers
    launch = InProcess(drawn)
    train(copied.layout, copied.config, silent, launch=launch, pictures=False)
    assert launch.done == ["fold student 1", "fold next 1", "test a 1"]


def test_another_teacher_or_other_test_images_are_another_run(copied: Project) -> None:
    before = {name: specs(copied, name)[0].key for name in ("a", "student", "next")}
    features = feature_lineage(specs(copied, "next")[0])
    np.savez(copied.layout.root / "test.npz", images=images(TESTS, 2))
    copied.folds()
    now = {name: specs(copied, name)[0].key for name in before}
    assert [before[name] == now[name] for name in before] == [True, True, False]
    assert feature_lineage(specs(copied, "next")[0]) != features
    assert "test" not in feature_lineage(specs(copied, "a")[0])
    copied.layout.config.write_text(HEAD + RUNS.replace("lr = 2e-3", "lr = 1e-3"))
    changed = Project(copied.layout.root)
    assert {specs(changed, name)[0].key for name in before}.isdisjoint(now.values())


def test_an_unfinished_student_does_not_go_on_with_the_labels_of_another_teacher(copied: Project) -> None:
    spec = specs(copied, "student")[0]
    spec.paths.record.unlink()

    class Stopped(StubTrainer):
        def weights(self) -> dict[str, Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fold(spec, Stopped, lambda line: None, Interrupt(), predictor)
    assert spec.paths.checkpoint(0).exists()
    teacher = spec.taught_by[0]
    record = require(teacher)
    record.model_copy(update={"files": {**record.files, "weights.npz": "0" * 64}}).save(teacher.paths.record)
    heard: list[Any] = []
    train_fold(spec, StubTrainer, heard.append, Interrupt(), predictor)
    assert [line["event"] for line in heard].count("epoch") == 2
    assert "resumed" not in {line["event"] for line in heard}


# When teachers are trained.


def test_teachers_are_trained_before_their_students_and_only_if_they_have_to(tmp_path: Path) -> None:
    project = write(tmp_path / "project")
    launch = InProcess(drawn)
    train(project.layout, project.config, silent, runs=["next"], fold=1, launch=launch, pictures=False)
    assert launch.done == [f"fold {run} 1" for run in ("a", "b", "student", "next")]
    launch.done.clear()
    train(project.layout, project.config, silent, runs=["next"], fold=1, force=True, launch=launch, pictures=False)
    assert launch.done == ["fold next 1"]
    launch.done.clear()
    train(project.layout, project.config, silent, runs=["next", "a"], fold=1, force=True, launch=launch, pictures=False)
    assert launch.done == ["fold a 1", "fold student 1", "fold next 1"]


@pytest.mark.parametrize("order", ["next student b a", "a next", "next", "student a"])
def test_every_run_comes_after_its_teachers(order: str) -> None:
    config = parse(HEAD + RUNS)
    found = with_teachers(config, order.split())
    assert set(found) >= set(order.split())
    assert len(found) == len(set(found))
    for place, name in enumerate(found):
        assert set(config.teachers(name)) <= set(found[:place])


def test_a_student_whose_teacher_is_not_trained_says_so(tmp_path: Path) -> None:
    project = write(tmp_path / "project")
    spec = specs(project, "student")[0]
    assert trained(spec) is None
    with pytest.raises(StageError, match=r"fold.json is missing"):
        labels_of(spec)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('teach = "ensemble"', 'teach = "next"', "runs.student is its own teacher: student <- next <- student"),
        ('teach = "ensemble"', 'teach = "student"', "runs.student is its own teacher: student <- student"),
        ('teach = "ensemble"', 'teach = "c"', "no run 'c'"),
        ('teach = "ensemble"', "teach = []", "teach.by"),
        ('seed = 1\n', 'seed = 1\n[ensemble]\nruns = ["student"]\n', "no other run without teachers"),
    ],
)  # fmt: skip
def test_teachers_that_cannot_be_are_told_when_the_configuration_is_read(old: str, new: str, says: str) -> None:
    assert old in RUNS
    with pytest.raises(ConfigError, match=says):
        parse(HEAD + RUNS.replace(old, new, 1))


def test_what_the_data_do_not_allow_is_told_before_anything_is_trained(copied: Project) -> None:
    bounds = 'pseudo = "test", min_confidence = [0.5, 0.6]'
    copied.layout.config.write_text(HEAD + RUNS.replace('pseudo = "test"', bounds))
    with pytest.raises(ConfigError, match="not one bound for each class"):
        specs(Project(copied.layout.root), "next")
    copied.layout.config.write_text(HEAD.replace('test = "test.npz"\n', "") + RUNS)
    project = Project(copied.layout.root)
    project.folds()
    with pytest.raises(ConfigError, match="needs test images"):
        specs(project, "next")


def test_test_images_that_are_others_than_planned_stop_a_fold(copied: Project) -> None:
    spec = specs(copied, "next")[0]
    with pytest.raises(TrainingError, match="have changed"):
        load_fold_data(spec.model_copy(update={"pseudo": "0" * 64}))


# The same bytes after a kill.


def digests(spec: FoldSpec) -> dict[str, str]:
    """Of the files of a fold, but for times and for the folder of the project."""
    files = [path for path in spec.paths.root.iterdir() if path.name not in ("log.jsonl", "spec.json")]
    return digests_of(spec.paths.root, *files)


def test_a_student_stopped_while_it_is_taught_ends_with_the_same_bytes(copied: Project) -> None:
    spec = specs(copied, "next")[2]
    before = digests(spec)
    for path in spec.paths.root.iterdir():
        path.unlink()

    class Came(Interrupt):
        def check(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labels_of(spec, Came())
    train(copied.layout, copied.config, silent, launch=InProcess(drawn), pictures=False)
    assert digests(spec) == before


def test_labels_are_computed_once_and_again_where_they_are_damaged(copied: Project) -> None:
    spec, asked = specs(copied, "student")[0], []

    def counted(teacher: FoldSpec, weights: str) -> Any:
        asked.append(teacher.run)
        return predictor(teacher, weights)

    spec.paths.taught.unlink()
    first = labels_of(spec, of=counted).taught
    assert asked == ["a", "b"]
    assert np.array_equal(first, labels_of(spec, of=counted).taught)
    assert asked == ["a", "b"]
    spec.paths.taught.write_bytes(spec.paths.taught.read_bytes()[:-1])
    assert np.array_equal(first, labels_of(spec, of=counted).taught)
    assert asked == ["a", "b"] * 2


@pytest.mark.tf
def test_networks_that_teach_leave_no_trace_in_the_student(tmp_path: Path) -> None:
    """A process that finds the labels on the disk never builds the teachers: its student has the same bytes."""
    project = write(tmp_path / "project", RUNS.replace("residual-cnn", "two-conv-cnn"))
    train(project.layout, project.config, silent, runs=["student"], fold=0, launch=InProcess(networks), pictures=False)
    spec, before = specs(project, "student")[0], fingerprint(project.layout.root)
    for path in spec.paths.root.iterdir():
        if not path.name.startswith("taught"):
            path.unlink()
    train(project.layout, project.config, silent, runs=["student"], fold=0, launch=InProcess(networks), pictures=False)
    assert fingerprint(project.layout.root) == before


# Functions of arrays.

PROBA = arrays(np.float64, (5, 3), elements=st.floats(-4, 4)).map(softmax)


@given(PROBA, st.floats(0.2, 4))
def test_a_power_is_a_temperature(proba: Any, power: float) -> None:
    assert sharpened(proba, power, several=False) == pytest.approx(softmax(power * np.log(proba)), abs=1e-9)
    odds = sharpened(proba, power, several=True)
    assert odds / (1 - odds) == pytest.approx((proba / (1 - proba)) ** power, rel=1e-6)


@given(PROBA, st.tuples(*[st.floats(0, 1)] * 3))
def test_a_row_is_confident_by_the_bound_of_its_likeliest_class(proba: Any, bounds: tuple[float, ...]) -> None:
    found = confident(proba, np.array(bounds), several=False)[:, 0]
    assert found.tolist() == [bool(row.max() >= bounds[row.argmax()]) for row in proba]
    labels = confident(proba, np.array(bounds), several=True)
    assert labels.shape == (5, 6)
    assert labels[:, 3:].tolist() == labels[:, :3].tolist() == [
        [max(p, 1 - p) >= bound for p, bound in zip(row, bounds, strict=True)] for row in proba
    ]  # fmt: skip


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_stacked_arrays_are_read_as_one(first: int, second: int, data: Any) -> None:
    parts = [np.arange(3 * n).reshape(n, 3) + 100 * k for k, n in enumerate((first, second))]
    whole, stacked = np.concatenate(parts), Stacked(*parts)
    rows = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9))
    assert len(stacked) == len(whole)
    assert np.array_equal(stacked[np.array(rows, np.int64)], whole[rows])
    assert np.array_equal(stacked[1:4], whole[1:4])


# Rounds of self-training.


def test_a_round_is_taught_by_the_one_before_on_the_test_images(whole: Project) -> None:
    folds = plan_runs(whole.layout, whole.config, ["a~round-2"])["a~round-2"]
    for spec in folds:
        (before,) = spec.taught_by
        assert [one.run for one in (spec, before, *before.taught_by)] == ["a~round-2", "a~round-1", "a"]
        assert spec.pseudo == before.pseudo != ""
        assert before.teachers[0] == specs(whole, "a")[spec.fold]
        assert {one.fold for one in ancestors(spec)} == {spec.fold}
    assert with_teachers(whole.config, ["a~round-2"]) == ["a", "a~round-1", "a~round-2"]
    own = specs(whole, "next~round-1")[0].settings.teach
    assert own is not None
    assert (own.by, own.soft, own.pseudo) == (("next",), 0.5, "test")
    for wrong in ("a~round-0", "a~round-x", "c~round-1"):
        with pytest.raises(ConfigError):
            specs(whole, wrong)


@pytest.mark.parametrize(("better", "done"), [(0, 1), (2, 3), (9, 3)])
def test_rounds_end_with_the_first_that_does_not_gain_under_stress(copied: Project, better: int, done: int) -> None:
    """Each of the first ``better`` rounds is right of a fourth of the stressed rows more than the one before."""
    heard: list[Event] = []

    def work(kind: str, path: Path, report: Any) -> None:
        drawn(kind, path, report)
        told = FoldSpec.load(path) if kind == "fold" else PredictionSpec.load(path).fold
        number = int(told.run.partition("round-")[2] or 0)
        if kind == "stress":
            said = load_predictions(told.paths.stress)
            y = load_index(copied.layout).truth_of(said.ids)
            chosen = np.arange(len(y)) % 4 < min(number, better)
            logits = np.where(chosen[:, None], 9.0 * np.eye(3)[y], said.logits * 0 - np.eye(3)[y])
            replace(said, logits=logits.astype(np.float32)).save(told.paths.stress)
            record = StressedFold.load(told.paths.stress_record)
            files = digests_of(told.paths.root, told.paths.stress, told.paths.stress_grid)
            record.model_copy(update={"files": files}).save(told.paths.stress_record)

    with in_this_process(work) as launch:
        Project(copied.layout.root, emit=heard.append).self_train(["a"], rounds=3)
    trained_rounds = sorted({name.split()[1] for name in launch.done if "round" in name})
    assert trained_rounds == [f"a~round-{number}" for number in range(1, done + 1)]
    said = [event.text for event in heard if event.kind == "say" and " kept: " in event.text]
    assert ["not kept" in text for text in said] == [number > better for number in range(1, done + 1)]


def test_rounds_that_were_kept_can_be_blended(copied: Project) -> None:
    copied.layout.config.write_text(HEAD + RUNS + '[ensemble]\nruns = ["a", "a~round-1"]\nfit_on = "clean"\n')
    project = Project(copied.layout.root)
    with in_this_process(drawn):
        found = project.ensemble(all=True)
    assert [member.run for member in Ensemble.load(found.ensemble).members] == ["a", "a~round-1"]
