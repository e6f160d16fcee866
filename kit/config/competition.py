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
    """Name that is shown in tables and pictures."""
    platform: Literal["local", "codabench", "kaggle"] = "local"
    """Platform that scores submissions. `local` is the scorer that comes with the kit."""
    url: str = ""
    """Address of the platform. Empty: its public site."""
    id: str = ""
    """Number (Codabench) or slug (Kaggle) of the competition."""
    phase: str = ""
    """Name or number of the phase, on platforms with phases. Empty: the current phase."""
    metric: Literal["accuracy", "macro_f1", "balanced_accuracy", "auc", "qwk", "nll", "brier"] = "accuracy"
    """Metric of the leaderboard."""
    task: Literal["multiclass", "binary"] = "multiclass"
    """`binary` means two classes. Multi-label tasks and regression are not supported."""
    test_size: int = Field(default=0, ge=0)
    """Number of images behind the public score, 0 if unknown. Used to judge whether a difference is noise."""
    code: bool = False
    """Kaggle only: submit a notebook that runs without internet access, instead of a table."""
    fact_sheet: dict[str, str] = Field(default_factory=dict)
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
        return self.metric not in LOSSES
