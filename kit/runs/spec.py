"""Runs and their folds as descriptions: what a unit of training is given, and where its files are."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar, Literal, cast

from kit.base.tasks import ONE_CLASS, TASKS
from kit.config import Config, RunConfig
from kit.errors import ConfigError, StageError
from kit.images import augment
from kit.runs.sweep import with_variants
from kit.runtime.backbones import BACKBONES, Description, keywords
from kit.runtime.preprocess import PREPROCESSORS, side_after
from kit.runtime.views import RESIZED, VIEWS
from kit.store.data import Index, load_index, load_test_record
from kit.store.files import sha256_json
from kit.store.layout import FoldPaths, Layout, RunPaths
from kit.store.partition import load_folds
from kit.store.record import Digests, Record, digest

# Raised whenever the same configuration would train to other weights: older runs keep their folders.
VERSION = 5


class EngineChoice(Record):
    """``engine.json`` of a run: what `auto` predicts with, and seconds of processor time of a batch by engine."""

    engine: str
    seconds: dict[str, float]


class FoldSpec(Record):
    """Everything that the training of one fold depends on; ``spec.json`` of the fold.

    ``root`` is the project's folder, ``key`` the hash of `lineage`, which names the run's folder, ``fold`` the number
    of the unit, ``n`` the folds of one repeat, ``folds`` the name of the table under ``folds/``, ``size`` the side of
    the images in pixels; ``data``, ``table`` and ``weights`` are digests of `Index.training`, of the folds of all ids,
    and of the pretrained weights, ``test`` that of test images that are trained on; ``teachers`` are the same fold of
    other runs; ``predict`` is the engine of ``[predict]``.
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
    task: str = ONE_CLASS.name
    size: int
    data: str
    table: str
    weights: str
    test: str = ""
    teachers: tuple["FoldSpec", ...] = ()
    predict: Literal["auto", "tensorflow", "openvino", "litert"] = "tensorflow"

    @property
    def taught_by(self) -> tuple["FoldSpec", ...]:
        """The teachers, in the folder where this fold is: on a cluster that is another one on each machine."""
        changed = {"root": self.root, "predict": "tensorflow"}  # no weights depend on the engine of predictions
        return tuple(teacher.model_copy(update=changed) for teacher in self.teachers)

    @property
    def generation(self) -> int:
        """How many others have to be trained before it, one after the other."""
        return max((1 + teacher.generation for teacher in self.teachers), default=0)

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
    def engine(self) -> str:
        """What runs the network once it is trained: with `auto` what was measured for the run, if anything was."""
        with suppress(StageError):
            return EngineChoice.load(self.run_paths.engine).engine if self.predict == "auto" else self.predict
        return "tensorflow"

    @property
    def resizes(self) -> bool:
        """Whether TensorFlow resizes images for the network or for a view, whatever engine runs the network."""
        steps = [step["op"] for step in self.network.get("preprocess", ())]
        return "resize" in steps or not RESIZED.keys().isdisjoint(self.settings.views)

    @property
    def several(self) -> bool:
        """Whether the network has a sigmoid for each of several labels."""
        return TASKS[self.task].several

    @property
    def again(self) -> str:
        """The command that trains this fold once more."""
        return train_again(self.run, self.fold)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(S + 1,) input sizes of the network in the stages, and in predictions."""
        return self.settings.sizes(self.size)

    @cached_property
    def network(self) -> Description:
        """The description that `kit.runtime.backbones.build` takes."""
        return self.network_at(self.sizes[-1])

    def network_at(self, size: int) -> Description:
        """The same network with another input size: the last of the steps before it resizes the stored images."""
        told = self.settings.model_dump(mode="json", include={"backbone", "head", "options", "preprocess"})
        optional = {name: told.pop(name) for name in ("options", "preprocess")}
        optional["preprocess"] += [{"op": "resize", "size": size}] if size != self.size else []
        described = {**told, "size": self.size, "classes": self.classes}
        return cast("Description", described | {name: value for name, value in optional.items() if value})

    @property
    def class_numbers(self) -> tuple[str, ...]:
        """What the classes are called in the files of a fold: other names of the classes train nothing anew."""
        return tuple(map(str, range(self.classes)))


def train_again(run: str, fold: int) -> str:
    """The command that trains one fold once more, whatever is there of it."""
    return f"kit train {run} --fold {fold} --force"


def weights_hash(settings: RunConfig, layout: Layout) -> str:
    """`none`, `imagenet`, or the hash of the weights file; raises `ConfigError` where there is no such file."""
    if settings.weights in ("none", "imagenet"):
        return settings.weights
    path = layout.named(settings.weights)
    if not path.is_file():
        raise ConfigError(f"weights file {path} does not exist", 'weights = "imagenet" downloads them')
    return digest(path)


def lineage(settings: RunConfig, weights: str, index: Index, table: str) -> Digests:
    """What the folds of a run are made from; of pretrained weights the content counts and not where they lie."""
    unused = {"weights"} if settings.is_steered else {"weights", "inner_fraction"}
    unused |= {"teach"} if settings.teach is None else set()
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

    Raises `ConfigError` where a run, a backbone, a view or an augmentation does not exist, or the images are too small.
    Raises `StageError` where the data or the folds are missing.
    """
    index, config = load_index(layout), with_variants(config, names)
    folds, test = load_folds(layout, config, index), load_test_record(layout)

    @cache
    def planned(name: str) -> list[FoldSpec]:
        settings, teachers = config.run(name), [planned(teacher) for teacher in config.teachers(name)]
        check_run(name, settings, index)
        weights, teach = weights_hash(settings, layout), settings.teach
        if teach and isinstance(teach.min_confidence, tuple) and len(teach.min_confidence) != len(index.classes):
            raise ConfigError(f"runs.{name}: min_confidence has not one bound for each class", "min_confidence = 0.5")
        if (pseudo := teach is not None and teach.pseudo == "test") and test is None:
            raise ConfigError(f"runs.{name}: pseudo = 'test' needs test images", '[data] test = "raw/test.npz"')
        images = test.images if pseudo and test else ""
        made_from = lineage(settings, weights, index, folds.digest)
        if teachers:
            made_from["teachers"] = sha256_json([[teacher[0].key for teacher in teachers], images])
        return [
            FoldSpec(
                root=str(layout.root),
                run=name,
                key=sha256_json(made_from),
                fold=fold,
                n=folds.n,
                folds=config.folds.name,
                settings=settings,
                classes=len(index.classes),
                task=index.task.name,
                size=index.shape[0],
                data=index.training,
                table=folds.digest,
                weights=weights,
                test=images,
                teachers=tuple(teacher[fold] for teacher in teachers),
                predict=config.predict.engine,
            )
            for fold in range(folds.units)
        ]

    return {name: planned(name) for name in names or tuple(config.runs)}


