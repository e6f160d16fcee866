"""``kit.toml``: read, checked, frozen.

The sections are the commands. A mistake is a `ConfigError` on one line that names the key as it stands in the
file; an unknown key is refused with the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator

from kit.config.base import Section
from kit.config.bundle import BundleConfig
from kit.config.clean import CleanConfig
from kit.config.competition import CompetitionConfig
from kit.config.data import DataConfig, PracticeConfig
from kit.config.engine import EngineConfig
from kit.config.runs import AugmentConfig, HeadConfig, RunConfig
from kit.config.sections import EnsembleConfig, FoldsConfig, TrainConfig
from kit.config.shift import StressConfig
from kit.config.stages import EarlyStoppingConfig, ScheduleConfig, StageConfig
from kit.errors import ConfigError

__all__ = [
    "AugmentConfig",
    "BundleConfig",
    "CleanConfig",
    "CompetitionConfig",
    "Config",
    "DataConfig",
    "EarlyStoppingConfig",
    "EngineConfig",
    "EnsembleConfig",
    "FoldsConfig",
    "HeadConfig",
    "PracticeConfig",
    "RunConfig",
    "ScheduleConfig",
    "StageConfig",
    "StressConfig",
    "TrainConfig",
    "load",
    "on_engine",
    "parse",
]

_TRANSFER = {
    "weights": "imagenet",
    "augment": [{"op": "dihedral"}, {"op": "degrade"}],
    "stages": [
        {"train": "head", "epochs": 3, "lr": 1e-3},
        {"train": "all", "epochs": 5, "lr": 3e-4, "schedule": {"kind": "cosine", "warmup": 0.5}},
    ],
    "batch_size": 64,
    "label_smoothing": 0.05,
    "class_weights": "balanced",
}
DEFAULT_RUNS: dict[str, dict[str, Any]] = {
    "mobilenetv2": {"backbone": "mobilenetv2", **_TRANSFER},
    "efficientnetv2-b0": {"backbone": "efficientnetv2-b0", **_TRANSFER},
}


class Config(Section):
    """The whole of ``kit.toml``."""

    competition: CompetitionConfig = CompetitionConfig()
    """Where submissions go and how they are scored."""
    data: DataConfig
    """The images and labels."""
    clean: CleanConfig = CleanConfig()
    """What is dropped and what stays together."""
    folds: FoldsConfig = FoldsConfig()
    """How rows are split."""
    train: TrainConfig = TrainConfig()
    """How the machine is used."""
    engine: EngineConfig = EngineConfig()
    """Which machines are used."""
    runs: dict[str, RunConfig] = Field(default_factory=lambda: _resolve_runs(DEFAULT_RUNS), min_length=1)
    """What is trained, by name; `extends` takes the keys of another run, one level."""
    stress: StressConfig = StressConfig()
    """How held-out images are hurt for the score beside the clean one."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """What is blended."""
    bundle: BundleConfig = BundleConfig()
    """The shape of the zip and what it may cost."""

    @field_validator("runs")
    @classmethod
    def _plain_names(cls, runs: dict[str, RunConfig]) -> dict[str, RunConfig]:
        for name in runs:
            if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
                raise ValueError(f"a run's name is letters, digits, - and _, so that it can be a folder, not {name!r}")
        return runs

    def ensemble_runs(self) -> tuple[str, ...]:
        """Names of the runs to blend, in the order of the configuration."""
        return self.ensemble.runs or tuple(self.runs)


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Raises
    ------
    ConfigError
        Where the file cannot be read, is not TOML, or says something that cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "kit init") from error
    return parse(text, path.name)


def parse(text: str, name: str = "kit.toml") -> Config:
    """Check the text of a configuration file called ``name``; raises `ConfigError`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from error
    if isinstance(raw.get("runs"), dict):
        raw["runs"] = _extend_runs(raw["runs"], name)
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise _readable(error, name) from None
    _check_names(config, name)
    return config


def on_engine(config: Config, name: str) -> Config:
    """The configuration with another ``[engine] name``, or as it is where ``name`` is empty; raises `ConfigError`."""
    if not name:
        return config
    try:
        engine = EngineConfig.model_validate({**config.engine.model_dump(), "name": name})
    except ValidationError:
        raise ConfigError(f"no engine {name!r}", "known: local, ray") from None
    return config.model_copy(update={"engine": engine})


def _resolve_runs(runs: dict[str, dict[str, Any]]) -> dict[str, RunConfig]:
    return {name: RunConfig.model_validate(run) for name, run in runs.items()}


def _extend_runs(runs: dict[str, Any], name: str) -> dict[str, Any]:
    """Fill each run that ``extends`` another from that one; one level, so that a run is read in two places at most."""
    resolved = {}
    for key, run in runs.items():
        parent = run.get("extends") if isinstance(run, dict) else None
        if parent is None:
            resolved[key] = run
            continue
        if parent not in runs:
            raise ConfigError(f"{name}: runs.{key} extends {parent!r}, which is not a run", _nearest(parent, runs))
        if "extends" in runs[parent]:
            raise ConfigError(f"{name}: runs.{key} extends {parent!r}, which extends another run; one level only")
        resolved[key] = {**runs[parent], **{k: v for k, v in run.items() if k != "extends"}}
    return resolved


def _check_names(config: Config, name: str) -> None:
    for run in config.ensemble.runs:
        if run not in config.runs:
            raise ConfigError(f"{name}: ensemble.runs names {run!r}, which is not a run", _nearest(run, config.runs))


def _readable(error: ValidationError, name: str) -> ConfigError:
    # A misspelt key is also a missing one: the spelling is what helps.
    first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        return ConfigError(f"{name}: unknown key `{where}`", _nearest(str(first["loc"][-1]), known))
    if first["type"] == "missing":
        hint = '[data] train = "practice"' if where in ("data", "data.train") else ""
        return ConfigError(f"{name}: `{where}` is missing", hint)
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{name}: `{where}` = {first['input']!r}: {message}")


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the table that a wrong key stands in, found by walking the models down its path."""
    model: Any = Config
    # The name of a run is the user's own and not a field.
    path = location[:1] + location[2:] if location[0] == "runs" else location
    for part in path[:-1]:
        if isinstance(part, str) and model is not None:
            model = _first_model(model.model_fields[part].annotation)
    return sorted(model.model_fields) if model is not None else []


def _first_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_first_model(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def _nearest(word: str, known: Any) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}"
