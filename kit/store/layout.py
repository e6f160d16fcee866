"""Every path of a project: of its folder, of a run, of a fold and of a candidate for submission."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kit.base.text import nearest
from kit.errors import ConfigError

CONFIG_NAME = "kit.toml"


class Below:
    """A path below the ``root`` of the object that it is an attribute of."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, rooted: Layout | RunPaths | FoldPaths | SubmissionPaths, owner: type[object]) -> Path:
        return rooted.root / self._name


class EachBelow(Below):
    """As many paths below the ``root`` as there are names, which stand in the place of ``{}``."""

    def __get__(  # type: ignore[override]
        self, rooted: Layout | FoldPaths | SubmissionPaths, owner: type[object]
    ) -> Callable[[str | int], Path]:
        return lambda name: rooted.root / self._name.format(name)


@dataclass(frozen=True)
class RunPaths:
    """The files of one run: a resolved configuration on one set of data and folds."""

    root: Path

    manifest, lock, log = Below("run.json"), Below(".lock"), Below("log.jsonl")
    oof, test, test_record = Below("oof.npz"), Below("test.npz"), Below("test.json")
    curves, confusion = Below("curves.svg"), Below("confusion.svg")
    stress, stress_grid, stress_manifest = Below("stress.npz"), Below("stress-grid.npz"), Below("stress.json")
    stress_table, stress_picture = Below("stress.csv"), Below("stress.svg")
    forecast, engine = Below("forecast.json"), Below("engine.json")

    def fold(self, fold: int) -> FoldPaths:
        return FoldPaths(self.root / f"fold-{fold}")


@dataclass(frozen=True)
class FoldPaths:
    """The files of one fold of one run; ``record`` is written last and means that the fold is done."""

    root: Path

    record, spec, log, errors = Below("fold.json"), Below("spec.json"), Below("log.jsonl"), Below("stderr.txt")
    weights, history, probe = Below("weights.npz"), Below("history.csv"), Below("probe.npz")
    converted = Below("converted.bin")
    valid, valid_augmented = Below("valid.npz"), Below("valid-augmented.npz")
    test, test_spec, test_record = Below("test.npz"), Below("test-spec.json"), Below("test.json")
    stress, stress_grid = Below("stress.npz"), Below("stress-grid.npz")
    stress_spec, stress_record = Below("stress-spec.json"), Below("stress.json")
    taught, taught_record = Below("taught.npz"), Below("taught.json")
    tensorboard = Below("tensorboard")
    checkpoint = EachBelow("checkpoint-{}.npz")


@dataclass(frozen=True)
class SubmissionPaths:
    """The files of one candidate for submission."""

    root: Path

    ensemble, predictions = Below("ensemble.json"), Below("oof.npz")
    stressed_predictions, forecast, attention = Below("stressed.npz"), Below("forecast.json"), Below("attention.npz")
    picture = EachBelow("{}.svg")
    bundle, proof, card = Below("bundle.zip"), Below("proof.json"), Below("card.md")
    table, table_zip, events = Below("submission.csv"), Below("submission.zip"), Below("events")


@dataclass(frozen=True)
class Layout:
    """The paths of the project whose folder is ``root``."""

    root: Path
    config_name: str = CONFIG_NAME

    @property
    def config(self) -> Path:
        return self.root / self.config_name

    data, data_manifest, digests = Below("data"), Below("data/manifest.json"), Below("data/.digests.json")
    images, index = Below("data/images.npy"), Below("data/index.csv")
    dropped, noted, sheets = Below("data/dropped.csv"), Below("data/noted.csv"), Below("data/sheets")
    # Images without labels, by their part: `test` or `unlabelled`.
    images_of, index_of, manifest_of = (
        EachBelow("data/{}.npy"),
        EachBelow("data/{}_index.csv"),
        EachBelow("data/{}.json"),
    )
    proposals, proposals_sheet = Below("data/label_proposals.csv"), Below("data/label_proposals.png")
    overrides = Below("clean_overrides.csv")
    folds, folds_table = Below("folds"), EachBelow("folds/{}.csv")
    folds_manifest, folds_picture = EachBelow("folds/{}.json"), EachBelow("folds/{}.svg")
    runs, features, probe = Below("runs"), Below("runs/features"), EachBelow("runs/probe/{}.json")
    augment_picture, corruptions_picture = EachBelow("runs/{}-augment.png"), Below("runs/corruptions.png")
    submissions, boards = Below("submissions"), Below("submissions/leaderboard")
    data_lock, folds_lock = Below("data/.lock"), Below("data/.folds.lock")
    ensemble_lock, bundle_lock = Below("data/.ensemble.lock"), Below("data/.bundle.lock")
    submit_lock, ledger_cache = Below("data/.submit.lock"), Below("data/.ledger-cache.json")
    asked = Below("data/.leaderboard-asked.json")
    """When each platform last showed us its board; the snapshots say only when it changed."""
    shift, shift_report = Below("data/shift"), Below("data/shift/shift.json")
    shift_picture, unlike_sheet = EachBelow("data/shift/{}.svg"), Below("data/shift/unlike.png")
    pictures, local_platform = Below("data/leaderboard"), Below("data/local-platform")

    def run(self, name: str, key: str) -> RunPaths:
        return RunPaths(self.runs / f"{name}-{key[:8]}")

    def submission(self, name: str) -> SubmissionPaths:
        return SubmissionPaths(self.submissions / name)

    def named(self, path: str) -> Path:
        """A path of the configuration: relative ones start at the project's folder."""
        return self.root / Path(path).expanduser()


def find_project(start: Path, config: Path | None = None) -> Layout:
    """The project that ``start`` lies in: the nearest folder at or above it with a ``kit.toml``.

    Raises `ConfigError` where there is none, or the file named by ``config`` is missing.
    """
    if config is not None:
        if not config.is_file():
            others = [str(path) for path in sorted(config.parent.glob("*.toml"))]
            raise ConfigError(f"no such file: {config}", nearest(str(config), others))
        return Layout(config.resolve().parent, config.name)
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / CONFIG_NAME).is_file():
            return Layout(folder)
    raise ConfigError(f"no {CONFIG_NAME} in {start.resolve()} or above it", "kit init")