def with_teachers(config: Config, names: Sequence[str]) -> list[str]:
    """The named runs and all that teach them, each after its teachers."""
    found, config = list[str](), with_variants(config, names)
    for name in names:
        found += [*with_teachers(config, config.teachers(name)), name]
    return list(dict.fromkeys(found))


def sheet_key(settings: RunConfig, index: Index) -> str:
    """What the picture of a run's augmentation is made from."""
    read = settings.model_dump(mode="json", include={"augment", "seed", "label_smoothing"})
    return sha256_json([read, index.training, index.classes])


def check_run(name: str, settings: RunConfig, index: Index) -> None:
    """Raise `ConfigError` where a run cannot be trained on these images, before anything is spent."""
    steps = settings.preprocess
    named: list[tuple[str, Sequence[str], Mapping[str, object]]] = [
        ("backbone", (settings.backbone,), BACKBONES),
        ("preprocessor", [step.op for step in steps], PREPROCESSORS),
        ("view", settings.views, VIEWS),
    ]
    for what, names, table in named:
        for unknown in [one for one in names if one not in table]:
            raise ConfigError(f"runs.{name}: unknown {what} {unknown!r}", f"known: {', '.join(table)}")
    if index.shape[0] != index.shape[1]:
        raise ConfigError(f"images are {index.shape[0]} x {index.shape[1]}, not square", "[data] image_size = 96")
    for step in steps:
        known, what = keywords(PREPROCESSORS[step.op]), f"runs.{name}: preprocessor {step.op!r}"
        for key, value in step.options.items():
            if key not in known:
                raise ConfigError(f"{what} has no key `{key}`", f"known: {', '.join(known)}")
            if not isinstance(value, int | float) or value <= 0:
                raise ConfigError(f"{what}: `{key}` = {value!r} is not a positive number")
    if index.task.several and settings.sampling != "none":
        said = f"runs.{name}: sampling = {settings.sampling!r} needs one class an image, but the task is multilabel"
        raise ConfigError(said, 'class_weights = "balanced"')
    if {"cumulative": index.task.several, "huber": index.task.kind != "numbers"}.get(settings.loss):
        raise ConfigError(f"runs.{name}: the loss `{settings.loss}` is not one of this task", 'loss = "crossentropy"')
    check_sizes(name, settings, index.shape[0])
    entry = BACKBONES[settings.backbone]
    if settings.weights == "imagenet" and not entry.pretrained:
        raise ConfigError(f"runs.{name}: no ImageNet weights exist for {settings.backbone}", 'weights = "none"')
    first = settings.stages[0].train
    if settings.weights == "none" and first != "all":
        what = f"runs.{name}: the first stage trains `{first}` on a backbone without pretrained weights"
        raise ConfigError(what, 'stages = [{ train = "all", epochs = 12 }]')
    for key in [key for key in settings.options if key not in entry.keywords]:
        hint = f"known: {', '.join(entry.keywords)}" if entry.keywords else f"remove `options` from runs.{name}"
        raise ConfigError(f"runs.{name}: {settings.backbone} has no option `{key}`", hint)
    augment.check(settings.augment)
    augment.check(settings.validate_augment)


def check_sizes(name: str, settings: RunConfig, stored: int) -> None:
    """Raise `ConfigError` where a network cannot take the sizes that a run names, or change between them."""
    entry, sizes, steps = BACKBONES[settings.backbone], settings.sizes(stored), settings.preprocess
    side, staged = min(sizes), [stage.size for stage in settings.stages if stage.size]
    where = f"[runs.{name}] size" if settings.size else "[data] image_size"
    if any(step.op == "resize" for step in steps):
        if settings.size or staged:
            raise ConfigError(
                f"runs.{name} has a `size`, and `resize` in `preprocess`", f"remove `resize` from runs.{name}"
            )
        side = side_after([step.model_dump() for step in steps], stored)
        where = f"[runs.{name}] preprocess: resize size"
    elif side in staged:
        where = f"[runs.{name}] stages: size"
    if side < entry.smallest:
        said = f"runs.{name}: {settings.backbone} needs images of at least {entry.smallest} px, but these have {side}"
        raise ConfigError(said, f"{where} = {entry.smallest}")
    if len(set(sizes)) > 1 and (not entry.width or settings.head.pooling == "flatten"):
        what = f"{settings.backbone} with a flattened map" if entry.width else settings.backbone
        every = " and ".join(map(str, sorted(set(sizes))))
        said = f"runs.{name}: {what} has other weights at another size, but is to see {every} px"
        raise ConfigError(said, f"[runs.{name}] size = {sizes[-1]}, and no `size` in its stages")
