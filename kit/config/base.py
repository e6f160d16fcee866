"""What every section of ``kit.toml`` has in common, and how a mistake in one is told."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator

from kit.base.text import nearest
from kit.errors import ConfigError

LONGEST_NAME = 100  # of a run or of folds: with what is added to it, it must fit into the 255 bytes of a file's name
LONGEST_VALUE = 100
UNLABELLED: tuple[Literal["test", "unlabelled"], ...] = ("test", "unlabelled")  # parts whose labels nobody reads
Location = tuple[int | str, ...]


class ConfigSection(BaseModel):
    """A table of ``kit.toml``: frozen, unknown keys refused, every key documented by its description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _without_nul(cls, value: object) -> object:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("the character NUL is not allowed")
        return value


def plain_name(name: str) -> str:
    """A name that can be a folder, a file and an argument of a command; raises `ValueError`."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name) or len(name) > LONGEST_NAME:
        raise ValueError(
            f"a name has at most {LONGEST_NAME} letters, digits, - and _, and does not begin with -, "
            "because it is used as a folder and an argument"
        )
    return name


def _with_home(path: str) -> str:
    try:
        Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError("this home folder does not exist") from error
    return path


Name = Annotated[str, AfterValidator(plain_name)]
PathName = Annotated[str, AfterValidator(_with_home)]


def mistake(error: ValidationError, what: str, known: Callable[[Location], Iterable[str]], example: str) -> ConfigError:
    """The first mistake in ``what``; ``known`` gives the keys for an unknown one, ``example`` mends a missing one."""
    # A misspelt key is also a missing one: the spelling is what helps.
    first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    where = ".".join(str(part)[:LONGEST_NAME] for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ConfigError(f"{what}: unknown key `{where}`", nearest(str(first["loc"][-1]), known(first["loc"])))
    if first["type"] == "missing":
        return ConfigError(f"{what}: `{where}` is missing", example)
    value = repr(first["input"])
    if where.endswith("url"):  # what is no address may hold a password all the same
        value = re.sub(r"[^'\"]*@", "", value)
    value = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}..."
    return ConfigError(f"{what}: `{where}` = {value}: {first['msg'].removeprefix('Value error, ')}")
