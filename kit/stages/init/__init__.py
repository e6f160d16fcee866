"""``kit init``: a new project folder."""

import os
import re
import shlex
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from kit.base.events import Emit, Event
from kit.base.text import nearest
from kit.config import parse
from kit.errors import ConfigError, KitError
from kit.stages.init.text import escaped
from kit.store.files import write_atomic
from kit.store.layout import CONFIG_NAME

FILES = {CONFIG_NAME: "kit.toml.tmpl", "Makefile": "Makefile.tmpl", ".gitignore": "gitignore.tmpl"}
BUILT_IN = ("practice", "digits")
# The line of a recipe that says where its images are.
RECIPE_TRAIN = 'train = "raw/training_set.npz"'


def init(folder: Path, train: str, emit: Emit, recipe: str = "", *, hours: float, looks: bool = True) -> None:
    """Write ``kit.toml``, a Makefile and a ``.gitignore``; nothing that exists is touched.

    ``train`` is what ``[data] train`` is set to; ``recipe`` is a key of `known_recipes`, whose text becomes
    ``kit.toml``. Without a recipe the images that ``train`` names are looked at, unless they are built in or ``looks``
    is false: the networks are what can be trained in ``hours``, and the augmentation what the images allow.

    Raises `ConfigError` where the folder is a project already, or there is no such recipe, and what `open_source`
    raises where the images cannot be read.
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
    from kit.stages.init.text import config_text

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
    emit(Event("say", f"{seen.n} labelled images of {len(seen.classes)} classes: {moves_said(seen.gains)}"))
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
        text = (files("kit.stages.init") / "templates" / ("kit-own.toml.tmpl" if own else template)).read_text(
            encoding="utf-8"
        )
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
    return (files("kit.stages.init") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def _this_kit() -> str:
    """The command that is running as a Makefile writes it: found although its environment is not active.

    It stands beside its Python in an environment of venv, uv, pipx or conda; the Makefile asks the shell where it is
    not there any more.
    """
    path = shutil.which("kit", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}") or "kit"
    return shlex.quote(path).replace("$", "$$").replace("#", "\\#")
