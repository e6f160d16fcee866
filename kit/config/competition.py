"""``[competition]``: where submissions go and how they are scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, StrictBool, field_validator

from kit.config.base import ConfigSection


class Measure(NamedTuple):
    """What a metric sees, which way it points, and whether platforms score by it.

    ``of`` names its function in `kit.judge.metrics`: `rows` is ``row_NAME``, whose mean is the score; `table` is
    ``table_NAME`` of confusion tables; `all` is ``NAME``, of all rows at once, with ``NAME_influence`` where there is
    one.
    """

    of: Literal["rows", "table", "all"]
    greater_is_better: bool = True
    needs_proba: bool = False  # more than the arg max of a row
    scored: bool = True
    ordinal: bool = False  # how far a wrong class is from the right one in the order of the classes counts
    tasks: tuple[str, ...] = ("classes", "grades")  # what may be predicted, of `TASKS`


# One of several classes; of classes with an order; any number of labels; a number.
TASKS = ("classes", "grades", "multilabel", "numbers")


# Here and not beside the functions, so that a table of scores is sorted without loading numerics.
METRICS = {
    "accuracy": Measure("rows"),
    "macro_f1": Measure("table"),
    "balanced_accuracy": Measure("table"),
    "auc": Measure("all", needs_proba=True),
    "qwk": Measure("table", ordinal=True),
    "nll": Measure("rows", greater_is_better=False, needs_proba=True),
    "brier": Measure("rows", greater_is_better=False, needs_proba=True),
    "ece": Measure("all", greater_is_better=False, needs_proba=True, scored=False),
}

# Each class as ``module:name``. Here and not beside the classes, because kit.toml is read before any of them is loaded.
PLATFORMS = {
    "local": "kit.platforms.local:Local",
    "codabench": "kit.platforms.codabench:Codabench",
    "kaggle": "kit.platforms.kaggle:Kaggle",
}

if TYPE_CHECKING:
    Scorer: TypeAlias = str
    Scored: TypeAlias = str
else:
    Scorer = Literal[tuple(PLATFORMS)]
    Scored = Literal[tuple(name for name, measure in METRICS.items() if measure.scored)]


class CompetitionConfig(ConfigSection):
    """``[competition]``: where submissions go and how they are scored."""

    name: str = "competition"
    """Name that is shown in tables and pictures."""
    platform: Scorer = "local"
    """Platform that scores submissions. `local` is the scorer that comes with the kit."""
    url: str = ""
    """Address of the platform. Empty: its public site."""
    id: str = ""
    """Number (Codabench) or slug (Kaggle) of the competition."""
    phase: str = ""
    """Name or number of the phase, on platforms with phases. Empty: the current phase."""
    metric: Scored = "accuracy"
    """Metric of the leaderboard."""
    task: Literal["multiclass", "binary"] = "multiclass"
    """`binary` means two classes. Multi-label tasks and regression are not supported."""
    test_size: int = Field(default=0, ge=0)
    """Number of images behind the public score, 0 if unknown. Used to judge whether a difference is noise."""
    code: bool = False
    """Kaggle only: submit a notebook that runs without internet access, instead of a table."""
    fact_sheet: dict[str, StrictBool | str] = Field(default_factory=dict)
    """Codabench only: answers to the questions that some competitions ask with every submission."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and not (parts.scheme and parts.hostname and (parts.port is None or parts.port)):
            raise ValueError('is not a web address such as "https://www.codabench.org"')
        return url

    @property
    def greater_is_better(self) -> bool:
        """Whether a larger score is a better one."""
        return METRICS[self.metric].greater_is_better
