"""``kit init``: a new project folder, whose ``kit.toml`` says why each value was chosen for data that are there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.events import Emit, Event
from kit.base.text import nearest
from kit.config import parse
from kit.errors import ConfigError, KitError
from kit.store.files import write_atomic
from kit.store.layout import CONFIG_NAME

if TYPE_CHECKING:  # what looks at images loads numerics, and a built-in competition needs none
    from kit.stages.init.look import Seen
    from kit.stages.init.plan import Plan

FILES = {CONFIG_NAME: "kit.toml.tmpl", "Makefile": "Makefile.tmpl", ".gitignore": "gitignore.tmpl"}
BUILT_IN = ("practice", "digits")
# The line of a recipe that says where its images are.
RECIPE_TRAIN = 'train = "raw/training_set.npz"'
METRIC = {"multilabel": "auc", "soft": "kl", "ordinal": "qwk", "regression": "rmse"}
GUESS = "A guess, because there is no sample file: use the metric of the leaderboard."


def init(folder: Path, train: str, emit: Emit, recipe: str = "", *, hours: float, looks: bool = True) -> None:
    """Write ``kit.toml``, a Makefile and a ``.gitignore``; nothing that exists is touched.

    ``recipe`` is a key of `known_recipes`. Without one the images that ``train`` names are looked at, unless they are
    built in or ``looks`` is false: the networks are what can be trained in ``hours``. Raises `ConfigError` where the
    folder is a project already, or there is no such recipe, and the errors of `open_source`.
    """
    if (folder / CONFIG_NAME).exists():
        raise ConfigError(f"{folder / CONFIG_NAME} exists already", "kit folds")
    if recipe and recipe not in (known := known_recipes()):
        raise ConfigError(f"no recipe {recipe!r}", nearest(recipe, known))
    configuration, last = "", "submit"
    if looks and not recipe and train not in BUILT_IN:
        configuration, last = _looked(folder, train, emit, hours)
    wrote = []
    for name, template in FILES.items():
        if (folder / name).exists():
            emit(Event("say", f"kept {folder / name}"))
        else:
            text = configuration if name == CONFIG_NAME and configuration else render(template, train, recipe)
            wrote.append(write_atomic(folder / name, text))
    emit(Event("wrote", "", {"paths": wrote}))
    there = f"cd {shlex.quote(str(folder))} && " if folder.resolve() != Path.cwd() else ""
    emit(Event("say", f"next: {there}make folds train-all ensemble {last}".rstrip()))


def _looked(folder: Path, train: str, emit: Emit, hours: float) -> tuple[str, str]:
    """The text of ``kit.toml`` for images that are there, and the stage that ends what can be done with them."""
    from kit.images.moves import moves_said
    from kit.stages.init.look import look
    from kit.stages.init.plan import choose, weights_within_reach

    source = Path(os.path.normpath(folder.resolve() / Path(train).expanduser()))
    if not source.exists() and Path(train).exists():  # named from here, not from the new folder
        source = Path(train).resolve()
        train = Path(os.path.relpath(source, folder.resolve())).as_posix()
    try:
        seen = look(folder, source, train)
    except KitError as error:
        new = "" if folder.resolve() == Path.cwd() else f" {shlex.quote(str(folder))}"
        if other := re.match(r'\[data\] train = "([^"\\]+)"', error.hint):
            named = other[1] if Path(train).is_absolute() else os.path.relpath(other[1], folder.resolve())
            raise type(error)(error.message, f"kit init --train {shlex.quote(named)}{new}") from error
        if error.hint and not error.hint.startswith("[data]") and source.exists():
            raise  # kit.toml does not mend it
        hint = f"kit init --train {shlex.quote(train)}{new} --no-look   # then edit kit.toml"
        raise type(error)(f"{error.message}{f' ({error.hint})' if error.hint else ''}", hint) from error
    plan = choose(seen.n, seen.side, hours, pretrained=weights_within_reach, is_split=bool(seen.validation))
    text = config_text(seen, plan, folder.resolve().name, hours)
    parse(text)
    emit(Event("say", f"{seen.told}: {moves_said(seen.gains)}"))
    if seen.task:
        emit(Event("say", f"task {seen.task}: {seen.task_why}"))
    if plan.minutes > 60 * hours:
        emit(Event("warn", f"training takes about {plan.minutes / 60:.1f} hours on this machine: nothing is cheaper"))
    return text, "submit" if seen.truth else "table" if seen.test else ""


def render(template: str, train: str, recipe: str = "") -> str:
    """The text of a template for a training set; a configuration, of a recipe if one is named, is checked first."""
    own = template == FILES[CONFIG_NAME] and train not in BUILT_IN
    if recipe and template == FILES[CONFIG_NAME]:
        line = f'train = "{escaped(train)}"' + ("" if own else f'\ntruth = "{train}"')
        text = recipe_text(recipe).replace(RECIPE_TRAIN, line, 1)
    else:
        text = _read("templates", "kit-own.toml.tmpl" if own else template)
        text = text.replace("@TRAIN@", escaped(train)).replace("@KIT@", _this_kit())
    if template == FILES[CONFIG_NAME]:
        parse(text)
    return text


def known_recipes() -> dict[str, str]:
    """The recipes that come with the kit: name and what it is, in one line."""
    folder = files("kit.stages.init") / "recipes"
    names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {name: recipe_text(name).splitlines()[0].split(":", 1)[1].strip() for name in names}


def recipe_text(name: str) -> str:
    """The text of a recipe: a whole ``kit.toml`` whose training set is ``raw/training_set.npz``."""
    return _read("recipes", f"{name}.toml")


def _read(folder: str, name: str) -> str:
    return (files("kit.stages.init") / folder / name).read_text(encoding="utf-8")


def _this_kit() -> str:
    """The command that is running as a Makefile writes it: beside its Python, found although that is not active."""
    path = shutil.which("kit", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}") or "kit"
    return shlex.quote(path).replace("$", "$$").replace("#", "\\#")


def config_text(seen: Seen, plan: Plan, name: str, hours: float) -> str:
    """The whole ``kit.toml``; raises `ConfigError` where a name cannot be written in it."""
    from jinja2 import Environment, StrictUndefined

    from kit.images.moves import allowed, moves_said
    from kit.stages.init.plan import SMALL

    moves = allowed(seen.gains)
    metric, metric_why = metric_of(seen)
    steps: list[dict[str, Any]] = [moves.augment] if moves.augment else []
    if plan.is_tiny and not seen.in_place:
        steps.append({"op": "crop", "pixels": max(1, plan.size // 14)})
    if plan.degrade:
        # Blur and noise of the usual strength hide what small pictures show.
        steps.append({"op": "degrade"} if plan.size > SMALL else {"op": "degrade", "magnitude": 0.25})
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["toml"] = escaped
    return environment.from_string(_read("templates", "kit-looked.toml.tmpl")).render(
        seen=seen,
        plan=plan,
        name=name,
        hours=hours,
        metric=metric,
        metric_why=metric_why,
        small=SMALL if seen.side <= SMALL else 0,
        gains=", ".join(f"{move} {gain}" for move, gain in seen.gains.items()),
        moves_why=moves_said(seen.gains),
        augment=", ".join(f"{{ {', '.join(f'{key} = {json.dumps(step[key])}' for key in step)} }}" for step in steps),
        views=", ".join(f'"{view}"' for view in moves.views),
    )


def metric_of(seen: Seen) -> tuple[str, str]:
    """The metric that the sample file suggests, and why."""
    if seen.task == "multilabel" and seen.sample is not None and len(seen.sample.header) == 2:
        return "macro_f1", "The sample file has a list of labels per image; use the metric of the leaderboard."
    if seen.task in METRIC:
        return METRIC[seen.task], GUESS.replace("there is no sample file", f"the task is {seen.task}")
    if seen.sample is None:
        return "accuracy", GUESS
    answers = seen.sample.header[1:]
    if len(answers) > 1 and set(seen.classes) <= set(answers):
        return "nll", "The sample file has a column for each class, so probabilities are scored."
    if len(answers) == 1 and len(seen.classes) == 2 and _has_fractions(row[1] for row in seen.sample.rows):
        return "auc", "The sample file has a fraction for each image, so a probability is scored."
    if len(answers) == 1:
        listed = {len(row[1].split()) for row in seen.sample.rows if row[1] not in seen.classes}
        if listed in ({3}, {5}):
            n = listed.pop()
            return f"map{n}", f"The sample file has {n} classes per image; use the metric of the leaderboard."
        return "accuracy", "The sample file has one class per image; use the metric of the leaderboard."
    return "accuracy", "A guess: the columns of the sample file are not the classes. Use the metric of the leaderboard."


def _has_fractions(cells: Iterable[str]) -> bool:
    try:
        return any(float(cell) % 1 for cell in cells)
    except ValueError:
        return False


def escaped(text: str) -> str:
    """The inside of a TOML string; JSON's strings are TOML's, but for one letter."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{text!r} is not UTF-8, so kit.toml cannot name it", "rename it") from None
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
