"""Stress: held-out rows alone, the same pictures for every run, nothing lost and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from by_hand import CONFIG, Stand, predict_with, train_by_hand
from PIL import Image
from recorded import join_runs, write_fold

from kit.base.events import Event
from kit.errors import ConfigError, DataError, StageError
from kit.images.corrupt.plan import CLEAN, StressPlan, apply, assign, grid, grid_ids, plan_of, sampled, split
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.runs.stressed import StressedRun, load_stressed, stressed_run
from kit.stages.stress.stress import corruption_sheet, stress, stress_if_possible
from kit.store.data import load_images, load_index
from kit.store.files import read_csv
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage


def stressed(project: Project, stand: Stand | None = None, **keys: object) -> list[Event]:
    heard: list[Event] = []
    stress(project.layout, project.config, heard.append, launch=stand or Stand(), **keys)  # type: ignore[arg-type]
    return heard


def files_of(project: Project) -> dict[str, bytes]:
    root = project.layout.runs
    found = [path for path in sorted(root.rglob("stress*")) if path.is_file() and path.parent.name.startswith("a-")]
    return {path.name: path.read_bytes() for path in found}


def test_every_row_is_predicted_by_the_fold_that_held_it_out(by_hand: Project) -> None:
    stressed(by_hand)
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    oof, hurt = load_predictions(specs[0].run_paths.oof), load_predictions(specs[0].run_paths.stress)
    assert hurt.ids.tolist() == oof.ids.tolist()
    assert (hurt.views, hurt.classes) == (oof.views, oof.classes)
    index, plan = load_index(by_hand.layout), plan_of(by_hand.config.stress)
    pictures = apply(plan, np.asarray(load_images(by_hand.layout)), index.ids, plan.seed)
    for spec in specs:
        rows = [index.ids.index(name) for name in load_predictions(spec.paths.valid).ids.tolist()]
        assert np.array_equal(hurt.logits[:, rows], predict_with(spec.fold, pictures, rows, oof.views))
    clean = assign(plan, oof.ids, plan.seed).family == CLEAN
    assert clean.any() and np.array_equal(hurt.logits[:, clean], oof.logits[:, clean])


def test_the_table_has_every_family_and_severity_of_one_sample(by_hand: Project) -> None:
    stressed(by_hand)
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    rows = read_csv(specs[0].run_paths.stress_table)
    assert [(row["family"], row["severity"]) for row in rows[:2]] == [(CLEAN, "0"), ("brightness-up", "1")]
    assert len(rows) == 1 + 2 * 5 + 1
    assert {row["rows"] for row in rows[:-1]} == {"20"} and rows[-1]["rows"] == "60"
    for row in rows[:-1]:
        assert float(row["drop"]) == pytest.approx(float(rows[0]["score"]) - float(row["score"]))
    noisier = [float(row["score"]) for row in rows if row["family"] == "brightness-up"]
    assert noisier[-1] < noisier[0]


def test_a_sample_of_one_class_has_no_auc_and_all_rows_have_one(make_project) -> None:
    folder, rng = make_project(CONFIG + '[competition]\nmetric = "auc"\n'), np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (300, 16, 16, 3), dtype=np.uint8), np.arange(300) % 50 == 0
    np.savez(folder / "small.npz", images=images, labels=labels.astype(int))
    project = train_by_hand(folder)
    stressed(project)
    paths = plan_runs(project.layout, project.config, ())["a"][0].run_paths
    *sample, whole = read_csv(paths.stress_table)
    assert {row["score"] for row in sample} == {"nan"}
    found = StressedRun.load(paths.stress_manifest).scores.stressed
    assert found.score == pytest.approx(float(whole["score"])) and found.low < found.score < found.high
    assert "nan" not in paths.stress_picture.read_text()


def test_the_scores_of_the_manifest_are_those_of_the_files(by_hand: Project) -> None:
    heard = stressed(by_hand)
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    paths, index = specs[0].run_paths, load_index(by_hand.layout)
    scores = StressedRun.load(paths.stress_manifest).scores
    for name, path in (("clean", paths.oof), ("stressed", paths.stress)):
        right = load_predictions(path).logits[0].argmax(1) == index.labels
        found = getattr(scores, name)
        assert found.score == pytest.approx(right.mean())
        assert found.low <= found.score <= found.high
    assert scores.drop.score == pytest.approx(scores.clean.score - scores.stressed.score)
    said = {event.data["rows"]: event.data["value"] for event in heard if event.kind == "number"}
    assert said == {name: figure.score for name, figure in scores}


def test_a_second_time_nothing_is_done_and_forced_the_bytes_are_the_same(by_hand: Project, monkeypatch) -> None:
    stressed(by_hand)
    before, stand = files_of(by_hand), Stand()
    heard = stressed(by_hand, stand)
    assert stand.done == [] and "fresh" in {event.kind for event in heard}
    monkeypatch.setattr("kit.stages.stress.worker.BATCH", 7)  # pictures at a time, as where they are large
    monkeypatch.setattr("kit.stages.stress.worker.BLOCK_BYTES", 1)
    stressed(by_hand, stand, force=True)
    assert len(stand.done) == 3
    assert files_of(by_hand) == before


def test_a_picture_that_is_missing_is_drawn_again_from_the_table_alone(by_hand: Project) -> None:
    stressed(by_hand)
    before, stand = files_of(by_hand), Stand()
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    specs[0].run_paths.stress_picture.unlink()
    heard = stressed(by_hand, stand)
    assert stand.done == [] and files_of(by_hand) == before
    wrote = [path for event in heard if event.kind == "wrote" for path in event.data["paths"]]
    assert wrote == [specs[0].run_paths.stress_picture]


@pytest.mark.parametrize("dies", [0, 1, 2])
def test_interrupted_it_goes_on_with_the_folds_that_are_missing(by_hand: Project, dies: int, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stressed(by_hand, Stand(die_at=dies))
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    assert stressed_run(specs, by_hand.config, load_index(by_hand.layout)) is None
    stand = Stand()
    stressed(by_hand, stand)
    assert len(stand.done) == 3 - dies
    once = files_of(by_hand)
    stressed(by_hand, force=True)
    assert files_of(by_hand) == once


def test_another_plan_or_another_network_makes_it_stale(by_hand: Project) -> None:
    stressed(by_hand)
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    index = load_index(by_hand.layout)
    other = by_hand.config.model_copy(update={"stress": by_hand.config.stress.model_copy(update={"seed": 1})})
    assert stressed_run(specs, by_hand.config, index) and not stressed_run(specs, other, index)
    with pytest.raises(StageError, match=r"no predictions for the current \[stress\] settings"):
        load_stressed(specs, other, index)
    found = load_predictions(specs[0].paths.valid)
    write_fold(specs[0], found.ids, found.logits + 1)
    join_runs(by_hand.layout, by_hand.config)
    stand = Stand()
    assert stressed_run(specs, by_hand.config, index) is None
    stressed(by_hand, stand)
    assert stand.done == ["a fold 0"]


def test_predictions_that_were_changed_by_hand_are_refused_and_made_again(by_hand: Project) -> None:
    stressed(by_hand)
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    before, index = files_of(by_hand), load_index(by_hand.layout)
    load_predictions(specs[2].paths.stress).select(["flip-lr"]).save(specs[2].paths.stress)
    with pytest.raises(StageError, match=r"fold-2/stress\.npz was changed after the kit wrote it") as caught:
        load_stressed(specs, by_hand.config, index)
    assert caught.value.hint == "kit stress a"
    stand = Stand()
    heard = stressed(by_hand, stand)
    assert stand.done == ["a fold 2"] and files_of(by_hand) == before
    assert "it will be created again" in next(event.text for event in heard if event.kind == "warn")


def test_an_untrained_run_is_named(make_project, by_hand: Project) -> None:
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    specs[1].paths.valid.unlink()
    with pytest.raises(StageError, match="fold 1 of run `a` has no predictions"):
        stressed(by_hand)


def test_without_weights_the_ensemble_goes_on_and_says_so(by_hand: Project) -> None:
    (specs,) = plan_runs(by_hand.layout, by_hand.config, ()).values()
    specs[0].paths.weights.unlink()
    heard: list[Event] = []
    stress_if_possible(by_hand.layout, by_hand.config, heard.append)
    assert [event.kind for event in heard] == ["warn"] and "weights of a" in heard[0].text
    with pytest.raises(StageError, match=r"weights\.npz is missing"):
        stressed(by_hand)


def test_unknown_families_and_odd_severities_are_refused(make_project) -> None:
    folder = make_project(CONFIG.replace('"noise"', '"nosie"'), "misspelt")
    np.savez(folder / "small.npz", images=np.zeros((30, 16, 16, 3), np.uint8), labels=np.arange(30) % 2)
    (folder / "small.npz").unlink()
    project_config = Project(folder).config
    with pytest.raises(DataError, match="nosie"):
        plan_of(project_config.stress).check()
    with pytest.raises(ConfigError, match="severities"):
        Project(make_project(CONFIG.replace("rows = 20", "severities = [1, 2]"), "short"))


def test_a_sample_is_of_the_ids_and_the_seed_alone() -> None:
    plan = StressPlan(("noise",), rows=10, seed=3)
    ids = [f"p{number}" for number in range(40)]
    chosen = sampled(plan, ids)
    assert len(chosen) == 10
    assert set(sampled(plan, ids[::-1])) == set(chosen)
    fewer = [name for name in ids if name not in chosen[:3]]
    assert set(chosen[3:]) < set(sampled(plan, fewer))
    assert sampled(plan, ids[:4]) == ids[:4]


def test_names_of_the_grid_can_be_taken_apart_whatever_the_ids_hold() -> None:
    plan = StressPlan(("noise", "jpeg"), rows=10, seed=3)
    ids = ["a|b", "c/d.png", "|"]
    names = grid_ids(plan, ids)
    found, families, severities = split(np.array(names))
    assert found == ids * 10
    assert families.tolist() == ["noise"] * 15 + ["jpeg"] * 15
    assert severities.tolist() == [degree for degree in (1, 2, 3, 4, 5) for _ in ids] * 2
    images = np.random.default_rng(0).integers(0, 255, (3, 12, 12, 3), dtype=np.uint8)
    assert sum(len(block) for block in grid(plan, images, ids)) == len(names)


def test_the_sheet_is_drawn_from_the_users_own_images(by_hand: Project) -> None:
    path = corruption_sheet(by_hand.layout, by_hand.config, lambda event: None)
    once = path.read_bytes()
    with Image.open(path) as sheet:
        assert sheet.size[1] > 15 * 96
    corruption_sheet(by_hand.layout, by_hand.config, lambda event: None)
    assert path.read_bytes() == once


def test_two_runs_are_hurt_alike(make_project) -> None:
    folder = make_project(CONFIG + '[runs.b]\nextends = "a"\nseed = 7\n', "two")
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (40, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "small.npz", images=images, labels=np.arange(40) % 2)
    project = train_by_hand(folder)
    stressed(project)
    first, second = (load_predictions(path) for path in sorted(project.layout.runs.glob("*/stress.npz")))
    assert np.array_equal(first.logits, second.logits)
