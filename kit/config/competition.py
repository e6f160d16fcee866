"""``[competition]``: where submissions go and how they are scored."""

from __future__ import annotations

from typing import Literal

from kit.config.base import Section


class CompetitionConfig(Section):
    """``[competition]``: where submissions go and how they are scored."""

    name: str = "competition"
    """A name for tables and pictures."""
    platform: Literal["local", "codabench", "kaggle"] = "local"
    """Who scores: a platform's name, or `local` for the scorer that comes with the kit."""
    id: str = ""
    """The competition's number (Codabench) or slug (Kaggle)."""
    phase: str = ""
    """The phase's name, where the platform has phases; empty = the current one."""
    metric: Literal["accuracy", "macro_f1", "balanced_accuracy", "auc", "qwk", "nll", "brier"] = "accuracy"
    """What the platform scores by."""
    task: Literal["multiclass", "binary"] = "multiclass"
    """Binary is two classes; multi-label and regression are outside the kit."""
