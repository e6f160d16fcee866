"""``kit init``: a new project folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from kit.config import parse
from kit.errors import ConfigError
from kit.files import write_atomic
from kit.layout import CONFIG_NAME
from kit.records import Emit, Event

FILES = {CONFIG_NAME: "kit.toml.tmpl", "Makefile": "Makefile.tmpl", ".gitignore": "gitignore.tmpl"}
PRACTICE = "practice"


def init(folder: Path, train: str, emit: Emit) -> None:
    """Write ``kit.toml``, a Makefile and a ``.gitignore``; nothing that exists is touched.

    Parameters
    ----------
    folder : Path
    train : str
        What ``[data] train`` is set to.

    Raises
    ------
    ConfigError
        Where the folder is a project already.
    """
    if (folder / CONFIG_NAME).exists():
        raise ConfigError(f"{folder / CONFIG_NAME} exists already", "kit folds")
    wrote = []
    for name, template in FILES.items():
        path = folder / name
        if path.exists():
            emit(Event("say", f"kept {path}"))
            continue
        wrote.append(write_atomic(path, render(template, train)))
    emit(Event("wrote", "", {"paths": wrote}))
    emit(Event("say", "next: make folds train-all ensemble submit"))


def render(template: str, train: str) -> str:
    """The text of a template for a training set; a configuration is checked before it is written."""
    built_in = train in (PRACTICE, "digits")
    name = template if built_in or template != "kit.toml.tmpl" else "kit-own.toml.tmpl"
    text = (files("kit") / "templates" / name).read_text(encoding="utf-8")
    text = text.replace("@TRAIN@", train.replace("\\", "\\\\").replace('"', '\\"'))
    if template == "kit.toml.tmpl":
        parse(text)
    return text
