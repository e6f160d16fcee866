"""``kit sweep``: one run with one ingredient changed at a time, as runs beside those of ``kit.toml``.

A changed run is called ``<run>~<change>``. It stands in no file: its name says what it is, and its folder under
``runs/`` has the hash of its whole configuration, as every run's has. ``<run>~round-<n>`` is a round of self-training:
taught by the round before, on the test images too (Xie et al. 2020).
"""

from collections.abc import Iterator, Sequence
from itertools import chain, count

from kit.base.text import nearest
from kit.config import AugmentConfig, Config, RunConfig, ScheduleConfig, StageConfig
from kit.config.runs import TeachConfig
from kit.errors import ConfigError

MARK = "~"
ONE_VIEW = f"{MARK}one-view"
SEED, ROUND = "seed-", "round-"

# Keys, their value without the ingredient, what that is called.
Off = tuple[tuple[str, ...], object, str]
OFF: tuple[Off, ...] = (
    (("class_weights",), "none", "no-class-weights"),
    (("sampling",), "none", "no-sampling"),
    (("loss",), "crossentropy", "no-focal-loss"),
    (("label_smoothing",), 0.0, "no-label-smoothing"),
    (("teach",), None, "no-teachers"),
)
HEAD_OFF: tuple[Off, ...] = (
    (("units",), (), "no-dense-layers"),
    (("batch_norm",), (), "no-head-batch-norm"),
    (("dropout",), 0.0, "no-dropout"),
    (("l1", "l2"), 0.0, "no-penalty"),
)
STAGE_OFF: tuple[Off, ...] = (
    (("ema",), 0.0, "no-ema"),
    (("clip_norm",), 0.0, "no-clipping"),
    (("weight_decay",), 0.0, "no-weight-decay"),
    (("early_stopping",), None, "no-early-stopping"),
    (("schedule",), ScheduleConfig(kind="constant"), "constant-rate"),
)


def trained_by(name: str) -> str:
    """The run whose files hold what ``name`` says: one view of a run needs no training."""
    return name.split(MARK)[0] if name.endswith(ONE_VIEW) else name


def round_of(run: str, number: int) -> str:
    """The name of a round; the run itself is the round 0."""
    return f"{run}{MARK}{ROUND}{number}" if number else run


def variants(settings: RunConfig) -> dict[str, RunConfig]:
    """Every change of one ingredient: its name, and the run with it.

    Every augmentation and preprocessor left out, also those inside of others; what is switched on switched off;
    BatchNorm of a pretrained backbone the other way round; every stage left out; and ``one-view``, the run without
    test-time augmentation, which needs no training.
    """
    found: dict[str, RunConfig] = {}
    for name, run in _changes(settings):
        if run != settings and run not in found.values():
            names = chain([name], (f"{name}-{number}" for number in count(2)))
            found[next(free for free in names if free not in found)] = run
    return found


def with_variants(config: Config, names: Sequence[str]) -> Config:
    """The configuration with those of ``names`` that are changed runs; raises `ConfigError` where a name means none."""
    runs, every = dict(config.runs), [name for name in names if MARK in name]
    for name in every:
        base, change = name.split(MARK, 1)
        runs[name] = _changed(config, base, change)
        teach = runs[name].teach
        every += [teacher for teacher in (teach.by if teach else ()) if MARK in teacher]
    return config.model_copy(update={"runs": runs})


def plan_sweep(config: Config, run: str, changes: Sequence[str], seeds: int) -> list[str]:
    """Names of the runs of a sweep: the run, itself under other seeds, and its variants or those of ``changes``.

    Raises `ConfigError` where the run or a change does not exist.
    """
    settings = config.run(run)
    for change in changes:
        _changed(config, run, change)
    replicas = [f"{run}{MARK}{SEED}{number}" for number in range(1, seeds)]
    return [run, *replicas, *(f"{run}{MARK}{change}" for change in dict.fromkeys(changes or variants(settings)))]


