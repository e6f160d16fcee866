"""Every path of a project, as properties of one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import ConfigError
from kit.paths import FoldPaths, RunPaths, SubmissionPaths

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

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def images(self) -> Path:
        return self.data / "images.npy"

    @property
    def index(self) -> Path:
        return self.data / "index.csv"

    @property
    def dropped(self) -> Path:
        return self.data / "dropped.csv"

    @property
    def noted(self) -> Path:
        return self.data / "noted.csv"

    @property
    def test_images(self) -> Path:
        return self.data / "test.npy"

    @property
    def test_index(self) -> Path:
        return self.data / "test_index.csv"

    @property
    def test_manifest(self) -> Path:
        return self.data / "test.json"

    @property
    def data_manifest(self) -> Path:
        return self.data / "manifest.json"

    @property
    def data_lock(self) -> Path:
        return self.data / ".lock"

    @property
    def digests(self) -> Path:
        return self.data / ".digests.json"

    @property
    def sheets(self) -> Path:
        return self.data / "sheets"

    @property
    def proposals(self) -> Path:
        return self.data / "label_proposals.csv"

    @property
    def proposals_sheet(self) -> Path:
        return self.data / "label_proposals.png"

    @property
    def overrides(self) -> Path:
        return self.root / "clean_overrides.csv"

    @property
    def folds(self) -> Path:
        return self.root / "folds"

    def folds_table(self, name: str) -> Path:
        return self.folds / f"{name}.csv"

    def folds_manifest(self, name: str) -> Path:
        return self.folds / f"{name}.json"

    def folds_picture(self, name: str) -> Path:
        return self.folds / f"{name}.png"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def features(self) -> Path:
        return self.runs / "features"

    def augment_picture(self, run: str) -> Path:
        return self.runs / f"{run}-augment.png"

    @property
    def corruptions_picture(self) -> Path:
        return self.runs / "corruptions.png"

    def run(self, name: str, key: str) -> RunPaths:
        return RunPaths(self.runs / f"{name}-{key[:8]}")

    @property
    def submissions(self) -> Path:
        return self.root / "submissions"

    def submission(self, name: str) -> SubmissionPaths:
        return SubmissionPaths(self.submissions / name)

    @property
    def boards(self) -> Path:
        return self.submissions / "leaderboard"

    @property
    def folds_lock(self) -> Path:
        return self.data / ".folds.lock"

    @property
    def ensemble_lock(self) -> Path:
        return self.data / ".ensemble.lock"

    @property
    def bundle_lock(self) -> Path:
        return self.data / ".bundle.lock"

    @property
    def submit_lock(self) -> Path:
        return self.data / ".submit.lock"

    @property
    def ledger_cache(self) -> Path:
        return self.data / ".ledger-cache.json"

    @property
    def asked(self) -> Path:
        """When each platform last showed us its board; the snapshots say only when it changed."""
        return self.data / ".leaderboard-asked.json"

    @property
    def pictures(self) -> Path:
        return self.data / "leaderboard"

    @property
    def shift(self) -> Path:
        return self.data / "shift"

    @property
    def shift_report(self) -> Path:
        return self.shift / "shift.json"

    def shift_picture(self, name: str) -> Path:
        return self.shift / f"{name}.png"

    @property
    def local_platform(self) -> Path:
        return self.data / "local-platform"

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
