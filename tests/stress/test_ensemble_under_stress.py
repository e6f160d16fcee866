"""The ensemble and stressed rows: both scores where they are there, clean rows where they are not, no silent change."""

from __future__ import annotations

from pathlib import Path

import pytest
from by_hand import Stand

from kit.base.events import Event
from kit.config import Config
from kit.errors import StageError
from kit.project import Project
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.stress.stress import stress
from kit.store.candidate import Ensemble
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage


def fitted_on(project: Project, fit_on: str) -> Config:
    text = project.layout.config.read_text() + f'[ensemble]\nfit_on = "{fit_on}"\n'
    Path(project.layout.config).write_text(text)
    return Project(project.layout.root).config


def test_without_stress_the_default_is_clean_rows_and_it_says_so(by_hand: Project) -> None:
    heard: list[Event] = []
    paths = ensemble(by_hand.layout, by_hand.config, heard.append)
    record = Ensemble.load(paths.ensemble)
    assert (record.fit_on, record.stressed) == ("clean", None)
    assert not paths.stressed_predictions.exists()
    assert any(event.kind == "warn" and "clean rows only" in event.text for event in heard)


def test_without_stress_what_was_asked_for_is_not_replaced(by_hand: Project) -> None:
    with pytest.raises(StageError, match="no predictions for the current") as caught:
        ensemble(by_hand.layout, fitted_on(by_hand, "mixture"), lambda event: None)
    assert caught.value.hint == "kit stress a"


@pytest.mark.parametrize("fit_on", ["", "clean", "stressed", "mixture"])
def test_with_stress_both_scores_are_of_the_nested_predictions(by_hand: Project, fit_on: str) -> None:
    stress(by_hand.layout, by_hand.config, lambda event: None, launch=Stand())
    config = fitted_on(by_hand, fit_on) if fit_on else by_hand.config
    paths = ensemble(by_hand.layout, config, lambda event: None)
    record = Ensemble.load(paths.ensemble)
    assert record.fit_on == record.blend.fit_on == (fit_on or "mixture")
    labels = [int(line.split(",")[1]) for line in by_hand.layout.index.read_text().splitlines()[1:]]
    for name, path in (("cv", paths.predictions), ("stressed", paths.stressed_predictions)):
        right = load_predictions(path).logits[0].argmax(1) == labels
        assert getattr(record, name).score == pytest.approx(right.mean())
    assert record.stressed is not None and record.stressed.score <= record.cv.score


def test_another_kind_of_rows_is_another_candidate(by_hand: Project) -> None:
    stress(by_hand.layout, by_hand.config, lambda event: None, launch=Stand())
    first = ensemble(by_hand.layout, by_hand.config, lambda event: None)
    second = ensemble(by_hand.layout, fitted_on(by_hand, "clean"), lambda event: None)
    assert first.root != second.root
    assert ensemble(by_hand.layout, by_hand.config, lambda event: None).root == first.root
