"""Runs and their folds as descriptions: what a unit of training is given, and where its files are."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from kit import augment
from kit.config import Config, RunConfig
from kit.data import Index, load_index
from kit.errors import ConfigError
from kit.files import sha256_file, sha256_json
from kit.layout import FoldPaths, Layout, RunPaths
from kit.partition import load_folds
from kit.records import Predictions, concatenate
from kit.runtime.backbones import BACKBONES, Backbone, Description, resolve
from kit.runtime.forward import mean_of_folds
from kit.runtime.heads import Head
from kit.runtime.preprocess import PREPROCESSORS, side_after
from kit.runtime.views import VIEWS

# Raised whenever the same configuration would train to other weights: older runs keep their folders.
VERSION = 4


@dataclass(frozen=True)
class FoldSpec:
    """Everything that the training of one fold depends on; JSON both ways.

    Attributes
    ----------
    root : str
        The project's folder.
    run : str
        Name of the run.
    key : str
        Hash of configuration, data and folds; names the run's folder.
    fold : int
    folds : str
        Name of the table under ``folds/``.
    config : dict
        The run's resolved configuration.
    classes : list of str
    size : int
        Side of the images in pixels.
    data, weights : str
        Hashes of the data's index and of the pretrained weights.
    """

    root: str
    run: str
    key: str
    fold: int
    folds: str
    config: dict[str, Any]
    classes: tuple[str, ...]
    size: int
    data: str
    weights: str

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.root))

    @property
    def run_paths(self) -> RunPaths:
        return self.layout.run(self.run, self.key)

    @property
    def paths(self) -> FoldPaths:
        return self.run_paths.fold(self.fold)

    @property
    def settings(self) -> RunConfig:
        return RunConfig.model_validate(self.config)

    def network(self) -> Description:
        """The description that `kit.runtime.backbones.build` takes."""
        settings = self.settings
        described: Description = {
            "backbone": settings.backbone,
            "size": self.size,
            "classes": len(self.classes),
            "head": cast("Head", settings.head.model_dump(mode="json")),
        }
        if settings.options:
            described["options"] = settings.options
        if settings.preprocess:
            described["preprocess"] = [step.model_dump(mode="json") for step in settings.preprocess]
        return described

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FoldSpec:
        return cls(**{**value, "classes": tuple(value["classes"])})


def weights_hash(settings: RunConfig, layout: Layout) -> str:
    """`none`, `imagenet`, or the hash of the weights file; raises `ConfigError` where there is no such file."""
    if settings.weights in ("none", "imagenet"):
        return settings.weights
    path = layout.named(settings.weights)
    if not path.is_file():
        raise ConfigError(f"no weights file {path}", 'weights = "imagenet" downloads them')
    return sha256_file(path)


def run_key(settings: RunConfig, weights: str, index: Index, folds: str) -> str:
    """Hash of all that decides what a run's files hold; a change of any of it is another folder."""
    return sha256_json(
        {
            "version": VERSION,
            "run": settings.model_dump(mode="json"),
            "weights": weights,
            "data": index.sha256,
            "test": index.test,
            "folds": folds,
            "backbone": repr(BACKBONES.get(settings.backbone)),
        }
    )


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on all ``parts``: streams of different purposes never meet."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def plan_runs(layout: Layout, config: Config, names: Sequence[str]) -> dict[str, list[FoldSpec]]:
    """The specification of every fold of every named run.

    Raises
    ------
    ConfigError
        Where a run, a backbone, a view or an augmentation does not exist, or the images are too small.
    StageError
        Where the data or the folds are missing.
    """
    index = load_index(layout)
    folds = load_folds(layout, config, index)
    specs = {}
    for name in names or tuple(config.runs):
        if name not in config.runs:
            raise ConfigError(f"no run {name!r} in {layout.config.name}", f"known: {', '.join(config.runs)}")
        settings = config.runs[name]
        check_run(name, settings, index)
        weights = weights_hash(settings, layout)
        key = run_key(settings, weights, index, folds.sha256)
        specs[name] = [
            FoldSpec(
                root=str(layout.root),
                run=name,
                key=key,
                fold=fold,
                folds=config.folds.name,
                config=settings.model_dump(mode="json"),
                classes=index.classes,
                size=index.shape[0],
                data=index.sha256,
                weights=weights,
            )
            for fold in range(folds.units)
        ]
    return specs


