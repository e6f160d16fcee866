"""``kit init`` looks at the images: what it writes runs without a change, for every form that data come in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from competitions import folder_competition, kaggle_competition
from hypothesis import given
from hypothesis import strategies as st
from in_process import drawn, in_this_process
from PIL import Image

from kit.base.events import Event, silent
from kit.errors import ConfigError, KitError
from kit.images.moves import MOVES, Gain
from kit.images.sources import open_source
from kit.images.sources.practice import make
from kit.project import Project
from kit.runs.checks import check_run
from kit.runtime.backbones import BACKBONES
from kit.stages.init import init, metric_of
from kit.stages.init.look import Seen, task_of
from kit.stages.init.plan import PRETRAINED, Plan, choose, minutes
from kit.store.data import load_index
from kit.store.ledger import load_submissions
from kit.store.ledger.facts import Score
from kit.store.partition import load_folds
from kit.store.tables import Table

pytestmark = pytest.mark.stage

REPOSITORY = Path(__file__).parent.parent


def several(n: int = 60, side: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Noise whose mean says the class, of three."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return (rng.integers(0, 90, (n, side, side)) + 80 * labels[:, None, None]).astype(np.uint8), labels


def keras_file(root: Path) -> str:
    images, labels = several()
    np.savez(root / "mnist.npz", x_train=images, y_train=labels, x_test=images[:12] + 1, y_test=labels[:12])
    return "mnist.npz"


def two_files(root: Path) -> str:
    made = make(n=200, size=32, seed=0)
    np.savez(root / "training_set.npz", images=made.images, labels=made.labels[:, None])
    np.savez(root / "test.npz", images=made.test_images[:20], labels=made.test_labels[:20, None])
    return "training_set.npz"


def folders(root: Path) -> str:
    folder_competition(root)
    return "raw"


def photographs(root: Path) -> str:
    images, labels = several(30, 120)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / f"photos/{'abc'[label]}/{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = ((80, 120), (120, 90), (110, 110))[row % 3]
        Image.fromarray(image[:height, :width]).save(path)
    return "photos"


def table(root: Path) -> str:
    kaggle_competition(root)
    return "raw/train.csv"


SETS: dict[str, Callable[[Path], str]] = {
    "arrays of several parts": keras_file,
    "arrays beside a test": two_files,
    "one folder per class": folders,
    "photographs of several proportions": photographs,
    "a table and a sample file": table,
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.filterwarnings("ignore")
def test_every_form_of_data_gets_a_score_without_a_file_edited(name: str, tmp_path: Path) -> None:
    said: list[Event] = []
    init(tmp_path, SETS[name](tmp_path), said.append, hours=0)
    project = Project(tmp_path)
    with in_this_process(drawn):
        project.train()
        assert project.ensemble().ensemble.exists()
    index = load_index(project.layout)
    for run, settings in project.config.runs.items():
        check_run(run, settings, index)
    last = said[-1].text.split()[-1]
    data = project.config.data
    assert {"submit": bool(data.truth), "table": bool(data.test), "ensemble": True}[last]


@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_is_written_trains_and_is_scored(tmp_path: Path) -> None:
    init(tmp_path, keras_file(tmp_path), silent, hours=0)
    project = Project(tmp_path)
    project.train()
    project.submit()
    assert load_submissions(project.layout)[0].last(Score) is not None


FLAGS = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 1, 0]] * 8)
VOTES = np.array([[5, 1, 0], [2, 2, 2], [0, 6, 0], [1, 1, 4], [3, 0, 3]] * 8)
WORDS = np.array(["scab", "rust", "rot"])
LISTS = [" ".join(WORDS[row > 0]) for row in FLAGS]
FORMS: dict[str, tuple[str, str, str, list[tuple[object, ...]]]] = {
    "a column for each label": ("multilabel", "auc", "id,scab,rust,rot", [*map(tuple, FLAGS)]),
    "columns of rare labels": (
        "multilabel",
        "auc",
        "id,scab,rust,rot",
        [(int(r < 2), int(r > 37), int(r == 5)) for r in range(40)],
    ),
    "lists in a cell": ("multilabel", "auc", "id,labels", [(cell,) for cell in LISTS]),
    "votes": ("soft", "kl", "id,scab_vote,rust_vote,rot_vote", [*map(tuple, VOTES)]),
    "shares": ("soft", "kl", "id,scab,rust,rot", [tuple(row) for row in VOTES / 6]),
    "grades": ("ordinal", "qwk", "id,diagnosis", [(row % 5,) for row in range(40)]),
    "numbers": ("regression", "rmse", "id,weight_kg", [(row / 8,) for row in range(40)]),
    "classes with numbers": ("multiclass", "accuracy", "id,label", [(row % 5,) for row in range(40)]),
    "one hot": ("multiclass", "accuracy", "id,scab,rust,rot", [tuple(np.eye(3, dtype=int)[r % 3]) for r in range(40)]),
}


WITH_SAMPLE = "votes with a sample file"  # whose columns are those of the votes


@pytest.mark.parametrize("form", [*FORMS, "pairs", "lists with a sample file", WITH_SAMPLE])
def test_the_task_is_told_by_the_table_and_can_be_cleaned_and_split(form: str, tmp_path: Path) -> None:
    task, metric, header, cells = FORMS.get(form, FORMS["votes" if form == WITH_SAMPLE else "lists in a cell"])
    if form == WITH_SAMPLE:
        (tmp_path / "sample_submission.csv").write_text(f"{header}\n0.png,1,0,0\n")
    rows = [(f"{row}.png", *line) for row, line in enumerate(cells)]
    if form == "pairs":
        header, rows = "id,label", [(f"{r}.png", name) for r, row in enumerate(FLAGS) for name in WORDS[row > 0]]
    if form == "lists with a sample file":
        metric, _ = "macro_f1", (tmp_path / "sample_submission.csv").write_text("id,labels\n0.png,scab rust\n")
    (tmp_path / "train.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    (tmp_path / "train").mkdir()
    for row, image in enumerate(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)):
        Image.fromarray(image).save(tmp_path / f"train/{row}.png")
    said: list[Event] = []
    init(tmp_path, "train.csv", said.append, hours=0)
    project = Project(tmp_path)
    assert (project.config.competition.task, project.config.competition.metric) == (task, metric)
    assert any(f"task {task}" in event.text for event in said) == (task != "multiclass")
    project.folds()
    assert len(load_index(project.layout).ids) == len({row[0] for row in rows})


ARRAYS = ("a column for each label", "columns of rare labels", "votes", "shares", "numbers", "one hot")


@pytest.mark.parametrize("form", ARRAYS)
@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_the_task_is_told_by_an_array_too(form: str, suffix: str, tmp_path: Path) -> None:
    task, metric, _, cells = FORMS[form]
    images, labels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8), np.array(cells)
    if suffix == "npz":
        np.savez(tmp_path / "x_train.npz", images=images, labels=labels)
    else:
        np.save(tmp_path / "x_train.npy", images)
        np.save(tmp_path / "y_train.npy", labels)
    init(tmp_path, f"x_train.{suffix}", silent, hours=0)
    project = Project(tmp_path)
    assert (project.config.competition.task, project.config.competition.metric) == (task, metric)
    truth = open_source(project.config.data, tmp_path, "train").truth
    wanted = labels.argmax(axis=1) if task == "multiclass" else labels.squeeze()
    assert np.allclose(truth, wanted / (wanted.sum(axis=1, keepdims=True) if task == "soft" else 1))


def test_data_are_found_from_where_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    init(Path("new/project"), "mnist.npz", silent, hours=0)
    assert Project("new/project").config.data.train == "../../mnist.npz"


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_data_that_cannot_be_read_leave_nothing_and_a_way_on(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "raw.npz").write_bytes(content)
    with pytest.raises(KitError) as caught:
        init(tmp_path / "new", "../raw.npz", silent, hours=1)
    assert not (tmp_path / "new").exists()
    assert caught.value.hint.startswith(f"kit init --train ../raw.npz {tmp_path / 'new'} --no-look")
    init(tmp_path / "new", "../raw.npz", silent, hours=1, looks=False)
    assert Project(tmp_path / "new").config.data.train == "../raw.npz"


def test_the_sizes_of_networks_and_images_fit(tmp_path: Path) -> None:
    init(tmp_path, keras_file(tmp_path), silent, hours=1)
    config = Project(tmp_path).config
    smallest = max(BACKBONES[run.backbone].smallest for run in config.runs.values())
    assert (config.data.image_size or 28) >= smallest


@pytest.mark.parametrize("runs", ["", '[runs.net]\nbackbone = "mobilenetv2"\nweights = "imagenet"\n'])
def test_images_that_are_too_small_are_told_before_the_folds(runs: str, tmp_path: Path) -> None:
    said: list[Event] = []
    (tmp_path / "kit.toml").write_text(f'[data]\ntrain = "{keras_file(tmp_path)}"\n{runs}')
    project = Project(tmp_path, emit=said.append)
    if runs:
        with pytest.raises(ConfigError, match="at least 32 px, but these have 28") as caught:
            project.folds()
        assert caught.value.hint == "[data] image_size = 32"
    else:  # folds can be made without any network, for predictions of other tools
        project.folds()
        assert [event.text for event in said if "image_size = 32" in event.text]
    assert (tmp_path / "folds/folds.csv").exists() == (not runs)


# --- the plan


@given(st.integers(20, 500_000), st.integers(8, 5000), st.floats(0.01, 50), st.floats(1, 10), st.booleans())
def test_more_time_never_plans_less_and_what_fits_is_kept(
    n: int, side: int, hours: float, factor: float, pretrained: bool
) -> None:
    short, long = (choose(n, side, time, pretrained=lambda: pretrained) for time in (hours, factor * hours))
    assert short.minutes <= long.minutes or short.minutes > 60 * hours
    for plan in (short, long):
        assert plan.minutes == minutes(plan, n)
        assert plan.size >= max(BACKBONES[network].smallest for network in plan.networks)
        assert plan.pretrained <= pretrained
        assert all(BACKBONES[network].pretrained for network in plan.networks) == plan.pretrained


def test_a_large_set_gets_the_largest_size_whose_encoded_images_fit_the_disk() -> None:
    sizes = [choose(n, 600, 1e6, pretrained=lambda: True).size for n in (10_000, 200_000, 300_000, 2_000_000)]
    assert sizes == [224, 224, 160, 96]


def test_small_images_get_small_networks_and_the_larger_one_only_where_both_have_time_to_learn() -> None:
    found = [choose(60_000, 28, hours, pretrained=lambda: True) for hours in (0.1, 0.25, 1, 8)]
    assert [plan.is_tiny for plan in found] == [True] * 4
    assert found[0].networks == ("resnet-small",)
    assert all(len(plan.networks) == 1 or plan.epochs >= 12 for plan in found)
    assert not choose(60_000, 64, 1, pretrained=lambda: False).is_tiny


@given(st.integers(60_000, 200_000), st.floats(0.1, 2))
def test_small_images_are_trained_for_as_many_epochs_as_there_is_time_for(n: int, hours: float) -> None:
    plan = choose(n, 28, hours, pretrained=lambda: True)
    longer = minutes(replace(plan, epochs=plan.epochs + 1), n)
    assert plan.epochs == 24 or plan.method == "hold-out" or longer > 60 * hours


def test_the_recipe_of_small_images_halves_the_bits_only_where_that_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, precision in enumerate(("float32", "mixed_bfloat16")):
        monkeypatch.setattr(Plan, "precision", precision)
        init(folder := tmp_path / str(number), f"../{keras_file(tmp_path)}", silent, hours=0.2)
        for run in Project(folder).config.runs.values():
            (stage,) = run.stages
            assert (run.precision, stage.optimizer) == (precision, "sgd")
            assert stage.schedule.warmup == pytest.approx(stage.epochs / 5)


def test_photographs_get_pretrained_networks_where_weights_can_be_had() -> None:
    assert choose(2000, 600, 8, pretrained=lambda: True).networks == PRETRAINED
    assert not choose(2000, 600, 8, pretrained=lambda: False).pretrained
    assert not choose(60_000, 28, 8, pretrained=lambda: True).pretrained


@pytest.mark.parametrize(
    ("classes", "lines", "metric"),
    [
        (("cat", "dog", "hen"), ["id,label", "1,cat"], "accuracy"),
        (("cat", "dog", "hen"), ["id,cat,dog,hen", "1,0.3,0.3,0.4"], "nll"),
        (("cat", "dog", "hen"), ["id,label", "1,cat dog hen", "2,hen cat fox"], "map3"),
        (("Class A", "Class B"), ["id,label", "1,Class A"], "accuracy"),
        (("0", "1"), ["id,label", "1,0.5"], "auc"),
        (("0", "1"), ["id,label", "1,0"], "accuracy"),
    ],
)
def test_the_sample_file_suggests_the_metric(classes: tuple[str, ...], lines: list[str], metric: str) -> None:
    header, *rows = (tuple(line.split(",")) for line in lines)
    gains = dict.fromkeys(MOVES, Gain(0.0, 1.0))
    unknown = Seen("train.csv", classes, (1,) * len(classes), 28, 28, True, gains)
    seen = replace(unknown, sample=Table(Path(), header, tuple(rows)))
    assert metric_of(seen)[0] == metric
    assert metric_of(unknown)[0] == "accuracy"
    ids = Table(Path("sample.csv"), ("id",), (("a",),))
    assert "one class per image" not in metric_of(replace(seen, sample=ids))[1]


# --- a kit in any folder


def test_make_finds_the_kit_that_wrote_the_makefile(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $project # 1"
    init(folder, "digits", silent, hours=1)
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["make", "clean-data"], cwd=folder, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "data/images.npy").exists()


@pytest.mark.matrix
def test_a_wheel_has_every_file_of_the_kit(tmp_path: Path) -> None:
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    shutil.rmtree(REPOSITORY / "build", ignore_errors=True)  # setuptools packs what an earlier build left there too
    command = [sys.executable, "-c", build, str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("kit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("kit/")}
    listed = subprocess.run(["git", "ls-files", "kit"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) == packed


def test_tables_of_pixels_without_labels_are_the_test_set(tmp_path: Path) -> None:
    images, labels = several(60, 8)
    header = ",".join(f"pixel{place}" for place in range(64))
    rows = [",".join(map(str, image.ravel())) for image in images]
    lines = (f"{label},{row}" for label, row in zip(labels, rows, strict=True))
    (tmp_path / "train.csv").write_text("\n".join([f"label,{header}", *lines]))
    (tmp_path / "test.csv").write_text("\n".join([header, *rows]))
    init(tmp_path, "train.csv", silent, hours=1)
    assert 'test = "test.csv"' in (tmp_path / "kit.toml").read_text()


def test_numbers_and_patients_beside_pixels_are_found(tmp_path: Path) -> None:
    images, labels = several(60, 8)
    header = ",".join(["age", "patient", *(f"pixel{place}" for place in range(64))])
    rows = [[20.5 + label, f"p{row // 3}", *images[row].ravel()] for row, label in enumerate(labels)]
    (tmp_path / "train.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    init(tmp_path, "train.csv", silent, hours=1)
    config = Project(tmp_path).config
    assert config.competition.task == "regression" and config.data.group == "patient"


def test_test_images_lie_in_a_folder_that_is_called_like_that_of_the_training_set(tmp_path: Path) -> None:
    kaggle_competition(tmp_path)
    for part in ("train", "test"):
        (tmp_path / f"raw/{part}").rename(tmp_path / f"raw/{part}-png")
    init(tmp_path, "raw/train.csv", silent, hours=1)
    assert Project(tmp_path).config.data.test == "raw/test-png"


def split_file(root: Path) -> str:
    images, labels = several()
    np.savez(root / "d.npz", x_train=images[:40], y_train=labels[:40], x_val=images[40:] + 1, y_val=labels[40:])
    return "d.npz"


def split_folders(root: Path) -> str:
    folder_competition(root)
    (root / "raw").rename(root / "Train")
    (root / "hidden").rename(root / "Val")
    return "Train"


@pytest.mark.parametrize("write", [split_file, split_folders])
def test_a_validation_split_beside_the_training_set_is_held_out(write: Callable[[Path], str], tmp_path: Path) -> None:
    init(tmp_path, write(tmp_path), silent, hours=0)
    project = Project(tmp_path)
    assert project.config.data.validation and project.config.folds.method == "hold-out"
    project.folds()
    index = load_index(project.layout)
    held = load_folds(project.layout, project.config, index).table[0] == 0
    assert set(np.flatnonzero(held)) >= set(index.given) and index.given


@pytest.mark.parametrize("around", ["", "new"])
def test_a_folder_around_the_data_leads_to_the_table_in_it(
    around: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle_competition(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KitError) as caught:
        init(Path(around), "raw", silent, hours=0)
    train = os.path.relpath("raw/train.csv", around or ".")
    assert caught.value.hint == f"kit init --train {train} {around}".rstrip()
    init(Path(around), train, silent, hours=0)
    assert Project(around or ".").config.data.train == train


def test_images_that_cannot_be_read_are_told_with_the_reason(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for row in range(20):
            (tmp_path / "raw" / name / f"{row}.png").write_bytes(b"no image")
    with pytest.raises(KitError, match="none of 40 images"):
        init(tmp_path, "raw", silent, hours=1)
    assert not (tmp_path / "kit.toml").exists()


def test_what_kit_toml_does_not_mend_keeps_its_own_hint(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("0.png,cat,7\n1.png,dog,8\n")
    with pytest.raises(KitError, match="no header line") as caught:
        init(tmp_path, "labels.csv", silent, hours=1)
    assert "kit init" not in caught.value.hint and "first line" in caught.value.hint


def test_images_without_a_label_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=several()[0], labels=np.full(60, -1))
    with pytest.raises(KitError, match="no image has a label"):
        init(tmp_path, "d.npz", silent, hours=1)


@pytest.mark.parametrize(
    ("column", "values", "group"),
    [
        ("patient_id", [row // 2 for row in range(60)], "patient_id"),
        ("StudyInstanceUID", [f"1.2.{row % 20}" for row in range(60)], "StudyInstanceUID"),
        ("lesion", ["", *range(1, 30), *range(30)], "lesion"),
        ("patient", range(60), ""),  # nothing to share
        ("subject", [row % 4 for row in range(60)], ""),  # too few for folds
        ("camera", [row // 2 for row in range(60)], ""),
    ],
)
def test_images_of_one_object_share_a_fold(column: str, values: list[object], group: str, tmp_path: Path) -> None:
    images, labels = several()
    (tmp_path / "images").mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"images/{row}.png")
    lines = [f"{row}.png,{value},{'abc'[label]}" for row, (value, label) in enumerate(zip(values, labels, strict=True))]
    (tmp_path / "train.csv").write_text("\n".join([f"image,{column},label", *lines]))
    init(tmp_path, "train.csv", silent, hours=1)
    assert Project(tmp_path).config.data.group == group


def test_a_column_of_classes_is_no_group(tmp_path: Path) -> None:
    images, labels = several()
    (tmp_path / "images").mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"images/{row}.png")
    lines = [f"{row}.png,breed{row % 12}" for row in range(len(labels))]
    (tmp_path / "train.csv").write_text("\n".join(["image,animal", *lines]))
    init(tmp_path, "train.csv", silent, hours=1)
    assert not Project(tmp_path).config.data.group


@pytest.mark.parametrize(
    "name", ["sample_sub.csv", "SampleSubmission.csv", "submission_format.csv", "example-submission.csv"]
)
def test_the_sample_file_is_known_by_its_name(name: str, tmp_path: Path) -> None:
    kaggle_competition(tmp_path)
    (tmp_path / "raw/sample_submission.csv").rename(tmp_path / "raw" / name)
    init(tmp_path, "raw/train.csv", silent, hours=1)
    assert Project(tmp_path).config.data.sample_submission == f"raw/{name}"


@pytest.mark.parametrize(("no", "yes"), [("False", "True"), ("-1", "1"), ("no", "yes"), ("0", "1")])
def test_columns_with_several_labels_a_row_are_told_in_any_words(no: str, yes: str) -> None:
    rows = tuple((f"{row}.png", *(yes if row >> place & 1 else no for place in range(3))) for row in range(8))
    assert task_of(Table(Path("t.csv"), ("image", "hat", "beard", "smile"), rows), None)[0] == "multilabel"
