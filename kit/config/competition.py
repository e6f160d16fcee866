"""``[competition]``: where submissions go and how they are scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, StrictBool, ValidatorFunctionWrapHandler, field_validator, model_validator

from kit.config.base import ConfigSection

CLASSES, LABELS, NUMBERS = ("classes", "grades"), ("multilabel",), ("numbers",)
BOTH = CLASSES + LABELS
# One of several classes; of classes with an order; any number of labels; a number.
TASKS = BOTH + NUMBERS


Needs: TypeAlias = Literal["labels", "probabilities", "ranks", "numbers"]


class Measure(NamedTuple):
    """What a metric sees, which way it points, and whether platforms score by it.

    ``of`` is what its function in `kit.judge.score` is given: `rows` is a mean of row values, `counts` sees decided
    answers through `kit.judge.metrics.counts.Counts`, `all` is of all rows at once. ``tasks`` are what may be
    predicted, of `TASKS`, and ``source`` says who defines it. One that a competition defines (`kit.config.own`) has
    a function of its ``own``, or a ``table`` of costs by true class and answer, or of one line of weights.
    """

    of: Literal["rows", "counts", "all", "own"]
    needs: Needs = "labels"
    tasks: tuple[str, ...] = CLASSES
    greater_is_better: bool = True
    scored: bool = True
    ordinal: bool = False  # how far a wrong class is from the right one in the order of the classes counts
    source: str = "scikit-learn"
    own: Callable[[Any, Any], float] | None = None
    table: tuple[tuple[float, ...], ...] = ()
    low: float = 0.0  # where no cost is lower
    high: float = 1.0  # where greater is better

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest score that there is; of a function of the user nothing is known."""
        if self.own is not None:
            return -math.inf, math.inf
        return min([self.low, *map(min, self.table)]), self.high if self.greater_is_better else math.inf

    @property
    def needs_proba(self) -> bool:
        """Whether it sees more than decided answers."""
        return self.needs == "probabilities"


# Here and not beside the functions, so that a table of scores is sorted without loading numerics.
METRICS = {
    "accuracy": Measure("rows", tasks=BOTH),
    "balanced_accuracy": Measure("counts", tasks=BOTH),
    "f1": Measure("counts", source="scikit-learn, of the second of two classes"),
    "macro_f1": Measure("counts", tasks=BOTH),
    "weighted_f1": Measure("counts", tasks=BOTH),
    "micro_f1": Measure("counts", tasks=BOTH),
    "macro_f2": Measure("counts", tasks=BOTH),
    "micro_f2": Measure("counts", tasks=BOTH),
    "sample_f1": Measure("rows", tasks=LABELS),
    "mcc": Measure("counts", tasks=BOTH, source="Matthews 1975, Gorodkin 2004", low=-1.0),
    "qwk": Measure("counts", ordinal=True, source="Cohen 1968", low=-1.0),
    "lwk": Measure("counts", ordinal=True, source="Cohen 1968", low=-1.0),
    "top3_accuracy": Measure("rows", "ranks"),
    "top5_accuracy": Measure("rows", "ranks"),
    "map3": Measure("rows", "ranks", source="Kaggle, mean average precision at 3"),
    "map5": Measure("rows", "ranks", source="Kaggle, mean average precision at 5"),
    "auc": Measure("all", "probabilities", BOTH),
    "weighted_auc": Measure("all", "probabilities", BOTH),
    "partial_auc": Measure("all", "probabilities", BOTH, source="Kaggle, ISIC 2024", high=0.2),
    "average_precision": Measure("all", "probabilities", BOTH),
    "micro_average_precision": Measure("all", "probabilities", BOTH),
    "probabilistic_f1": Measure("all", "probabilities", BOTH, source="Yacouby & Axman 2020"),
    "nll": Measure("rows", "probabilities", BOTH, greater_is_better=False),
    "kl": Measure("rows", "probabilities", greater_is_better=False, source="Kullback & Leibler 1951"),
    "brier": Measure("rows", "probabilities", BOTH, greater_is_better=False, source="Brier 1950"),
    "ece": Measure("all", "probabilities", greater_is_better=False, scored=False, source="Naeini et al. 2015"),
    "r2": Measure("all", "numbers", NUMBERS, low=-math.inf),
    "rmse": Measure("all", "numbers", NUMBERS, greater_is_better=False),
    "mae": Measure("rows", "numbers", NUMBERS, greater_is_better=False),
}

# By `task` the kind that metrics of it name in ``tasks``, and metrics of one class an image that make sense of it too:
# of single votes, of the bin of a number; see `kit.judge.seen`.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "multilabel": ("multilabel", ()),
    "soft": ("shares", ("accuracy", "nll", "brier", "kl")),
    "regression": ("numbers", ("nll",)),
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
    metric: Annotated[Scored, PlainSerializer(str)] = "accuracy"
    """Metric of the leaderboard. Also `expected_cost` with `costs`, `weighted_nll` with `weights`, and a function of
    your own as `FILE.py:FUNCTION`; see `docs/ensemble.md`."""
    costs: str | tuple[tuple[float, ...], ...] = ()
    """What an answer costs: a row for each true class with a number for each answer, or a `.csv` file with them."""
    weights: str | tuple[float, ...] = ()
    """Of each class, or of each of several labels, the weight of its log loss, or a `.csv` file with them."""
    task: Literal["multiclass", "binary", "ordinal", "multilabel", "soft", "regression"] = "multiclass"
    """What is asked of an image: one class (`binary`: of two, `ordinal`: of classes in order), any number of labels
    (`multilabel`), shares of votes (`soft`), or a number (`regression`). See `docs/data.md`."""
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

    @field_validator("metric", mode="wrap")
    @classmethod
    def _scored(cls, value: Any, known: ValidatorFunctionWrapHandler) -> Any:
        return value if isinstance(value, str) and value in METRICS and METRICS[value].of == "own" else known(value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        kind, others = KINDS.get(self.task, ("classes", ()))
        if kind not in METRICS[self.metric].tasks and self.metric not in others:
            fit = [name for name, one in METRICS.items() if one.scored and (kind in one.tasks or name in others)]
            own = {"numbers": ' with needs = "labels"', "shares": ' with needs = "probabilities"'}.get(kind, "")
            said = f"those are {', '.join(fit)}, and functions of your own{own}"
            raise ValueError(f"metric {self.metric!r} is not one of task {self.task!r}; {said}")
        return self

    @property
    def greater_is_better(self) -> bool:
        """Whether a larger score is a better one."""
        return METRICS[self.metric].greater_is_better

    def holds(self, score: float) -> bool:
        """Whether the metric can have this score."""
        low, high = METRICS[self.metric].bounds
        return low <= score <= high and math.isfinite(score)

    @property
    def metric_of_proba(self) -> str:
        """The metric where it is one of probabilities, which is what the cells of a table depend on; else empty."""
        return self.metric if METRICS[self.metric].needs_proba else ""
