"""``[competition]``: where submissions go and how they are scored."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from kit.config.base import Section

# What is a loss; a test compares with the metrics' own directions. Here, so that a table needs no numerics to sort.
LOSSES = ("nll", "brier")


class CompetitionConfig(Section):
    """``[competition]``: where submissions go and how they are scored."""

    name: str = "competition"
    """A name for tables and pictures."""
    platform: Literal["local", "codabench", "kaggle"] = "local"
    """Who scores: a platform's name, or `local` for the scorer that comes with the kit."""
    url: str = ""
    """The platform's address; empty = its public site."""
    id: str = ""
    """The competition's number (Codabench) or slug (Kaggle)."""
    phase: str = ""
    """The phase's name or number, where the platform has phases; empty = the current one."""
    metric: Literal["accuracy", "macro_f1", "balanced_accuracy", "auc", "qwk", "nll", "brier"] = "accuracy"
    """What the platform scores by."""
    task: Literal["multiclass", "binary"] = "multiclass"
    """Binary is two classes; multi-label and regression are outside the kit."""
    test_size: int = Field(default=0, ge=0)
    """Images that the public score is computed on, 0 = not known; tells how far a difference is noise."""
    code: bool = False
    """Kaggle only: what is submitted is a notebook that runs without internet, not a table."""
    fact_sheet: dict[str, str] = Field(default_factory=dict)
    """Codabench only: answers to the questions that some competitions ask with every submission."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and not (parts.scheme and parts.hostname and (parts.port is None or parts.port)):
            raise ValueError('is not a web address, as "https://www.codabench.org" is')
        return url

    @property
    def greater_is_better(self) -> bool:
        """Whether a larger score is a better one."""
        return self.metric not in LOSSES
