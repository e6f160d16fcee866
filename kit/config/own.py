"""Metrics that a competition defines itself: a function in a file, costs, or weights of classes.

Each gets a name that ends with a digest of what defines it, under which `METRICS` has it from then on. So whatever
names its metric, as lineage and records do, says which function it was.
"""

import csv
import hashlib
import math
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.config.competition import BOTH, CLASSES, METRICS, Measure, Needs
from kit.errors import ConfigError, DataError

OWN = re.compile(r"(.+\.py):([A-Za-z_]\w*)")
NEEDS = ("labels", "probabilities")
TUNED = {"expected_cost": "costs", "weighted_nll": "weights"}  # what these need, a key of [competition]


def resolve(raw: dict[str, Any], root: Path) -> None:
    """Replace in ``raw``, the content of ``kit.toml`` in ``root``, metrics of its own by their names in `METRICS`.

    Raises `ConfigError` where a file or its function cannot be had, or costs or weights are missing.
    """
    sections = [raw[name] for name in ("competition", "ensemble") if isinstance(raw.get(name), dict)]
    for section in sections:
        metric = str(section.get("metric", ""))
        if found := OWN.fullmatch(metric):
            section["metric"] = _of_file(root, *found.groups())
        elif metric in TUNED:
            section["metric"] = _tuned(metric, sections[0].get(TUNED[metric]), root)


def _register(name: str, defined: bytes, measure: Measure) -> str:
    name = f"{name}-{hashlib.sha256(defined).hexdigest()[:8]}"
    METRICS.setdefault(name, measure)
    return name


def _of_file(root: Path, file: str, function: str) -> str:
    name, path = f"{file}:{function}", root / file
    module = types.ModuleType(path.stem)
    try:
        content = path.read_bytes()
        exec(compile(content, str(path), "exec"), vars(module))
    except OSError as error:
        raise ConfigError(f"metric {name!r}: cannot read {path}: {error.strerror}") from error
    except Exception as error:
        raise ConfigError(f"metric {name!r}: {path} fails with {type(error).__name__}: {error}") from error
    score = vars(module).get(function)
    if not callable(score):
        raise ConfigError(f"metric {name!r}: {path} has no function {function!r}")
    needs: Needs = getattr(score, "needs", "labels")
    greater = getattr(score, "greater_is_better", True)
    if needs not in NEEDS or not isinstance(greater, bool):
        said = f"{function}.needs = {needs!r}, {function}.greater_is_better = {greater!r}"
        raise ConfigError(f"metric {name!r}: {said}; expected {' or '.join(NEEDS)}, and True or False")
    tasks = (*BOTH, "numbers" if needs == "labels" else "shares")
    measure = Measure("own", needs, tasks, greater, scored=False, source=name, own=_guarded(name, score))
    return _register(name, content, measure)


def _guarded(name: str, score: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    """The function of a user, whose failure is a `DataError` with its words."""

    def guarded(truth: Any, said: Any) -> float:
        try:
            value = float(score(truth.copy(), said.copy()))
        except Exception as error:
            raise DataError(f"metric {name!r} fails with {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise DataError(f"metric {name!r} of {len(truth)} rows is {value}, which is no score")
        return value

    return guarded


def _tuned(metric: str, given: Any, root: Path) -> str:
    key = TUNED[metric]
    if isinstance(given, str):
        try:
            cells = list(csv.reader((root / given).read_text(encoding="utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"`competition.{key}`: cannot read {root / given}: {error}") from error
        given = cells if key == "costs" else [cell for line in cells for cell in line]
    try:
        table = [list(map(float, line)) for line in (given if key == "costs" else [given])]
    except (TypeError, ValueError):
        table = []
    square = key == "weights" or all(len(line) == len(table) for line in table)
    numbers = [number for line in table for number in line]
    if not square or len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        expected = "C x C numbers, by true class and answer" if key == "costs" else "a number for each class"
        raise ConfigError(f"metric {metric!r} needs `competition.{key}`: {expected}")
    if key == "weights" and (min(numbers) < 0 or not sum(numbers)):
        raise ConfigError(f"`competition.weights` = {numbers}: at least 0, and not all 0")
    lines = tuple(map(tuple, table))
    needs: Needs = "probabilities" if key == "weights" else "labels"
    tasks = BOTH if key == "weights" else CLASSES
    measure = Measure("own", needs, tasks, greater_is_better=False, scored=False, source=metric, table=lines)
    return _register(metric, repr(lines).encode(), measure)
