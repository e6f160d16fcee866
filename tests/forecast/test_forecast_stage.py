"""Forecasts as files and words: before a score, after some, with test images and without."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from by_hand import CONFIG, Stand, predict_with, train_by_hand

from kit.base.events import Event
from kit.errors import StageError
from kit.judge.shift.outputs import detect
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.runs.stressed import StressedRun
from kit.runtime.pool import from_logits
from kit.stages.forecast.entries import gather
from kit.stages.forecast.forecast import forecast
from kit.stages.forecast.testset import LEVEL, ShiftReport, _most_able
from kit.stages.stress.stress import stress
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.layout import SubmissionPaths
from kit.store.ledger import add_event, target_of
from kit.store.ledger.facts import Answer, Intent, Score
from kit.store.predictions import join, load_predictions

pytestmark = pytest.mark.stage

MORE = CONFIG + '[runs.b]\nextends = "a"\nviews = ["identity"]\n'


# Projects as they were when they had been made, by their configuration.
KEPT: dict[str, Path] = {}


def pictures(seed: int, n: int = 90, spread: int = 60, brighter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(60, 150, (n, 16, 16, 3)) + brighter
    for label, channel in ((0, 0), (1, 2)):
        images[labels == label, :, :, channel] += rng.integers(-10, spread, ((labels == label).sum(), 1, 1))
    return np.clip(images, 0, 255).astype(np.uint8), labels


Pictures = tuple[np.ndarray, np.ndarray]


def made(make_project, text: str = MORE, test: np.ndarray | None = None, train: Pictures | None = None) -> Project:
    """A project that is trained and stressed by hand, with test images where given."""
    text = text if test is None else text.replace('train = "small.npz"', 'train = "small.npz"\ntest = "test.npz"')
    folder = make_project(text)
    if test is None and train is None and text in KEPT:
        shutil.copytree(KEPT[text], folder, dirs_exist_ok=True)
        return Project(folder)
    images, labels = train or pictures(0)
    np.savez(folder / "small.npz", images=images, labels=labels)
    if test is not None:
        np.savez(folder / "test.npz", images=test)
    project = train_by_hand(folder)
    stress(project.layout, project.config, lambda event: None, launch=Stand())
    if test is None and train is None:
        KEPT[text] = folder.with_name("kept")
        shutil.copytree(folder, KEPT[text])
    return project


def run(project: Project) -> tuple[dict[str, ForecastRecord], list[Event]]:
    heard: list[Event] = []
    records = forecast(project.layout, project.config, heard.append)
    return {record.name: record for record in records}, heard


def said(heard: list[Event]) -> str:
    return "\n".join(event.text for event in heard if event.kind in ("say", "warn"))


def scored(project: Project, paths: SubmissionPaths, score: float) -> None:
    intent = Intent(tag=paths.root.name, sha256="", target=target_of(project.config))
    for fact in (intent, Answer(remote="1"), Score(score=score)):
        add_event(paths, paths.root.name, fact)


def ensembles(project: Project, *, metrics: tuple[str, ...] = ("nll",)) -> list[SubmissionPaths]:
    from kit.stages.ensemble.ensemble import ensemble

    found = []
    for metric in metrics:
        settings = project.config.ensemble.model_copy(update={"metric": metric})
        config = project.config.model_copy(update={"ensemble": settings})
        found.append(ensemble(project.layout, config, lambda event: None))
    return found


def test_every_run_and_ensemble_has_its_file_and_nothing_is_known_of_the_test(make_project) -> None:
    project = made(make_project)
    (paths,) = ensembles(project)
    records, heard = run(project)
    assert set(records) == {"a", "b", paths.root.name}
    for record in records.values():
        assert record.basis == "mixture" and record.past == 0
        assert record.low <= record.value <= record.high
        assert record.stressed <= record.clean + 0.05
    assert ForecastRecord.load(paths.forecast) == records[paths.root.name]
    assert "no predictions of test images" in said(heard) and "no scores yet" in said(heard)


def test_a_second_time_the_files_are_not_written_again_and_a_score_makes_them_stale(make_project) -> None:
    project = made(make_project)
    (paths,) = ensembles(project)
    run(project)
    before = paths.forecast.stat().st_mtime_ns
    _, heard = run(project)
    assert paths.forecast.stat().st_mtime_ns == before
    assert not [event for event in heard if event.kind == "wrote"]
    scored(project, paths, 0.5)
    records, _ = run(project)
    assert records[paths.root.name].score == 0.5


def test_a_score_moves_the_others_but_not_the_forecast_it_is_held_against(make_project) -> None:
    project = made(make_project)
    first, second = ensembles(project, metrics=("nll", "accuracy"))
    before, _ = run(project)
    scored(project, first, before[first.root.name].value - 0.2)
    after, heard = run(project)
    own, other = after[first.root.name], after[second.root.name]
    assert own.past == 0 and own.value == pytest.approx(before[first.root.name].value)
    assert own.error == pytest.approx(-0.2)
    assert other.past == 1 and other.value < before[second.root.name].value - 0.05
    assert "too few" in said(heard) and "the scores are best explained by" in said(heard)


def test_three_scores_are_enough_to_say_what_they_look_like(make_project) -> None:
    project = made(make_project)
    three = ensembles(project, metrics=("nll", "accuracy", "brier"))
    for number, paths in enumerate(three):
        scored(project, paths, 0.6 + 0.01 * number)
    _, heard = run(project)
    assert "too few" not in said(heard) and "each score left out" in said(heard)


def test_scores_of_another_competition_do_not_count(make_project) -> None:
    project = made(make_project)
    (paths,) = ensembles(project)
    scored(project, paths, 0.5)
    moved = project.config.competition.model_copy(update={"id": "other"})
    config = project.config.model_copy(update={"competition": moved})
    assert gather(project.layout, config).past == {}
    assert gather(project.layout, project.config).past == {paths.root.name: 0.5}


@pytest.mark.matrix
def test_test_images_like_the_training_set_are_said_to_be_so(make_project) -> None:
    project = made(make_project, test=pictures(7)[0])
    ensembles(project)
    records, heard = run(project)
    text = said(heard)
    assert "images: the test can hardly be told" in text and "no test image is a training image" in text
    for record in records.values():
        assert record.basis == "test pictures"
        assert abs(record.value - record.clean) < 0.1


@pytest.mark.matrix
def test_outputs_are_compared_of_one_network_and_of_a_run_whose_blend_is_better(make_project) -> None:
    project = made(make_project, test=pictures(7, 300)[0], train=pictures(0, 450))
    ensembles(project)
    run(project)
    gathered = gather(project.layout, project.config)
    first = plan_runs(project.layout, project.config, ())[(entry := _most_able(gathered)).name][0].paths
    held, test = (load_predictions(path).first for path in (first.valid, first.test))
    found = ShiftReport.load(project.layout.shift_report).outputs_pvalue
    assert entry.kind == "run" and found == detect(held, test) > LEVEL
    # Of the networks of all folds, the first of which is the least sure, the same images seem to differ.
    assert detect(entry.clean, test) < LEVEL


def outputs(fold: int, images: np.ndarray) -> np.ndarray:
    return from_logits(predict_with(fold, images, slice(None), ("identity",))[0], several=False)


def test_outputs_of_one_network_are_alike_on_images_of_one_source_and_differ_on_others() -> None:
    of_one, of_three, moved = [], [], []
    for seed in range(60):
        ours, theirs = pictures(2 * seed, 100)[0], pictures(2 * seed + 1, 80)[0]
        here, redder = outputs(0, theirs), np.clip(theirs * np.array([1.3, 1, 1]), 0, 255)
        of_one.append(detect(outputs(0, ours), here))
        of_three.append(detect(np.concatenate([outputs(fold, ours[fold::3]) for fold in range(3)]), here))
        moved.append(detect(outputs(0, ours), outputs(0, redder)))
    alarms = [np.mean(np.array(found) < 0.1) for found in (of_one, of_three, moved)]
    assert alarms[0] <= 0.1 < 0.2 < alarms[1] < 0.9 < alarms[2]


@pytest.mark.matrix
def test_fewer_than_four_test_images_change_nothing_and_it_is_said(make_project) -> None:
    blind, _ = run(made(make_project))
    few, heard = run(made(partial(make_project, name="few"), test=pictures(7, 3)[0]))
    for name, record in few.items():
        assert record.model_dump(exclude={"made_from"}) == blind[name].model_dump(exclude={"made_from"})
    assert "or of fewer than 4" in said(heard) and "intervals are for 90 images" in said(heard)


@pytest.mark.matrix
def test_brighter_test_images_are_found_out_and_drawn(make_project) -> None:
    project = made(make_project, test=pictures(8, brighter=90)[0])
    _, heard = run(project)
    assert "the test is not like the training set" in said(heard)
    layout = project.layout
    report = ShiftReport.load(layout.shift_report)
    assert report.auc > 0.9 and len(report.unlike) == 24
    drawn = [layout.unlike_sheet, *map(layout.shift_picture, ("likeness", "priors"))]
    kept = [path.read_bytes() for path in drawn]
    layout.shift_report.unlink()
    run(project)
    assert [path.read_bytes() for path in drawn] == kept


@pytest.mark.matrix
def test_other_shares_of_the_classes_are_estimated(make_project) -> None:
    images, labels = pictures(9, n=400)
    project = made(make_project, test=images[np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels)[:40]]])
    run(project)
    report = ShiftReport.load(project.layout.shift_report)
    assert report.prior is not None and report.prior[0] > 0.7 and report.prior_pvalue < 0.01
    assert any("other shares" in sentence for sentence in report.sentences)


@pytest.mark.matrix
def test_training_images_in_the_test_are_named(make_project) -> None:
    images, _ = pictures(10)
    train, _ = pictures(0)
    images[3], images[4] = train[5], np.rot90(train[6])
    project = made(make_project, test=images)
    run(project)
    copies = ShiftReport.load(project.layout.shift_report).copies
    assert [(name, other) for name, other, _ in copies] == [("00003", "00005"), ("00004", "00006")] or [
        (int(name), int(other)) for name, other, _ in copies
    ] == [(3, 5), (4, 6)]


def test_the_last_word_is_of_the_newest_candidate_though_others_are_expected_to_be_better(make_project) -> None:
    project, best = made(make_project), []
    for metric in ("nll", "accuracy", "brier"):
        (paths,) = ensembles(project, metrics=(metric,))
        records, heard = run(project)
        newest = records[paths.root.name]
        assert heard[-1].text.startswith(paths.root.name.rpartition("-")[2])
        assert heard[-1].data == {"value": newest.value, "low": newest.low, "high": newest.high}
        best.append(max(record.value for record in records.values()) > newest.value)
    assert any(best)


def test_what_cannot_be_forecast_is_named(make_project) -> None:
    project = made(make_project)
    (paths,) = ensembles(project)
    record = Ensemble.load(paths.ensemble)
    others = tuple(member.model_copy(update={"oof": "0" * 64}) for member in record.members)
    record.model_copy(update={"members": others}).save(paths.ensemble)
    _, heard = run(project)
    assert f"{paths.root.name}: its runs differ from those of the current configuration" in said(heard)


def test_without_a_stressed_run_the_hint_says_what_to_do(make_project) -> None:
    folder = make_project(CONFIG)
    images, labels = pictures(0)
    np.savez(folder / "small.npz", images=images, labels=labels)
    project = train_by_hand(folder)
    with pytest.raises(StageError, match="no run is trained and stressed"):
        run(project)


@pytest.mark.matrix
@pytest.mark.parametrize("metric", ["auc", "macro_f1", "nll"])
def test_the_forecast_is_by_the_metric_of_the_competition(make_project, metric: str) -> None:
    project = made(make_project, f'[competition]\nmetric = "{metric}"\n' + MORE, test=pictures(7)[0])
    (paths,) = ensembles(project, metrics=(metric,))
    records, heard = run(project)
    assert {record.metric for record in records.values()} == {metric}
    clean = StressedRun.load(plan_runs(project.layout, project.config, ())["a"][0].run_paths.stress_manifest)
    assert records["a"].clean == pytest.approx(clean.scores.clean.score)
    assert abs(records[paths.root.name].value - Ensemble.load(paths.ensemble).cv.score) < 0.2
    (table,) = [event for event in heard if event.text == f"forecast of the {metric}"]
    shown = [row[3] for row in table.data["rows"]]
    assert shown == sorted(shown, reverse=metric != "nll")
    assert heard[-1].text.endswith(f"expected {metric}, 90 % interval")
    # A forecast of an earlier kit, which had other estimates beside it, stays what was said at its time.
    record = json.loads(paths.forecast.read_text())
    paths.forecast.write_text(json.dumps({**record, "version": 1, "signals": {"agreement of folds": 0.5}}))
    assert ForecastRecord.load(paths.forecast) == records[paths.root.name]


@pytest.mark.matrix
def test_scores_of_a_blend_are_by_rules_that_never_saw_the_row_that_they_answer(make_project) -> None:
    images, _ = pictures(3, 150)
    blue = images.mean((1, 2)) @ [-1, 0, 1]
    labels = (np.random.default_rng(1).random(150) < 1 / (1 + np.exp(1.5 - blue / 15))).astype(int)
    project = made(make_project, '[competition]\nmetric = "f1"\n' + MORE, train=(images, labels))
    (paths,) = ensembles(project, metrics=("f1",))
    blend, gathered = Ensemble.load(paths.ensemble), gather(project.layout, project.config)
    found = run(project)[0][paths.root.name]
    assert (found.clean, found.stressed) == (blend.cv.score, blend.stressed.score)
    fitted_to_all = gathered.evidence().values(gathered.y, gathered.entries[-1].clean[None], slice(2, 3)).mean()
    assert blend.blend.decision is not None and found.clean < fitted_to_all - 0.002
    # What is said of a test like the training set is the nested score, and a little for the mean of folds.
    assert found.cases[0][1] == pytest.approx(found.clean + 0.05 * (1 - fitted_to_all) * 2 / 3)


def test_folds_are_joined_as_training_joins_them(make_project, tmp_path: Path) -> None:
    project = made(make_project)
    (specs, _) = plan_runs(project.layout, project.config, ()).values()
    found = gather(project.layout, project.config).entries[0]
    parts = [load_predictions(spec.paths.stress) for spec in specs]
    oof = load_predictions(specs[0].run_paths.oof)
    joined = join(parts, 3, oof.ids.tolist(), oof.classes)
    assert np.allclose(np.log(found.mixture) - np.log(found.mixture)[:, :1], joined.logits[0] - joined.logits[0][:, :1])


def test_the_board_shows_forecast_score_and_error_and_draws_them(make_project) -> None:
    from kit.stages.lb import leaderboard

    project = made(make_project)
    (paths,) = ensembles(project)
    records, _ = run(project)
    scored(project, paths, 0.5)
    heard: list[Event] = []
    report = leaderboard(project.layout, project.config, heard.append, width=200, pictures=True)
    (line,) = report.rows()
    expected = records[paths.root.name].value
    assert line["forecast"] == expected and line["forecast_basis"] == "mixture" and line["forecast_level"] == 0.9
    assert line["forecast_error"] == pytest.approx(0.5 - expected)
    assert line["stressed"] == Ensemble.load(paths.ensemble).stressed.score
    (table,) = [event for event in heard if event.kind == "table" and event.text == "submissions"]
    shown = dict(zip(table.data["header"], table.data["rows"][0], strict=True))
    assert shown["forecast"] == f"{expected:.4f}" and shown["error"] == f"{0.5 - expected:+.4f}"
    assert (project.layout.pictures / "forecast-score.svg").exists()


def test_training_ends_with_the_score_under_stress_or_with_how_to_get_it(make_project) -> None:
    from kit.stages.stress.stress import tell_known

    project = made(make_project)
    heard: list[Event] = []
    tell_known(project.layout, project.config, heard.append, ("a",))
    (specs, others) = plan_runs(project.layout, project.config, ()).values()
    numbers = {event.data["rows"]: event.data["value"] for event in heard}
    assert numbers["stressed"] == StressedRun.load(specs[0].run_paths.stress_manifest).scores.stressed.score
    others[0].run_paths.stress_manifest.unlink()
    heard.clear()
    tell_known(project.layout, project.config, heard.append, ())
    assert heard[-1].text == "score under stress: kit stress b"


@pytest.mark.matrix
def test_of_many_rows_a_draw_is_enough_and_the_clean_score_stays_exact(make_project, monkeypatch) -> None:
    project = made(make_project, test=pictures(11)[0])
    whole, _ = run(project)
    monkeypatch.setattr("kit.stages.forecast.entries.CLEAN_ROWS", 60)
    monkeypatch.setattr("kit.stages.forecast.entries.STRESSED_ROWS", {True: 150, False: 150})
    evidence = gather(project.layout, project.config).evidence()
    assert (len(evidence.y), len(evidence.rows)) == (60, 150)
    records = forecast(project.layout, project.config, lambda event: None, force=True)
    for record in records:
        before = whole[record.name]
        assert (record.clean, record.stressed) == (before.clean, before.stressed)
        assert record.value == pytest.approx(before.value, abs=0.1)
