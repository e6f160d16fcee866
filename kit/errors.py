"""Every error a user can cause, on one page.

An error says *what* is wrong with names and values; ``hint`` is a command or a key that can be pasted. The
command line prints both and exits with 1; anything that is not a ``KitError`` is ours and keeps its traceback.
"""

from importlib import import_module
from typing import Any

from kit.base.text import LONGEST, bounded, redacted


class KitError(Exception):
    """A mistake that the user can correct.

    Parameters
    ----------
    message : str
        What is wrong, with names and values, on one line.
    hint : str
        What to type or to change, empty where nothing helps. Addresses lose their passwords in both. A message that is
        longer than `kit.base.text.LONGEST` loses its middle; such a hint, which could not be pasted, is dropped.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = bounded(redacted(message)), redacted(hint)
        if len(self.hint) > LONGEST:
            self.hint = ""
        super().__init__(self.message)


class ConfigError(KitError):
    """``kit.toml`` is missing, unreadable or says something that cannot be."""


class DataError(KitError):
    """The images, labels or predictions given cannot be used."""


class StageError(KitError):
    """A stage lacks what an earlier one should have written."""


class TrainingError(KitError):
    """A fold could not be trained."""


class OutOfMemoryError(TrainingError):
    """A fold did not fit into the memory of its machine or of its graphics card."""


class BundleError(KitError):
    """A bundle cannot be built, proven or trusted."""


class PlatformError(KitError):
    """A platform refused, failed or did not answer."""


def required(package: str, what: str, install: str) -> Any:
    """A package that only ``what`` needs; raises `ConfigError` where it cannot be imported."""
    try:
        return import_module(package)
    except ImportError as error:
        lacks = "is not installed" if error.name == package else f"cannot be imported: {error}"
        raise ConfigError(f"{what} needs {package}, which {lacks}", f"pip install {install}") from error
