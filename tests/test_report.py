"""The page: everything that is known, in words first; missing parts say what to run; names stay text."""

from __future__ import annotations

import html.parser
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented import HOSTILE, SIDE, invent, stress, submit_more, train
from PIL import Image
from test_cli import run

from kit.base.events import silent
from kit.errors import StageError
from kit.project import Project
from kit.runs.pretrained import ProbeRecord
from kit.runs.results import FoldRecord, RunRecord
from kit.show.figures import svg
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.report.evidence import curves
from kit.stages.report.inputs import Facts
from kit.stages.report.pictures import augmentation, with_names
from kit.stages.report.report import SECTIONS, soft
from kit.stages.report.section import count, listed, percent
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import load_index, unlabelled_record
from kit.store.files import lock, sha256_file
from kit.store.ledger import latest

pytestmark = pytest.mark.stage

VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}


class Page(html.parser.HTMLParser):
    """The tags of a page, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "project"
    folder.mkdir()
    invent(folder, name=HOSTILE[0], classes=HOSTILE).report(attention=False)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_every_section_is_there_and_in_the_contents(page: Page) -> None:
    links = [link["href"] for link in page.all("a")]
    assert links == [f"#{section['id']}" for section in page.all("section")]
    assert len(links) == len(SECTIONS)
    assert not page.open


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(folder: Path, page: Page) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all(str(image["src"]).startswith("data:image/webp;base64,") for image in page.all("img"))
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", text)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(text) < 5_000_000


def test_every_picture_has_words_instead(page: Page) -> None:
    assert page.all("img") and page.all("svg")
    assert all(len(str(image["alt"])) > 10 for image in page.all("img"))
    assert all(picture["role"] == "img" and len(str(picture["aria-label"])) > 10 for picture in page.all("svg"))


def test_hostile_names_are_shown_as_they_are(page: Page) -> None:
    shown = "".join(page.words)
    for name in HOSTILE:
        assert name in shown
    assert not [image for image in page.all("img") if "onerror" in image]


def test_hostile_names_of_files_are_shown_as_they_are(tmp_path: Path) -> None:
    file = '"><img src=x onerror="document.title=1"> {{ 7 * 7 }} &amp; <script>{}'
    shown = Page(invent(tmp_path, file=file).report(attention=False).read_text(encoding="utf-8"))
    words, start = "".join(shown.words), file.partition("{}")[0]
    assert words.count(start) > 8  # dropped ones, confused ones
    assert sum(start in str(image["alt"]) for image in shown.all("img")) > 8
    assert not [tag for tag, attributes in shown.tags if tag == "script" or "onerror" in attributes]


def test_the_figures_are_those_of_the_candidate(folder: Path, page: Page) -> None:
    (path,) = folder.glob("submissions/*/ensemble.json")
    cv = Ensemble.load(path).cv
    shown = " ".join(page.words)
    for value in (cv.score, cv.low, cv.high, 0.71):
        assert f"{value:.4f}" in shown


def relabel(folder: Path) -> None:
    with np.load(folder / "raw/train.npz") as found:
        arrays = dict(found)
    arrays["labels"][:2] = arrays["labels"][1::-1]
    np.savez(folder / "raw/train.npz", **arrays)
    Project(folder).folds()


def remeasure(folder: Path) -> None:
    config = folder / "kit.toml"
    config.write_text(config.read_text("utf-8").replace("test_size", 'metric = "nll"\ntest_size'), "utf-8")


@pytest.mark.parametrize(("change", "other"), [(relabel, "labels"), (remeasure, "metric")])
def test_figures_of_other_labels_or_of_another_metric_are_not_those_of_the_project(
    change: Callable[[Path], None], other: str, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (path,) = copy.glob("submissions/*/ensemble.json")
    change(copy)
    done = run(copy, "report", "--no-attention")
    assert done.returncode == 0, done.stderr
    assert f"was made from different {other}" in " ".join(done.stderr.split())
    assert "not in the report yet: kit ensemble --all" in done.stderr
    shown = " ".join(Page((copy / "report.html").read_text("utf-8")).words)
    assert f"{Ensemble.load(path).cv.score:.4f} out of fold" not in shown
    assert "kit ensemble --all" in shown


@pytest.mark.parametrize(
    ("gone", "command"),
    [
        (["submissions"], "kit ensemble"),
        (["submissions", "runs"], "kit train"),
        (["submissions", "runs", "folds"], "kit folds"),
        (["submissions", "runs", "folds", "data"], "kit clean"),
    ],
)
def test_a_section_without_files_says_what_to_run(folder: Path, gone: list[str], command: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in gone:
        shutil.rmtree(copy / name)
    out = tmp_path / "page.html"
    done = run(copy, "report", "--no-attention", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert f"not in the report yet: {command}" in done.stderr
    shown = Page(out.read_text(encoding="utf-8"))
    assert len(shown.all("section")) == len(SECTIONS)
    assert command in [words.strip() for words in shown.words]


DAMAGED = {
    "runs/first-*/run.json": "kit train first",
    "runs/first-*/fold-0/fold.json": "kit train first --fold 0 --force",
    "runs/first-*/fold-0/history.csv": "kit train first --fold 0 --force",
    "runs/first-*/stress.json": "kit stress first",
    "runs/first-*/stress.csv": "kit stress first",
    "runs/first-*/forecast.json": "kit forecast",
    "folds/folds.json": "kit folds",
    "data/manifest.json": "kit clean --force",
    "data/index.csv": "kit clean --force",
    "data/images.npy": "kit clean --force",
    "data/dropped.csv": "kit clean --force",
    "submissions/*/ensemble.json": "kit ensemble",
    "submissions/*/oof.npz": "kit ensemble",
    "augment-first.png": "kit augment first",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a file for every section but the maps of attention."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    folder.mkdir()
    project = invent(folder)
    stress(project)
    picture = project.layout.augment_picture("first")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)).save(picture)
    return folder


DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    lambda b: b"",
    lambda b: b[: len(b) // 2],
    lambda b: b"\xff\xfe[]\n3\n",
)
# One damage for each file, in turn; all of them are the slow tier's.
CASES = [
    pytest.param(name, DAMAGED[name], damage, id=f"{name}-{number}", marks=[pytest.mark.slow] * (n % 3 != number))
    for n, name in enumerate(DAMAGED)
    for number, damage in enumerate(DAMAGES)
]


@pytest.mark.parametrize(("name", "command", "damage"), CASES)
def test_a_damaged_file_is_named_with_what_makes_it_again_and_the_rest_is_shown(
    whole: Path, name: str, command: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    (path,) = copy.glob(name) if "augment" not in name else (Project(copy).layout.augment_picture("first"),)
    path.write_bytes(damage(path.read_bytes()))
    said: list[str] = []
    project = Project(copy, emit=lambda event: said.append(event.text) if event.kind == "warn" else None)
    shown = Page(project.report(attention=False).read_text(encoding="utf-8"))
    assert len(shown.all("section")) == len(SECTIONS) and not shown.open
    words = "".join(shown.words)
    assert path.name in words and any(path.name in line and command in line for line in said)
    assert command in words and "Provenance" in words


def test_a_clone_without_weights_and_runs_still_shows_the_ensemble(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "runs")
    shutil.rmtree(copy / "raw")
    Project(copy).report(attention=False)
    shown = " ".join(Page((copy / "report.html").read_text(encoding="utf-8")).words)
    assert "Contribution of each network" in shown
    assert "Pictures of dropped images are left out" in shown


def test_the_same_files_give_the_same_page_but_for_its_date(folder: Path, tmp_path: Path) -> None:
    paths = [Project(folder).report(tmp_path / f"{n}.html", attention=False) for n in range(2)]
    pages = [path.read_text(encoding="utf-8") for path in paths]
    first, second = (re.sub(r"Report of [-0-9: ]+UTC", "", text) for text in pages)
    assert first == second


@given(st.text())
def test_text_that_may_break_reads_as_it_was_written(words: str) -> None:
    parts = Page(f"<p>{soft(words)}</p>")
    assert {tag for tag, _ in parts.tags} <= {"p", "wbr"}
    assert "".join(parts.words) == words.replace("\r\n", "\n").replace("\r", "\n") or "\r" in words or "\0" in words


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_lie_within(low: float, span: float) -> None:
    found = svg.ticks(low, low + span)
    assert len(found) <= 6
    assert all(low - 1e-6 * span <= tick <= low + 1.000001 * span for tick in found)
    assert found == sorted(found)


def test_numbers_are_written_as_people_write_them() -> None:
    assert [percent(0.0), percent(0.004), percent(0.3)] == ["0\u00a0%", "<\u00a01\u00a0%", "30\u00a0%"]
    assert [count(1, "image"), count(1200, "image")] == ["1 image", "1,200 images"]
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["none", "a", "a, b and c"]


def test_of_many_classes_those_with_most_errors_are_shown(tmp_path: Path) -> None:
    names = tuple(f"kind {number}" for number in range(30))
    shown = Page(invent(tmp_path, classes=names).report(attention=False).read_text(encoding="utf-8"))
    columns = [words for words in shown.all("text") if "rotate" in str(words.get("transform", ""))]
    assert len(columns) == 20 + 1  # and how many images a class has
    assert "Of 30 classes the 20 with the most errors are shown" in " ".join(" ".join(shown.words).split())


def test_a_run_that_is_in_no_ensemble_yet_has_its_curves(tmp_path: Path) -> None:
    invent(tmp_path)
    config = tmp_path / "kit.toml"
    config.write_text(config.read_text(encoding="utf-8") + '[runs.third]\nextends = "first"\nseed = 1\n', "utf-8")
    project = Project(tmp_path)
    train(project, ("third",))
    words = Page(project.report(attention=False).read_text(encoding="utf-8")).words
    assert {"first ", "second ", "third "} <= set(words)


def test_a_run_whose_history_has_no_epoch_yet_is_left_out(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in copy.glob("runs/first-*/fold-*/history.csv"):
        path.write_text(path.read_text().splitlines()[0] + "\n")
        record = FoldRecord.load(path.with_name("fold.json"))
        files = {**record.files, path.name: sha256_file(path)}
        record.model_copy(update={"files": files}).save(path.with_name("fold.json"))
    words = Page(Project(copy).report(attention=False).read_text(encoding="utf-8")).words
    assert "second " in words and "first " not in words


def test_the_size_of_its_images_is_named_where_a_run_does_not_take_them_as_they_are_stored(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name, size in (("first", 48), ("second", SIDE)):
        (path,) = copy.glob(f"runs/{name}-*/run.json")
        record = RunRecord.load(path)
        stages = (record.config.stages[0].model_copy(update={"size": size}),)
        record.model_copy(update={"config": record.config.model_copy(update={"stages": stages})}).save(path)
    words = Project(copy).report(attention=False).read_text(encoding="utf-8").replace("<wbr>", "")
    assert "<small>plain-cnn, from scratch, images of 48 pixels</small>" in words
    assert "<small>residual-cnn, from scratch</small>" in words


def test_nothing_is_told_of_data_that_are_being_made(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    project, page = Project(copy), (copy / "report.html").read_bytes()
    with lock(project.layout.data_lock, "data/"):
        for tell in (project.report, project.export):
            with pytest.raises(StageError, match="is working on data/") as caught:
                tell()
            assert caught.value.hint == "wait for it to end, then run the same command"
        assert project.leaderboard().submissions
    assert (copy / "report.html").read_bytes() == page


def test_probed_backbones_are_listed_best_first_and_those_of_other_data_are_not(tmp_path: Path) -> None:
    project = invent(tmp_path)
    train(project)
    now = load_index(project.layout).training
    for name, clean, data in (("vgg16", 0.5, now), ("xception", 0.75, now), ("resnet50", 0.9, "other images")):
        told = {"backbone": name, "rows": 123, "metric": "accuracy", "clean": (clean, 0.01), "stressed": (0.25, 0.02)}
        record = {**told, "made_from": {"data": data}, "milliseconds": 1.5, "megabytes": 9.0}
        ProbeRecord.model_validate(record).save(project.layout.probe(name))
    probes = curves(Facts(project.layout, project.config)).data["probes"]
    assert [one.backbone for one in probes] == ["xception", "vgg16"]
    page = re.sub(r"<wbr>", "", project.report(attention=False).read_text(encoding="utf-8"))
    assert page.index("xception") < page.index("vgg16") and "0.750 ± 0.010" in page and "resnet50" not in page


def test_scores_against_cross_validation_and_the_rank_are_drawn_once_there_are_some(tmp_path: Path) -> None:
    project = invent(tmp_path)
    before = Page(project.report(attention=False).read_text(encoding="utf-8"))
    submit_more(project, (0.66, 0.75, 0.8))
    after = Page(project.report(attention=False).read_text(encoding="utf-8"))
    named = [str(picture["aria-label"]) for picture in after.all("svg")]
    assert len(after.all("svg")) == len(before.all("svg")) + 2
    assert any(name.startswith("4 submissions, cross-validation against score") for name in named)
    assert any(name.startswith("Rank over 4 snapshots, now 4 of 10") for name in named)
    words = " ".join(after.words)
    assert all(team in words for team in ("team 0", "team 4")) and "team 8" not in words


def test_labels_in_the_reasons_are_names_of_classes() -> None:
    rows = [{"detail": "label 0 x1, label 1 x3"}, {"detail": "label 7 x1"}, {"detail": "48 copies"}]
    found = [row["detail"] for row in with_names(rows, ("cat", "dog"))]
    assert found == ["cat, dog × 3", "label 7", "48 copies"]


def test_versions_that_runs_were_trained_with_are_named_where_they_differ(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in copy.glob("runs/*/run.json"):
        versions = {"numpy": np.__version__, "tensorflow": "2.0.0"}
        RunRecord.load(path).model_copy(update={"versions": versions}).save(path)
    words = Page(Project(copy).report(attention=False).read_text(encoding="utf-8")).words
    assert "trained with tensorflow" in words and "2.0.0" in words
    assert "trained with numpy" not in words


def test_a_forecast_for_other_test_images_is_not_shown(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    project = Project(copy)
    stress(project)
    record = unlabelled_record(project.layout, "test")
    present = record.images if record else ""
    paths = list(copy.glob("runs/*/forecast.json"))
    for made_from, shown in (({}, True), ({"test": present}, True), ({"test": "0" * 64}, False)):
        for path in paths:
            ForecastRecord.load(path).model_copy(update={"made_from": made_from}).save(path)
        words = " ".join(Page(project.report(attention=False).read_text(encoding="utf-8")).words)
        assert ("A forecast never uses its own score" in words) == shown
        assert ("was made for other test images" in words) != shown


def test_a_picture_of_another_augmentation_is_not_shown(tmp_path: Path) -> None:
    project = invent(tmp_path)
    project.augment("first")
    assert "What the networks see" in project.report(attention=False).read_text(encoding="utf-8")
    config = tmp_path / "kit.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"plain-cnn"', '"plain-cnn"\naugment = [{ op = "flip" }]', 1), "utf-8")
    assert "What the networks see" not in Project(tmp_path).report(attention=False).read_text(encoding="utf-8")


def test_which_moves_the_images_allow_is_said_only_where_they_are_read_and_enough(tmp_path: Path) -> None:
    project = invent(tmp_path)
    project.augment("first")
    facts = [Facts(project.layout, project.config) for _ in range(3)]
    facts[1].index = replace(load_index(project.layout), labels=load_index(project.layout).labels[:5])
    said = [augmentation(one).lead for one in facts[:2]]
    project.layout.images.write_bytes(b"damaged")
    said.append(augmentation(facts[2]).lead)
    assert ["points of accuracy" in lead for lead in said] == [True, False, False]
    assert [len(one.problems) for one in facts] == [0, 0, 1]


@pytest.mark.matrix
def test_the_page_stays_small_whatever_the_pictures_are(tmp_path: Path) -> None:
    project = invent(tmp_path)
    config = tmp_path / "kit.toml"
    more = "".join(f'[runs.more{n}]\nextends = "first"\nseed = {n}\n' for n in range(1, 5))
    config.write_text(config.read_text(encoding="utf-8") + more, "utf-8")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1440, 3), dtype=np.uint8))
    for n in range(1, 5):
        noise.save(project.layout.augment_picture(f"more{n}"), compress_level=1)
    text = Project(tmp_path).report(attention=False).read_text(encoding="utf-8")
    assert text.count('class="sheet"') == 4
    assert len(text) < 5_000_000


def test_the_blend_made_last_is_the_latest_however_fast_and_whatever_the_clock_says(tmp_path: Path) -> None:
    project = invent(tmp_path)
    (tmp_path / "submissions" / "none of ours").mkdir()
    for _ in range(3):
        made = ensemble(project.layout, project.config, silent, force=True)
        assert latest(project.layout) == made
    ahead = made.root.rename(made.root.with_name("20990101T000000Z-aaaaaaaa"))
    again = ensemble(project.layout, project.config, silent, force=True)
    assert latest(project.layout) == again and again.root.name > ahead.name
