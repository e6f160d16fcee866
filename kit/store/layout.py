"""Every path of a project: of its folder, of a run, of a fold and of a candidate for submission."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Layout:
    """The paths of the project whose folder is ``root``."""

    root: Path
    config_name: str = CONFIG_NAME

    @property
    def config(self) -> Path:
        return self.root / self.config_name

    data = Below("data")
    images = Below("data/images.npy")
    index = Below("data/index.csv")
    dropped = Below("data/dropped.csv")
    noted = Below("data/noted.csv")
    test_images = Below("data/test.npy")
    test_index = Below("data/test_index.csv")
    test_manifest = Below("data/test.json")
    data_manifest = Below("data/manifest.json")
    data_lock = Below("data/.lock")
    digests = Below("data/.digests.json")
    sheets = Below("data/sheets")
    proposals = Below("data/label_proposals.csv")
    proposals_sheet = Below("data/label_proposals.png")
    overrides = Below("clean_overrides.csv")
    folds = Below("folds")

    def folds_table(self, name: str) -> Path:
        return self.folds / f"{name}.csv"

    def folds_manifest(self, name: str) -> Path:
        return self.folds / f"{name}.json"

    def folds_picture(self, name: str) -> Path:
        return self.folds / f"{name}.png"

    runs = Below("runs")
    features = Below("runs/features")

    def augment_picture(self, run: str) -> Path:
        return self.runs / f"{run}-augment.png"

    corruptions_picture = Below("runs/corruptions.png")

    def run(self, name: str, key: str) -> RunPaths:
        return RunPaths(self.runs / f"{name}-{key[:8]}")

    submissions = Below("submissions")

    def submission(self, name: str) -> SubmissionPaths:
        return SubmissionPaths(self.submissions / name)

    boards = Below("submissions/leaderboard")
    folds_lock = Below("data/.folds.lock")
    ensemble_lock = Below("data/.ensemble.lock")
    bundle_lock = Below("data/.bundle.lock")
    submit_lock = Below("data/.submit.lock")
    ledger_cache = Below("data/.ledger-cache.json")
    asked = Below("data/.leaderboard-asked.json")
    """When each platform last showed us its board; the snapshots say only when it changed."""
    pictures = Below("data/leaderboard")
    shift = Below("data/shift")
    shift_report = Below("data/shift/shift.json")

    def shift_picture(self, name: str) -> Path:
        return self.shift / f"{name}.png"

    local_platform = Below("data/local-platform")

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
