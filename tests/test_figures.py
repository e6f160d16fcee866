"""Figures: whole files of SVG that need nothing else, read in both schemes, and are what the report shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from invented import HOSTILE, invent, submit_more

from kit.base.events import silent
from kit.config import RunConfig
from kit.judge.blend.tables import correlation, reliability
from kit.judge.shift.pictures import Adversarial
from kit.project import Project
from kit.runs.results import Epoch
from kit.show.figures import DARK, LIGHT, Panel, heat, page_style, standalone
from kit.show.figures.board import rank_over_time
from kit.show.figures.curves import curves, learning_curves
from kit.show.figures.likeness import class_priors, likeness
from kit.show.figures.strips import Dot, strip, worth
from kit.show.figures.strips import reliability as diagram
from kit.stages.lb import leaderboard
from kit.store.candidate import Ensemble
from kit.store.ledger import Snapshot, target_of

USED = ("accent", "warn", "paper", "ink")
SVG = "{http://www.w3.org/2000/svg}"
ODD = ("\x00\x1b[2J", "ü" * 200, "a & b < c", "")
NAMES = (*HOSTILE, *ODD)


def texts(panel: Panel) -> list[str]:
    """The words of a figure, in the order in which it draws them, without what a pointer says."""
    found = []
    for text in ElementTree.fromstring(standalone(panel)).iter(f"{SVG}text"):
        for title in text.findall(f"{SVG}title"):
            title.text = ""
        found.append("".join(text.itertext()))
    return found


def epochs(stage: int, values: list[float], begin: int = 0) -> list[Epoch]:
    return [
        Epoch(stage, "all", n, 0.1, value, {"nll": value}, {"accuracy": 1 - value, "nll": value})
        for n, value in enumerate(values, begin)
    ]


def every_figure() -> Mapping[str, list[Panel]]:
    rng = np.random.default_rng(0)
    y, proba = rng.integers(7, size=200), rng.dirichlet(np.ones(7), 200)
    folds = {0: epochs(0, [0.9, float("nan"), 0.4]), 1: [*epochs(0, [0.8]), *epochs(1, [0.7, 0.6])]}
    settings = RunConfig.model_validate(
        {"backbone": "plain-cnn", "stages": [{"train": "head", "epochs": 3}, {"train": "all", "epochs": 2}]}
    )
    train, test = rng.random(60), np.r_[rng.random(50), np.nan]
    found = Adversarial(0.7, 0.01, 0.0, tuple((name, 0.3 + 0.05 * n) for n, name in enumerate(NAMES)), test, train)
    table = rng.integers(0, 9, (7, 7))
    drops = heat.drops({"family": name, "severity": "2", "drop": "0.1"} for name in NAMES)
    return {
        "balance": [heat.balance(NAMES, table[:3])],
        "confusion": [heat.confusion(table, NAMES, HOSTILE[0])],
        "empty confusion": [heat.confusion(np.zeros((7, 7)), NAMES, "a")],
        "losses": [heat.losses(drops, HOSTILE[1], HOSTILE[2])],
        "no losses": [heat.losses({}, "accuracy", "a")],
        "pairs": [heat.pairs(correlation(np.stack([proba] * 7), y), NAMES, "pairs")],
        "curves": learning_curves(HOSTILE[1], folds, settings),
        "reliability": diagram({HOSTILE[0]: reliability(y, proba), "blend": reliability(y, np.eye(7)[y])}),
        "strip": [strip(HOSTILE[0], [Dot(name, -0.5, -1.0, 0.2, note=name, mate=0.1) for name in NAMES], zero=True)],
        "one dot": [strip("one", [Dot("a", 0.0)])],
        "likeness": likeness(found),
        "priors": [class_priors(NAMES, rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7)))],
    }


def test_a_file_is_whole_whatever_the_names_are_and_needs_nothing_else() -> None:
    for name, panels in every_figure().items():
        text = standalone(*panels)
        root = ElementTree.fromstring(text)
        assert not re.search(r"var\(|nan|inf\b|href|<script|@import|url\(", text.partition("</style>")[2]), name
        assert "var(" not in text and text.count("http") == 1, name
        assert float(root.get("width")) > 100 < float(root.get("height")) + 50, name
        for panel in root.iter(f"{SVG}svg"):
            assert panel is root or panel.get("aria-label"), name
        classes = {kind for part in root.iter() for kind in (part.get("class") or "").split()}
        rules = text.partition("</style>")[0]
        assert all(f".{kind}" in rules for kind in classes - {"ink"}), (name, classes)


def test_words_that_are_cut_are_told_whole() -> None:
    (row,) = [Dot("x" * 200, 0.5, 0.4, 0.6)]
    assert "x" * 200 not in texts(strip("cut", [row]))[0]
    assert f"<title>{'x' * 200}</title>" in standalone(strip("cut", [row]))


def luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_can_be_read_on_the_most_tinted_cell(colours: dict[str, str]) -> None:
    drawn = "".join(panel.__html__() for panels in every_figure().values() for panel in panels)
    strongest = max(map(float, re.findall(r'fill-opacity="([\d.]+)', drawn))) * float(colours["tint"])
    assert 0.3 < strongest <= 0.6
    rgb = {name: np.array([int(colours[name][n : n + 2], 16) for n in (1, 3, 5)]) / 255 for name in USED}
    for kind in ("accent", "warn"):
        behind = strongest * rgb[kind] + (1 - strongest) * rgb["paper"]
        light, dark = sorted((luminance(rgb["ink"]), luminance(behind)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_page_has_every_colour_in_both_schemes() -> None:
    used = set(re.findall(r"var\(--(\w+)\)", page_style()))
    assert used <= set(LIGHT) == set(DARK)


def test_confusion_by_hand() -> None:
    panel = heat.confusion(np.array([[3, 1], [0, 2]]), ("cat", "dog"), "first")
    assert panel.title == "first: 83.33% of 6 correct, out-of-fold"
    assert texts(panel)[2:] == ["cat", "dog", "images", "cat", "75", "25", "4", "dog", "", "100", "2"]


def test_balance_by_hand() -> None:
    panel = heat.balance(("cat", "dog"), [(1, 4), (3, 4)])
    assert texts(panel)[2:] == ["0", "1", "all", "dog", "4", "4", "8", "cat", "1", "3", "4", "all", "5", "7", "12"]
    tints = re.findall(r'class="(\w+)" fill-opacity="([\d.]+)"', panel.__html__())
    assert tints == [("less", "0"), ("less", "0"), ("less", "0.6"), ("more", "0.6")]


def test_losses_are_means_over_runs_and_the_dearest_is_first() -> None:
    lines = [("clean", 0, 0.0), ("blur", 1, 0.02), ("blur", 1, 0.04), ("noise", 1, 0.1), ("mixture", 2.5, 0.3)]
    found = heat.drops({"family": family, "severity": str(n), "drop": str(drop)} for family, n, drop in lines)
    assert list(found) == ["noise", "blur"] and found["blur"] == {1: pytest.approx(0.03)}
    assert texts(heat.losses(found, "accuracy", "a"))[2:] == ["1", "noise", "10", "blur", "3"]


def test_stages_begin_at_the_same_place_and_a_mean_is_of_all_folds() -> None:
    folds = {0: [*epochs(0, [0.9, 0.8, 0.7]), *epochs(1, [0.4])], 1: [*epochs(0, [0.7]), *epochs(1, [0.6, 0.5])]}
    found = curves(folds, "valid_nll")
    assert found.folds == {0: [[(1, 0.9), (2, 0.8), (3, 0.7)], [(4, 0.4)]], 1: [[(1, 0.7)], [(4, 0.6), (5, 0.5)]]}
    assert found.mean == [(1, pytest.approx(0.8)), (4, pytest.approx(0.5))]


def test_folds_without_epochs_have_pictures_without_lines() -> None:
    settings = RunConfig.model_validate({"backbone": "plain-cnn", "stages": [{"train": "all", "epochs": 2}]})
    for folds in ({}, {0: []}):
        assert not any('class="fine"' in panel.__html__() for panel in learning_curves("a", folds, settings))


def test_the_epochs_whose_weights_were_kept_are_marked() -> None:
    stages = [{"train": "head", "epochs": 3, "early_stopping": {"metric": "nll"}}, {"train": "all", "epochs": 2}]
    settings = RunConfig.model_validate({"backbone": "plain-cnn", "stages": stages})
    folds = {0: [*epochs(0, [0.9, 0.3, 0.7]), *epochs(1, [0.6, 0.5])]}
    panel = learning_curves("a", folds, settings)[1]
    marks = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', panel.__html__())
    assert len(marks) == 2
    lines = re.findall(r'<polyline points="([^"]+)" class="fine"', panel.__html__())
    assert [",".join(mark) for mark in marks] == [lines[0].split()[1], lines[1].split()[1]]


@pytest.mark.stage
def test_a_rank_holds_until_the_next_snapshot(tmp_path: Path) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    target = target_of(invent(tmp_path).config)
    row = {"name": "we", "score": 0.5}
    boards = [
        Snapshot(time=begin + timedelta(days=day), target=target, lines=9, mine=[{**row, "rank": rank}], table=tmp_path)
        for day, rank in ((0, 5), (1, 5), (4, 1))
    ]
    panel = rank_over_time(boards)
    points = re.search(r'points="([^"]+)" class="strong"', panel.__html__())[1].split()
    xs, ys = zip(*[map(float, point.split(",")) for point in points], strict=True)
    assert ys[:-1] == (ys[0],) * 4 and ys[-1] < ys[0]
    assert xs[2] - xs[0] == pytest.approx((xs[-1] - xs[0]) / 4, abs=0.02)
    assert "2026-01-01" in texts(panel) and "2026-01-05 UTC" in texts(panel)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = invent(tmp_path_factory.mktemp("figures"), classes=HOSTILE)
    submit_more(project, (0.66, 0.75, 0.8))
    return project


@pytest.mark.stage
def test_the_report_shows_the_very_figures_that_the_stages_wrote(project: Project) -> None:
    from kit.stages.train.train import train

    train(project.layout, project.config, silent)  # pictures of what is there already
    paths = leaderboard(project.layout, project.config, silent, pictures=True).pictures
    runs = list(project.layout.runs.glob("*/curves.svg"))
    assert paths is not None and len(paths) == 2 and len(runs) == 2
    page = project.report(attention=False).read_text(encoding="utf-8")
    (candidate,) = project.layout.submissions.glob("2*/worth.svg")  # the only one that was drawn
    for path in (*paths, *runs, project.layout.folds_picture("folds")):
        drawn = re.findall(r"<svg viewBox.*?>(.*?)</svg>", path.read_text(encoding="utf-8"))
        assert drawn and all(parts in page for parts in drawn), path.name
    blend = Ensemble.load(candidate.parent / "ensemble.json").blend
    assert candidate.read_text(encoding="utf-8") == standalone(*worth(blend))


@pytest.mark.stage
def test_pictures_of_the_board_are_written_where_they_have_news(project: Project) -> None:
    def wrote() -> list[str]:
        heard = []
        leaderboard(project.layout, project.config, heard.append, pictures=True)
        return sorted(path.stem for event in heard if event.kind == "wrote" for path in event.data["paths"])

    wrote()
    assert wrote() == []
    project.layout.pictures.joinpath("rank.svg").write_text("damaged")
    assert wrote() == ["rank"]


@pytest.mark.stage
def test_a_picture_of_the_folds_that_is_missing_is_drawn_again(tmp_path: Path) -> None:
    project = invent(tmp_path)
    picture, record = project.layout.folds_picture("folds"), project.layout.folds_manifest("folds")
    before = picture.read_bytes(), record.read_bytes()
    picture.unlink()
    project.folds()
    assert (picture.read_bytes(), record.read_bytes()) == before
