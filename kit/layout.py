"""Every path of a project, as properties of one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import ConfigError
from kit.paths import Below, FoldPaths, RunPaths, SubmissionPaths

__all__ = ["CONFIG_NAME", "FoldPaths", "Layout", "RunPaths", "SubmissionPaths", "find_project"]

CONFIG_NAME = "kit.toml"


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

    Raises
    ------
    ConfigError
        Where there is none, or the file named by ``config`` is missing.
    """
    if config is not None:
        if not config.is_file():
            raise ConfigError(f"no such file: {config}", "kit init")
        return Layout(config.resolve().parent, config.name)
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / CONFIG_NAME).is_file():
            return Layout(folder)
    raise ConfigError(f"no {CONFIG_NAME} in {start.resolve()} or above it", "kit init")
