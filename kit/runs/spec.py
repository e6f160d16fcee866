"""Runs and their folds as descriptions: what a unit of training is given, and where its files are."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, cast

from kit.config import Config, RunConfig
from kit.errors import ConfigError
from kit.images import augment
from kit.runtime.backbones import BACKBONES, Description, resolve
from kit.runtime.heads import Head
from kit.runtime.preprocess import PREPROCESSORS, side_after
from kit.runtime.views import VIEWS
from kit.store.data import Index, load_index
from kit.store.digests import digest
from kit.store.files import sha256_json
from kit.store.layout import FoldPaths, Layout, RunPaths
from kit.store.partition import load_folds
from kit.store.record import Digests, Record

# Raised whenever the same configuration would train to other weights: older runs keep their folders.
VERSION = 5


class FoldSpec(Record):
    """Everything that the training of one fold depends on; ``spec.json`` of the fold.

    ``root`` is the project's folder, ``key`` the hash of `lineage`, which names the run's folder, ``fold`` the number
    of the unit, ``n`` the folds of one repeat, ``folds`` the name of the table under ``folds/``, ``size`` the side of
    the images in pixels; ``data``, ``table`` and ``weights`` are digests of `Index.training`, of the folds of all ids,
    and of the pretrained weights.
    """

    COMMAND: ClassVar[str] = "kit train"

    root: str
    run: str
    key: str
    fold: int
    n: int
    folds: str
    settings: RunConfig
    classes: int
    size: int
    data: str
    table: str
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
    def again(self) -> str:
        """The command that trains this fold once more."""
        return f"kit train {self.run} --fold {self.fold} --force"

    @cached_property
    def network(self) -> Description:
        """The description that `kit.runtime.backbones.build` takes."""
        settings = self.settings
        described: Description = {
            "backbone": settings.backbone,
            "size": self.size,
            "classes": self.classes,
            "head": cast("Head", settings.head.model_dump(mode="json")),
        }
        if settings.options:
            described["options"] = cast("dict[str, float | list[int]]", settings.options)
        if settings.preprocess:
            described["preprocess"] = [step.model_dump(mode="json") for step in settings.preprocess]
        return described

    @property
    def class_numbers(self) -> tuple[str, ...]:
        """What the classes are called in the files of a fold: other names of the classes train nothing anew."""
        return tuple(map(str, range(self.classes)))


def weights_hash(settings: RunConfig, layout: Layout) -> str:
    """`none`, `imagenet`, or the hash of the weights file; raises `ConfigError` where there is no such file."""
    if settings.weights in ("none", "imagenet"):
        return settings.weights
    path = layout.named(settings.weights)
    if not path.is_file():
        raise ConfigError(f"no weights file {path}", 'weights = "imagenet" downloads them')
    return digest(path)


def lineage(settings: RunConfig, weights: str, index: Index, table: str) -> Digests:
    """What the folds of a run are made from; of pretrained weights the content counts and not where they lie."""
    unused = {"weights"} if settings.is_steered else {"weights", "inner_fraction"}
    return {
        "train": str(VERSION),
        "settings": sha256_json(settings.model_dump(mode="json", exclude=unused)),
        "weights": weights,
        "data": index.training,
        "folds": table,
        "backbone": sha256_json(repr(BACKBONES.get(settings.backbone))),
    }


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
        key = sha256_json(lineage(settings, weights, index, folds.digest))
        specs[name] = [
            FoldSpec(
                root=str(layout.root),
                run=name,
                key=key,
                fold=fold,
                n=folds.n,
                folds=config.folds.name,
                settings=settings,
                classes=len(index.classes),
                size=index.shape[0],
                data=index.training,
                table=folds.digest,
                weights=weights,
            )
            for fold in range(folds.units)
        ]
    return specs


def sheet_key(settings: RunConfig, index: Index) -> str:
    """What the picture of a run's augmentation is made from."""
    read = settings.model_dump(mode="json", include={"augment", "seed", "label_smoothing"})
    return sha256_json([read, index.training, index.classes])


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
    # Looked at only where it is ours: the signature of another one would load TensorFlow.
    known = list(inspect.signature(resolve(entry.builder)).parameters)[1:] if entry.builder[0] == "." else []
    missing = [key for key in settings.options if key not in known]
    if missing:
        hint = f"known: {', '.join(known)}" if known else f"remove `options` from runs.{name}"
        raise ConfigError(f"runs.{name}: {settings.backbone} has no option `{missing[0]}`", hint)
    unknown = [view for view in settings.views if view not in VIEWS]
    if unknown:
        raise ConfigError(f"runs.{name}: unknown view {unknown[0]!r}", f"known: {', '.join(VIEWS)}")
    augment.check(settings.augment)
    augment.check(settings.validate_augment)


def _check_preprocess(name: str, settings: RunConfig) -> None:
    """Raise `ConfigError` where ``preprocess`` names a step or a key that there is not."""
    for step in settings.preprocess:
        if step.op not in PREPROCESSORS:
            raise ConfigError(f"runs.{name}: unknown preprocessor {step.op!r}", f"known: {', '.join(PREPROCESSORS)}")
        known = list(inspect.signature(PREPROCESSORS[step.op]).parameters)[1:]
        for key, value in step.options.items():
            if key not in known:
                raise ConfigError(
                    f"runs.{name}: preprocessor {step.op!r} has no key `{key}`", f"known: {', '.join(known)}"
                )
            if not isinstance(value, int | float) or value <= 0:
                raise ConfigError(f"runs.{name}: preprocessor {step.op!r}: `{key}` = {value!r} is no positive number")
