"""Metrics that a competition defines itself: a function in a file, costs, or weights of classes.

Each gets a name that ends with a digest of what defines it, under which `METRICS` has it from then on. So whatever
names its metric, as lineage and records do, says which function it was.
"""

import ast
import csv
import hashlib
import math
import re
import shlex
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from kit.base.text import nearest, text_of
from kit.config.competition import BOTH, CLASSES, METRICS, Measure, Needs
from kit.errors import ConfigError, DataError, KitError

OWN = re.compile(r"(.+\.py):([A-Za-z_]\w*)")
NEEDS = ("labels", "probabilities")
TUNED = {"expected_cost": "costs", "weighted_nll": "weights"}  # what these need, a key of [competition]
LONGEST = 100  # of what a function returned, in an error


def resolve(raw: dict[str, Any], root: Path) -> None:
    """Replace own metrics in ``raw``, a ``kit.toml`` in ``root``, by their names; `ConfigError` if one is not there."""
    sections = [raw[name] for name in ("competition", "ensemble") if isinstance(raw.get(name), dict)]
    for section in sections:
        metric = str(section.get("metric", ""))
        if found := OWN.fullmatch(metric):
            section["metric"] = _of_file(metric, root / found[1], found[2])
        elif metric in TUNED:
            section["metric"] = _tuned(metric, sections[0].get(TUNED[metric]), root)


def _register(name: str, defined: bytes, measure: Measure) -> str:
    name = f"{name}-{hashlib.sha256(defined).hexdigest()[:8]}"
    METRICS.setdefault(name, measure)
    return name


def _content(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = f"ls -l {shlex.quote(str(path.parent))}   # the files that are there"
        raise ConfigError(f"{key}: cannot read {path}: {error.strerror}", hint) from error


@contextmanager
def _told(kind: type[KitError], name: str, path: Path) -> Iterator[None]:
    """Let a failure in the user's file be an error of this kind, whose hint shows the line."""
    try:
        with redirect_stdout(sys.stderr):  # what a command prints may be read by another program
            yield
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        hint = f"sed -n {line}p {shlex.quote(str(path))}   # where it failed" if line else ""
        raise kind(f"metric {name!r}: {path.name} fails with {type(error).__name__}: {error}", hint) from error


def _of_file(name: str, path: Path, function: str) -> str:
    content, module = _content(f"metric {name!r}", path), types.ModuleType(path.stem)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for what it imports from there
    with _told(ConfigError, name, path):
        exec(compile(content, str(path), "exec"), vars(module))
        content += b"".join(_imported(path, content, {}).values())
    score = vars(module).get(function)
    if not callable(score):
        there = [key for key, value in vars(module).items() if isinstance(value, types.FunctionType)]
        raise ConfigError(f"metric {name!r}: {path} has no function {function!r}", nearest(function, there))
    needs: Needs = getattr(score, "needs", "labels")
    greater = getattr(score, "greater_is_better", True)
    if needs not in NEEDS or not isinstance(greater, bool):
        said = f"{function}.needs = {needs!r}, {function}.greater_is_better = {greater!r}"
        hint = f'{function}.needs, {function}.greater_is_better = "labels", True'
        raise ConfigError(f"metric {name!r}: {said}; expected {' or '.join(NEEDS)}, and True or False", hint)
    tasks = (*BOTH, "numbers" if needs == "labels" else "shares")
    own = partial(_guarded, name, path, score)
    return _register(name, content, Measure("own", needs, tasks, greater, scored=False, source=name, own=own))


def _imported(path: Path, content: bytes, found: dict[Path, bytes]) -> dict[Path, bytes]:
    """``found`` and the content of all files beside ``path`` that it imports, and of those that these import."""
    for node in ast.walk(ast.parse(content)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for file in [path.with_name(f"{name.partition('.')[0]}.py") for name in names]:
            if file.is_file() and file not in found:
                found[file] = file.read_bytes()
                _imported(file, found[file], found)
    return found


def _guarded(name: str, path: Path, score: Callable[[Any, Any], Any], truth: Any, said: Any) -> float:
    """What the function of a user returns, whose failure is a `DataError` with its words."""
    with _told(DataError, name, path):
        value = score(truth.copy(), said.copy())
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        told = f"metric {name!r} of {len(truth)} rows returned {str(value)[:LONGEST]}, which is no finite number"
        raise DataError(told, f"cat {shlex.quote(str(path))}")
    return number


def _tuned(metric: str, given: Any, root: Path) -> str:
    key = TUNED[metric]
    if isinstance(given, str):
        path = root / given
        lines = text_of(_content(f"competition.{key}", path), path, ConfigError).splitlines()
        cells = [line for line in csv.reader(lines) if line]
        given = cells if key == "costs" else [cell for line in cells for cell in line]
    try:
        table = [list(map(float, line)) for line in (given if key == "costs" else [given])]
    except (TypeError, ValueError):
        table = []
    square = key == "weights" or all(len(line) == len(table) for line in table)
    numbers = [number for line in table for number in line]
    if not square or len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        expected = "C x C numbers, by true class and answer" if key == "costs" else "a number for each class"
        raise ConfigError(f"metric {metric!r} needs {key}: {expected}", _example(key, 2))
    if key == "weights" and (min(numbers) < 0 or not sum(numbers)):
        raise ConfigError(
            f"competition.weights = {numbers}: expected numbers of at least 0, not all of them 0",
            _example(key, len(numbers)),
        )
    lines_of = tuple(map(tuple, table))
    needs: Needs = "probabilities" if key == "weights" else "labels"
    tasks = BOTH if key == "weights" else CLASSES
    measure = Measure("own", needs, tasks, greater_is_better=False, scored=False, source=metric, table=lines_of)
    return _register(metric, repr(lines_of).encode(), measure)


def check_width(metric: str, classes: int) -> None:
    """Raise `DataError` where costs or weights are not as many as there are classes."""
    measure = METRICS[metric]
    if measure.table and len(measure.table[0]) != classes:
        key, found = TUNED[measure.source], len(measure.table[0])
        raise DataError(
            f"competition.{key} has numbers of {found} classes, but there are {classes}", _example(key, classes)
        )


def _example(key: str, n: int) -> str:
    table = [[int(a != b) for b in range(n)] for a in range(n)] if key == "costs" else [1] * n
    return f"[competition] {key} = {table}"
