"""The competition kit for image classification on Kaggle and Codabench."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.project import Project

__all__ = ["Project", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`kit.Project`, loaded when it is first asked for: `kit --help` must not wait for NumPy."""
    if name == "Project":
        from kit.project import Project

        return Project
    raise AttributeError(f"module 'kit' has no attribute {name!r}")
