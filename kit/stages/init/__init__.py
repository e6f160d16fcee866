"""``kit init``: a new project folder."""

import json
from importlib.resources import files
from pathlib import Path

from kit.base.events import Emit, Event
from kit.base.text import nearest
from kit.config import parse
from kit.errors import ConfigError
from kit.store.files import write_atomic
from kit.store.layout import CONFIG_NAME

FILES = {CONFIG_NAME: "kit.toml.tmpl", "Makefile": "Makefile.tmpl", ".gitignore": "gitignore.tmpl"}
BUILT_IN = ("practice", "digits")
# The line of a recipe that says where its images are.
RECIPE_TRAIN = 'train = "raw/training_set.npz"'


def init(folder: Path, train: str, emit: Emit, recipe: str = "") -> None:
    """Write ``kit.toml``, a Makefile and a ``.gitignore``; nothing that exists is touched.

    ``train`` is what ``[data] train`` is set to; ``recipe`` is a key of `known_recipes`, whose text becomes
    ``kit.toml``, or empty for the template. Raises `ConfigError` where the folder is a project already, or there is no
    such recipe.
    """
    if (folder / CONFIG_NAME).exists():
        raise ConfigError(f"{folder / CONFIG_NAME} exists already", "kit folds")
    if recipe and recipe not in (known := known_recipes()):
        raise ConfigError(f"no recipe {recipe!r}", nearest(recipe, known))
    wrote = []
    for name, template in FILES.items():
        if (folder / name).exists():
            emit(Event("say", f"kept {folder / name}"))
        else:
            wrote.append(write_atomic(folder / name, render(template, train, recipe)))
    emit(Event("wrote", "", {"paths": wrote}))
    emit(Event("say", "next: make folds train-all ensemble submit"))


def render(template: str, train: str, recipe: str = "") -> str:
    """The text of a template for a training set; a configuration, of a recipe if one is named, is checked first."""
    own = template == FILES[CONFIG_NAME] and train not in BUILT_IN
    if recipe and template == FILES[CONFIG_NAME]:
        line = f'train = "{_escaped(train)}"' + ("" if own else f'\ntruth = "{train}"')
        text = recipe_text(recipe).replace(RECIPE_TRAIN, line, 1)
    else:
        text = (files("kit.stages.init") / "templates" / ("kit-own.toml.tmpl" if own else template)).read_text(
            encoding="utf-8"
        )
        text = text.replace("@TRAIN@", _escaped(train))
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
    return (files("kit.stages.init") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    """The inside of a TOML string; JSON's strings are TOML's, but for one letter."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{text!r} is not UTF-8, so kit.toml cannot name it", "rename it") from None
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
