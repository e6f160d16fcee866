"""Runs and their folds as descriptions: what a unit of training is given, and where its files are."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar, Literal, cast

from kit.base.tasks import ONE_CLASS, TASKS
from kit.config import Config, RunConfig
from kit.errors import ConfigError, StageError
from kit.runs.checks import check_run, check_teach
from kit.runs.sweep import with_variants
from kit.runtime.backbones import BACKBONES, Description
from kit.runtime.views import RESIZED
from kit.store.data import Index, digest_of_parts, load_index
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
    and of the pretrained weights, ``pseudo`` that of images without labels that are trained on; ``teachers`` are the
    same fold of other runs; ``predict`` is the engine of ``[predict]``.
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
    pseudo: str = ""
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
    folds = load_folds(layout, config, index)

    @cache
    def planned(name: str) -> list[FoldSpec]:
        settings, teachers = config.run(name), [planned(teacher) for teacher in config.teachers(name)]
        check_run(name, settings, index)
        check_teach(name, settings, index, layout)
        weights = weights_hash(settings, layout)
        images = digest_of_parts(layout, settings.pseudo_parts)
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
                pseudo=images,
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