def join_folds(parts: Sequence[Predictions], n: int, ids: Sequence[str]) -> Predictions:
    """One prediction a held-out row, in the order of ``ids``: the mean of the repeats of ``n`` folds each."""
    known = {name for part in parts for name in part.ids.tolist()}
    order = np.array([name for name in ids if name in known])
    repeats = [concatenate(parts[start : start + n], order) for start in range(0, len(parts), n)]
    mean = mean_of_folds(np.stack([repeat.logits for repeat in repeats]))
    return Predictions(order, repeats[0].classes, repeats[0].views, mean)


def check_run(name: str, settings: RunConfig, index: Index) -> None:
    """Raise `ConfigError` where a run cannot be trained on these images, before anything is spent."""
    entry = BACKBONES.get(settings.backbone)
    if entry is None:
        raise ConfigError(f"runs.{name}: unknown backbone {settings.backbone!r}", f"known: {', '.join(BACKBONES)}")
    if index.shape[0] != index.shape[1]:
        raise ConfigError(f"images are {index.shape[0]} x {index.shape[1]}", "[data] image_size = 96")
    _check_preprocess(name, settings)
    side = side_after([step.model_dump() for step in settings.preprocess], index.shape[0])
    if side < entry.smallest:
        raise ConfigError(
            f"runs.{name}: {settings.backbone} needs images of {entry.smallest} px, these have {side}",
            f"[data] image_size = {entry.smallest}",
        )
    if settings.weights == "imagenet" and not entry.pretrained:
        raise ConfigError(f"runs.{name}: there are no ImageNet weights of {settings.backbone}", 'weights = "none"')
    if settings.weights == "none" and settings.stages[0].train != "all":
        raise ConfigError(
            f"runs.{name}: the first stage trains `{settings.stages[0].train}` on a backbone without weights",
            'stages = [{ train = "all", epochs = 12 }]',
        )
    _check_options(name, settings, entry)
    unknown = [view for view in settings.views if view not in VIEWS]
    if unknown:
        raise ConfigError(f"runs.{name}: unknown view {unknown[0]!r}", f"known: {', '.join(VIEWS)}")
    augment.check(settings.augment)
    augment.check(settings.validate_augment)


def _check_options(name: str, settings: RunConfig, entry: Backbone) -> None:
    """Raise `ConfigError` where ``options`` names something that the network does not have."""
    # Looked at only where it is ours: the signature of another one would load TensorFlow.
    known = list(inspect.signature(resolve(entry.builder)).parameters)[3:] if entry.builder[0] == "." else []
    for key in settings.options:
        if key not in known:
            hint = f"known: {', '.join(known)}" if known else f"remove `options` from runs.{name}"
            raise ConfigError(f"runs.{name}: {settings.backbone} has no option `{key}`", hint)


def _check_preprocess(name: str, settings: RunConfig) -> None:
    """Raise `ConfigError` where ``preprocess`` names a step or a key that there is not."""
    for step in settings.preprocess:
        if step.op not in PREPROCESSORS:
            raise ConfigError(f"runs.{name}: unknown preprocessor {step.op!r}", f"known: {', '.join(PREPROCESSORS)}")
        known = inspect.signature(PREPROCESSORS[step.op]).parameters
        for key, value in step.options.items():
            if key not in known:
                raise ConfigError(
                    f"runs.{name}: preprocessor {step.op!r} has no key `{key}`", f"known: {', '.join(known)}"
                )
            if not isinstance(value, int | float) or value <= 0:
                raise ConfigError(f"runs.{name}: preprocessor {step.op!r}: `{key}` = {value!r} is no positive number")
