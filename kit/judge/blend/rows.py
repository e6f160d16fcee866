"""The rows a candidate is fitted on, with what several candidates need computed once."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kit.judge.blend.convex import gather
from kit.judge.blend.temperature import fit_temperature
from kit.judge.metrics import Array
from kit.runtime.pool import FLOOR, tempered


@dataclass(frozen=True)
class Rows:
    """A subset of the rows.

    Attributes
    ----------
    logs : (M, N, C) log probabilities
    y : (N,) class indices
    warm : dict
        Solutions of a neighbouring problem by name, written by the fits and used as starts.
    joint : bool
        Whether what a member says of one class may move every class, in pools whose weights differ by class.
    """

    logs: Array
    y: Array
    warm: dict[str, Any] = field(default_factory=dict)
    joint: bool = False

    @property
    def members(self) -> int:
        """Number of members."""
        return int(self.logs.shape[0])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logs.shape[2])

    @cached_property
    def proba(self) -> Array:
        """(M, N, C) probabilities as given."""
        return np.exp(self.logs)

    @cached_property
    def temperatures(self) -> Array:
        """(M,) temperature of each member."""
        return np.array([fit_temperature(logs, self.y) for logs in self.logs])

    @cached_property
    def tempered(self) -> Array:
        """(M, N, C) probabilities after each member's temperature."""
        return np.stack([tempered(logs, t) for logs, t in zip(self.logs, self.temperatures, strict=True)])

    @cached_property
    def tempered_logs(self) -> Array:
        """(M, N, C) log probabilities after each member's temperature."""
        return np.log(np.maximum(self.tempered, FLOOR**2))

    @cached_property
    def tempered_mean(self) -> Array:
        """(N, C) log of the mean of the tempered members."""
        mean: Array = np.log(np.maximum(self.tempered.mean(axis=0), FLOOR))
        return mean

    @cached_property
    def likelihoods(self) -> Array:
        """(N, M) what each member gave to the true class."""
        return gather(self.proba, self.y)

    @cached_property
    def tempered_likelihoods(self) -> Array:
        """(N, M) what each tempered member gave to the true class."""
        return gather(self.tempered, self.y)