def _changed(config: Config, base: str, change: str) -> RunConfig:
    settings, data = config.run(base), config.data
    if change.startswith(SEED) and change.removeprefix(SEED).isdigit():
        return settings.model_copy(update={"seed": settings.seed + int(change.removeprefix(SEED))})
    if change.startswith(ROUND) and change.removeprefix(ROUND).strip("0").isdigit():
        before = round_of(base, int(change.removeprefix(ROUND)) - 1)
        teach = settings.teach or TeachConfig(by=(before,))
        given = "test" if not data.unlabelled else "both" if data.test else "unlabelled"
        pseudo = teach.pseudo if settings.pseudo_parts else given
        return settings.model_copy(update={"teach": teach.model_copy(update={"by": (before,), "pseudo": pseudo})})
    known = variants(settings)
    if change not in known:
        raise ConfigError(f"unknown change {change!r} of run {base!r}", nearest(change, known))
    return known[change]


def _changes(run: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    for name, entries in _without_one(run.augment):
        yield name, run.model_copy(update={"augment": entries})
    for name, entries in _without_one(tuple(step for step in run.preprocess if step.op != "resize")):
        kept = tuple(step for step in run.preprocess if step.op == "resize" or step in entries)
        yield name, run.model_copy(update={"preprocess": kept})
    for keys, value, name in OFF:
        yield name, run.model_copy(update=dict.fromkeys(keys, value))
    for keys, value, name in HEAD_OFF:
        if run.head.units or name != "no-penalty":  # there is none on the logits
            head = run.head.model_copy(update=dict.fromkeys(keys, value))
            if isinstance(head.dropout, tuple) and not head.units:  # one rate a gap, and one gap is left
                head = head.model_copy(update={"dropout": head.dropout[0]})
            yield name, run.model_copy(update={"head": head})
    if len(set(run.sizes(0))) > 1:
        plain = tuple(stage.model_copy(update={"size": 0}) for stage in run.stages)
        yield "one-size", run.model_copy(update={"size": run.sizes(0)[-1], "stages": plain})
    for name, stages in _stage_changes(run):
        yield name, run.model_copy(update={"stages": stages})
    if len(run.views) > 1:
        yield ONE_VIEW.removeprefix(MARK), run.model_copy(update={"views": run.views[:1]})


def _stage_changes(run: RunConfig) -> Iterator[tuple[str, tuple[StageConfig, ...]]]:
    stages = run.stages
    for keys, value, name in STAGE_OFF:
        changed = [stage.model_copy(update=dict.fromkeys(keys, value)) for stage in stages]
        if name == "no-weight-decay":  # Adam has none to take away
            changed = [old if old.optimizer == "adam" else new for old, new in zip(stages, changed, strict=True)]
        yield name, tuple(changed)
    if run.weights != "none":
        tuned = [stage for stage in stages if stage.train != "head"]
        other = "frozen" if any(stage.batch_norm == "trained" for stage in tuned) else "trained"
        turned = [s.model_copy(update={"batch_norm": other}) if s.train != "head" else s for s in stages]
        yield f"batch-norm-{other}", tuple(turned)
    for number in range(len(stages) if len(stages) > 1 else 0):
        left = stages[:number] + stages[number + 1 :]
        if run.weights != "none" or left[0].train == "all":
            yield f"no-stage-{number + 1}", left


Entries = tuple[AugmentConfig, ...]


def _without_one(entries: Entries) -> Iterator[tuple[str, Entries]]:
    """Each entry left out, then each of those inside of it; a choice that is left with nothing goes too."""
    for place, entry in enumerate(entries):
        before, after = entries[:place], entries[place + 1 :]
        inner = entry.options.get("ops")
        ops = tuple(map(AugmentConfig.model_validate, inner)) if isinstance(inner, list | tuple) else ()
        if len(ops) != 1:
            yield f"no-{entry.op}", before + after
        for name, left in _without_one(ops):
            yield name, (*before, _chosen(entry, ops, left), *after) if left else before + after


def _chosen(entry: AugmentConfig, ops: Entries, left: Entries) -> AugmentConfig:
    """A choice among those ``ops`` that are ``left``, whose weights are those of what is left."""
    changed = entry.model_copy(update={"ops": [op.model_dump(mode="json") for op in left]})
    weights = entry.options.get("weights")
    if not isinstance(weights, list) or len(left) == len(ops):
        return changed
    gone = next((n for n, op in enumerate(ops) if n >= len(left) or op != left[n]), len(ops))
    return changed.model_copy(update={"weights": [weight for n, weight in enumerate(weights) if n != gone]})
