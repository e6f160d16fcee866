"""``kit.toml``: read, checked, frozen.

Each section belongs to a command. A mistake raises a `ConfigError` with one line that names the key as written in the
file. For an unknown key the nearest known one is suggested.
"""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, JsonValue, ValidationError, model_validator

from kit.base.text import nearest, text_of
from kit.config.base import ConfigSection, Location, Name, mistake
from kit.config.competition import CompetitionConfig
from kit.config.own import resolve
from kit.config.runs import AugmentConfig, HeadConfig, RunConfig, ScheduleConfig, StageConfig
from kit.config.sections import (
    BundleConfig,
    CleanConfig,
    DataConfig,
    EngineConfig,
    EnsembleConfig,
    FoldsConfig,
    NotebookConfig,
    PredictConfig,
    StressConfig,
    TrainConfig,
)
from kit.errors import ConfigError

__all__ = [
    "AugmentConfig", "BundleConfig", "CleanConfig", "Config", "DataConfig", "FoldsConfig", "HeadConfig", "RunConfig",
    "ScheduleConfig", "StageConfig", "StressConfig", "load", "on_engine", "parse",
]  # fmt: skip


def _default_runs() -> dict[str, RunConfig]:
    """Transfer learning in two stages, which is what a project without ``[runs]`` trains."""
    run = RunConfig(
        backbone="mobilenetv2",
        weights="imagenet",
        augment=(AugmentConfig(op="dihedral"), AugmentConfig(op="degrade")),
        stages=(
            StageConfig(train="head", epochs=3, lr=1e-3),
            StageConfig(train="all", epochs=5, lr=3e-4, schedule=ScheduleConfig(kind="cosine", warmup=0.5)),
        ),
        batch_size=64,
        label_smoothing=0.05,
        class_weights="balanced",
    )
    return {name: run.model_copy(update={"backbone": name}) for name in ("mobilenetv2", "efficientnetv2-b0")}


class Config(ConfigSection):
    """The whole of ``kit.toml``."""

    competition: CompetitionConfig = CompetitionConfig()
    """Where submissions go and how they are scored."""
    data: DataConfig
    """The images and labels."""
    clean: CleanConfig = CleanConfig()
    """Which images are dropped, and which ones must share a fold."""
    folds: FoldsConfig = FoldsConfig()
    """How the rows are split into folds."""
    train: TrainConfig = TrainConfig()
    """How training uses this machine."""
    engine: EngineConfig = EngineConfig()
    """Which machines training runs on."""
    runs: dict[Name, RunConfig] = Field(default_factory=_default_runs, min_length=1)
    """The networks to train, by name. `extends` copies the keys of another run, which must not use `extends` itself."""
    predict: PredictConfig = PredictConfig()
    """What runs trained networks."""
    stress: StressConfig = StressConfig()
    """How held-out images are corrupted for the stressed score."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """Which runs are blended, and how."""
    bundle: BundleConfig = BundleConfig()
    """The interface of the zip and its limits."""
    notebook: NotebookConfig = NotebookConfig()
    """The notebook that runs the bundle in a code competition on Kaggle."""

    @model_validator(mode="after")
    def _tell_task(self) -> Self:
        object.__setattr__(self, "data", self.data.of_task(self.competition.task))
        return self

    def run(self, name: str) -> RunConfig:
        """The run of this name; raises `ConfigError` where there is none."""
        if name not in self.runs:
            raise ConfigError(f"no run {name!r}", nearest(name, self.runs))
        return self.runs[name]

    def teachers(self, name: str, students: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The runs that teach a run; `ConfigError` where there is none, or it is one of its own ``students``."""
        teach, mended = self.run(name).teach, f"remove `teach` from runs.{name}"
        if name in students:
            raise ConfigError(f"runs.{name} is its own teacher: {' <- '.join((*students, name))}", mended)
        if teach is None:
            return ()
        every = [
            one for one in self.ensemble_runs() if one in self.runs and one != name and self.run(one).teach is None
        ]
        found = [other for one in teach.by for other in (every if one == "ensemble" else [one])]
        if not found:
            raise ConfigError(f"runs.{name}: `ensemble` has no other run without teachers to teach it", mended)
        for other in found:
            self.teachers(other, (*students, name))
        return tuple(dict.fromkeys(found))

    def ensemble_runs(self) -> tuple[str, ...]:
        """Names of the runs to blend, in the order of the configuration."""
        return self.ensemble.runs or tuple(self.runs)


def load(path: Path) -> Config:
    """Read and check a configuration file; raises `ConfigError` where it cannot be read, or says what cannot be."""
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = f"ls -ld {shlex.quote(str(path))}" if path.exists() else "kit init"
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint) from error
    return parse(text_of(content, path, ConfigError), path.name, path.parent)


def parse(text: str, name: str = "kit.toml", root: Path = Path()) -> Config:
    """Check the text of a configuration file called ``name`` in the folder ``root``; raises `ConfigError`."""
    try:
        raw = tomllib.loads(text)
        if isinstance(raw.get("runs"), dict):
            raw["runs"] = _extend_runs(raw["runs"], name)
        resolve(raw, root)
        config = Config.model_validate(raw)
    except RecursionError:
        raise ConfigError(f"{name} nests tables or lists too deeply", "docs/reference.md shows every key") from None
    except ValidationError as error:
        missing = error.errors()[0]["loc"] in (("data",), ("data", "train"))
        raise mistake(error, name, _known_keys, '[data] train = "practice"' if missing else "") from None
    except ValueError as error:  # also of numbers that are too long
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{name} is not TOML: {error}", f"sed -n {line[1]}p {name}" if line else "") from None
    for run in config.ensemble.runs:
        if run.split("~")[0] not in config.runs:  # a round of self-training is not written down
            raise ConfigError(f"{name}: ensemble.runs names {run!r}, which is not a run", nearest(run, config.runs))
    for run in config.runs:
        config.teachers(run)
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


def _extend_runs(runs: dict[str, JsonValue], name: str) -> dict[str, JsonValue]:
    """Fill each run that ``extends`` another from that one; one level, so that a run is read in two places at most."""
    resolved = dict(runs)
    for key, run in runs.items():
        if not isinstance(run, dict) or (parent := run.get("extends")) is None:
            continue
        source = runs.get(parent) if isinstance(parent, str) else None
        if not isinstance(source, dict):
            raise ConfigError(f"{name}: runs.{key} extends {parent!r}, which is not a run", nearest(str(parent), runs))
        if "extends" in source:
            raise ConfigError(f"{name}: runs.{key} extends {parent!r}, which itself extends another run")
        resolved[key] = {**source, **{k: v for k, v in run.items() if k != "extends"}}
    return resolved


def _known_keys(location: Location) -> list[str]:
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
