"""What makes a run impossible to train, told before anything is spent."""

from collections.abc import Mapping, Sequence

from kit.config import RunConfig
from kit.errors import ConfigError
from kit.images import augment
from kit.runtime.backbones import BACKBONES, keywords
from kit.runtime.preprocess import PREPROCESSORS, side_after
from kit.runtime.views import VIEWS
from kit.store.data import Index, unlabelled_record
from kit.store.layout import Layout


def check_teach(name: str, settings: RunConfig, index: Index, layout: Layout) -> None:
    """Raise `ConfigError` where images to learn from are not there, or bounds are not those of the classes."""
    bounds = settings.teach.min_confidence if settings.teach else 0.0
    if isinstance(bounds, tuple) and len(bounds) != len(index.classes):
        raise ConfigError(f"runs.{name}: min_confidence has not one bound for each class", "min_confidence = 0.5")
    for part in [part for part in settings.pseudo_parts if unlabelled_record(layout, part) is None]:
        said = f"runs.{name}: `pseudo` needs {part} images"
        raise ConfigError(said, f'[data] {part} = "raw/{part}.npz"')


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
