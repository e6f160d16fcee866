"""The paths inside the folder of a run, of a fold and of a candidate; `kit.layout` says where these folders are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Rooted(Protocol):
    """Whatever has a folder."""

    @property
    def root(self) -> Path: ...


class Below:
    """A path below the ``root`` of the object that it is an attribute of."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, rooted: Rooted, owner: type[object]) -> Path:
        return rooted.root / self._name


@dataclass(frozen=True)
class RunPaths:
    """The files of one run: a resolved configuration on one set of data and folds."""

    root: Path

    manifest = Below("run.json")
    oof = Below("oof.npz")
    test = Below("test.npz")
    test_record = Below("test.json")
    curves = Below("curves.png")
    confusion = Below("confusion.png")
    forecast = Below("forecast.json")
    stress = Below("stress.npz")
    stress_grid = Below("stress-grid.npz")
    stress_table = Below("stress.csv")
    stress_picture = Below("stress.png")
    stress_manifest = Below("stress.json")
    lock = Below(".lock")
    log = Below("log.jsonl")

    def fold(self, fold: int) -> FoldPaths:
        return FoldPaths(self.root / f"fold-{fold}")


@dataclass(frozen=True)
class FoldPaths:
    """The files of one fold of one run; ``record`` is written last and means that the fold is done."""

    root: Path

    record = Below("fold.json")
    spec = Below("spec.json")
    weights = Below("weights.npz")
    history = Below("history.csv")
    valid = Below("valid.npz")
    valid_augmented = Below("valid-augmented.npz")
    test = Below("test.npz")
    test_spec = Below("test-spec.json")
    test_record = Below("test.json")
    probe = Below("probe.npz")
    log = Below("log.jsonl")
    errors = Below("stderr.txt")
    stress_spec = Below("stress-spec.json")
    stress_record = Below("stress.json")
    stress_grid = Below("stress-grid.npz")
    stress = Below("stress.npz")
    tensorboard = Below("tensorboard")

    def checkpoint(self, generation: int) -> Path:
        return self.root / f"checkpoint-{generation}.npz"


@dataclass(frozen=True)
class SubmissionPaths:
    """The files of one candidate for submission."""

    root: Path

    ensemble = Below("ensemble.json")
    predictions = Below("oof.npz")
    stressed_predictions = Below("stressed.npz")
    forecast = Below("forecast.json")
    attention = Below("attention.npz")

    def picture(self, name: str) -> Path:
        return self.root / f"{name}.png"

    bundle = Below("bundle.zip")
    table = Below("submission.csv")
    proof = Below("proof.json")
    card = Below("card.md")
    events = Below("events")
