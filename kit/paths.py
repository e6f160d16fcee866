"""The paths inside the folder of a run, of a fold and of a candidate; `kit.layout` says where these folders are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """The files of one run: a resolved configuration on one set of data and folds."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "run.json"

    @property
    def oof(self) -> Path:
        return self.root / "oof.npz"

    @property
    def test(self) -> Path:
        return self.root / "test.npz"

    @property
    def test_record(self) -> Path:
        return self.root / "test.json"

    @property
    def curves(self) -> Path:
        return self.root / "curves.png"

    @property
    def confusion(self) -> Path:
        return self.root / "confusion.png"

    @property
    def forecast(self) -> Path:
        return self.root / "forecast.json"

    @property
    def stress(self) -> Path:
        return self.root / "stress.npz"

    @property
    def stress_grid(self) -> Path:
        return self.root / "stress-grid.npz"

    @property
    def stress_table(self) -> Path:
        return self.root / "stress.csv"

    @property
    def stress_picture(self) -> Path:
        return self.root / "stress.png"

    @property
    def stress_manifest(self) -> Path:
        return self.root / "stress.json"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def log(self) -> Path:
        return self.root / "log.jsonl"

    def fold(self, fold: int) -> FoldPaths:
        return FoldPaths(self.root / f"fold-{fold}")


@dataclass(frozen=True)
class FoldPaths:
    """The files of one fold of one run; ``record`` is written last and means that the fold is done."""

    root: Path

    @property
    def record(self) -> Path:
        return self.root / "fold.json"

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def weights(self) -> Path:
        return self.root / "weights.npz"

    @property
    def history(self) -> Path:
        return self.root / "history.csv"

    @property
    def valid(self) -> Path:
        return self.root / "valid.npz"

    @property
    def valid_augmented(self) -> Path:
        return self.root / "valid-augmented.npz"

    @property
    def test(self) -> Path:
        return self.root / "test.npz"

    @property
    def test_spec(self) -> Path:
        return self.root / "test-spec.json"

    @property
    def test_record(self) -> Path:
        return self.root / "test.json"

    @property
    def probe(self) -> Path:
        return self.root / "probe.npz"

    @property
    def log(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def errors(self) -> Path:
        return self.root / "stderr.txt"

    @property
    def stress_spec(self) -> Path:
        return self.root / "stress-spec.json"

    @property
    def stress_record(self) -> Path:
        return self.root / "stress.json"

    @property
    def stress_grid(self) -> Path:
        return self.root / "stress-grid.npz"

    @property
    def stress(self) -> Path:
        return self.root / "stress.npz"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    def checkpoint(self, generation: int) -> Path:
        return self.root / f"checkpoint-{generation}.npz"


@dataclass(frozen=True)
class SubmissionPaths:
    """The files of one candidate for submission."""

    root: Path

    @property
    def ensemble(self) -> Path:
        return self.root / "ensemble.json"

    @property
    def predictions(self) -> Path:
        return self.root / "oof.npz"

    @property
    def stressed_predictions(self) -> Path:
        return self.root / "stressed.npz"

    @property
    def forecast(self) -> Path:
        return self.root / "forecast.json"

    @property
    def attention(self) -> Path:
        return self.root / "attention.npz"

    def picture(self, name: str) -> Path:
        return self.root / f"{name}.png"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle.zip"

    @property
    def table(self) -> Path:
        return self.root / "submission.csv"

    @property
    def proof(self) -> Path:
        return self.root / "proof.json"

    @property
    def card(self) -> Path:
        return self.root / "card.md"

    @property
    def events(self) -> Path:
        return self.root / "events"
