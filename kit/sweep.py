"""``kit sweep``: one run with one ingredient changed at a time, as runs beside those of ``kit.toml``.

A changed run is called ``<run>~<change>``. It stands in no file: its name says what it is, and its folder under
``runs/`` has the hash of its whole configuration, as every run's has.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from kit.config import Config, RunConfig
from kit.errors import ConfigError

MARK = "~"
ONE_VIEW = f"{MARK}one-view"
SEED = "seed-"

Raw = dict[str, Any]

# Key of a run, what it is without the ingredient, what that is called.
OFF: tuple[tuple[str, Any, str], ...] = (
    ("class_weights", "none", "no-class-weights"),
    ("sampling", "none", "no-sampling"),
    ("loss", "crossentropy", "no-focal-loss"),
    ("label_smoothing", 0.0, "no-label-smoothing"),
)
HEAD_OFF: tuple[tuple[dict[str, Any], str], ...] = (
    ({"units": []}, "no-dense-layers"),
    ({"batch_norm": []}, "no-head-batch-norm"),
    ({"dropout": 0.0}, "no-dropout"),
    ({"l1": 0.0, "l2": 0.0}, "no-penalty"),
)
STAGE_OFF: tuple[tuple[dict[str, Any], str], ...] = (
    ({"ema": 0.0}, "no-ema"),
    ({"clip_norm": 0.0}, "no-clipping"),
    ({"weight_decay": 0.0}, "no-weight-decay"),
    ({"early_stopping": None}, "no-early-stopping"),
    ({"schedule": {"kind": "constant"}}, "constant-rate"),
)


def base_of(name: str) -> str:
    """The run that a changed one comes from."""
    return name.split(MARK)[0]


def trained_by(name: str) -> str:
    """The run whose files hold what ``name`` says: one view of a run needs no training."""
    return base_of(name) if name.endswith(ONE_VIEW) else name


def variants(settings: RunConfig) -> dict[str, RunConfig]:
    """Every change of one ingredient: its name, and the run with it.

    Every augmentation and preprocessor left out, also those inside of others; what is switched on switched off;
    BatchNorm of a pretrained backbone the other way round; every stage left out; and ``one-view``, the run without
    test-time augmentation, which needs no training.
    """
    raw = settings.model_dump(mode="json")
    found: dict[str, RunConfig] = {}
    for name, changed in _changes(raw):
        run = RunConfig.model_validate(changed)
        if run != settings and run not in found.values():
            found[_free(name, found)] = run
    return found


def with_variants(config: Config, names: Sequence[str]) -> Config:
    """The configuration with those of ``names`` that are changed runs; raises `ConfigError` where a name means none."""
    runs = dict(config.runs)
    for name in names:
        if MARK not in name:
            continue
        base, change = name.split(MARK, 1)
        if base not in config.runs:
            raise ConfigError(f"no run {base!r}", f"known: {', '.join(config.runs)}")
        runs[name] = _changed(base, config.runs[base], change)
    return config.model_copy(update={"runs": runs})


def plan_sweep(config: Config, run: str, changes: Sequence[str], seeds: int) -> list[str]:
    """Names of the runs of a sweep: the run, itself under other seeds, and its variants or those of ``changes``.

    Raises
    ------
    ConfigError
        Where the run or a change does not exist.
    """
    if run not in config.runs:
        raise ConfigError(f"no run {run!r}", f"known: {', '.join(config.runs)}")
    known = variants(config.runs[run])
    for change in changes:
        _changed(run, config.runs[run], change)
    replicas = [f"{run}{MARK}{SEED}{number}" for number in range(1, seeds)]
    return [run, *replicas, *(f"{run}{MARK}{change}" for change in dict.fromkeys(changes or known))]


def _changed(base: str, settings: RunConfig, change: str) -> RunConfig:
    if change.startswith(SEED) and change.removeprefix(SEED).isdigit():
        return settings.model_copy(update={"seed": settings.seed + int(change.removeprefix(SEED))})
    known = variants(settings)
    if change not in known:
        raise ConfigError(f"run {base!r} has no change {change!r}", f"known: {', '.join(known)}")
    return known[change]


def _free(name: str, taken: dict[str, RunConfig]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def _changes(raw: Raw) -> Iterator[tuple[str, Raw]]:
    for name, entries in _without_one(raw["augment"]):
        yield name, {**raw, "augment": entries}
    for name, entries in _without_one([step for step in raw["preprocess"] if step["op"] != "resize"]):
        kept = [step for step in raw["preprocess"] if step["op"] == "resize" or step in entries]
        yield name, {**raw, "preprocess": kept}
    for key, value, name in OFF:
        yield name, {**raw, key: value}
    for keys, name in HEAD_OFF:
        if raw["head"]["units"] or name != "no-penalty":  # there is none on the logits
            yield name, {**raw, "head": _head(raw["head"], keys)}
    yield from _stage_changes(raw)
    if len(raw["views"]) > 1:
        yield ONE_VIEW.removeprefix(MARK), {**raw, "views": raw["views"][:1]}


def _head(head: Raw, keys: Raw) -> Raw:
    rates = head["dropout"]
    # One rate a gap: without dense layers one gap is left.
    fewer = {"dropout": rates[0]} if "units" in keys and isinstance(rates, list) else {}
    return {**head, **fewer, **keys}


def _stage_changes(raw: Raw) -> Iterator[tuple[str, Raw]]:
    stages = raw["stages"]
    for keys, name in STAGE_OFF:
        # Adam has no weight decay to take away.
        met = [name != "no-weight-decay" or stage["optimizer"] != "adam" for stage in stages]
        turned = [{**stage, **keys} if use else stage for stage, use in zip(stages, met, strict=True)]
        yield name, {**raw, "stages": turned}
    if raw["weights"] != "none":
        tuned = [stage for stage in stages if stage["train"] != "head"]
        other = "frozen" if any(stage["batch_norm"] == "trained" for stage in tuned) else "trained"
        turned = [{**s, "batch_norm": other} if s["train"] != "head" else s for s in stages]
        yield f"batch-norm-{other}", {**raw, "stages": turned}
    for number in range(len(stages) if len(stages) > 1 else 0):
        left = stages[:number] + stages[number + 1 :]
        if raw["weights"] != "none" or left[0]["train"] == "all":
            yield f"no-stage-{number + 1}", {**raw, "stages": left}


def _without_one(entries: list[Raw]) -> Iterator[tuple[str, list[Raw]]]:
    """Each entry left out, then each of those inside of it; a choice that is left with nothing goes too."""
    for place, entry in enumerate(entries):
        rest = entries[:place] + entries[place + 1 :]
        inner = entry.get("ops")
        if not isinstance(inner, list):
            yield f"no-{entry['op']}", rest
            continue
        if len(inner) > 1:
            yield f"no-{entry['op']}", rest
        for name, ops in _without_one(inner):
            yield name, [*entries[:place], _chosen(entry, ops), *entries[place + 1 :]] if ops else rest


def _chosen(entry: Raw, ops: list[Raw]) -> Raw:
    """A choice among fewer ``ops``, whose weights are those of what is left."""
    changed = {**copy.deepcopy(entry), "ops": ops}
    if entry.get("weights") and len(ops) < len(entry["ops"]):
        gone = next((n for n, op in enumerate(entry["ops"]) if n >= len(ops) or op != ops[n]), len(ops))
        changed["weights"] = [w for n, w in enumerate(entry["weights"]) if n != gone]
    return changed
