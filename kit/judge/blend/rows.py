"""The rows a candidate is fitted on, with what several candidates need computed once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kit.judge.blend.convex import gather
from kit.judge.blend.temperature import fit_temperature
from kit.judge.metrics import Array
from kit.runtime.pool import FLOOR, blocks, tempered

FEW, LEAST_ROWS = 500_000, 5_000  # numbers of a member, and rows, on which single numbers are fitted


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
    def few(self) -> Array:
        """Sorted rows (n,) that are enough to fit a single number, drawn by the number of rows alone; mostly all."""
        count = max(LEAST_ROWS, FEW // self.classes)
        if count >= len(self.y):
            return np.arange(len(self.y))
        return np.sort(np.random.default_rng(0).choice(len(self.y), count, replace=False))

    @cached_property
    def few_logs(self) -> Array:
        """(M, n, C) log probabilities of the few."""
        return self.logs if len(self.few) == len(self.y) else self.logs.take(self.few, axis=1)

    @cached_property
    def few_tempered(self) -> Array:
        """(M, n, C) probabilities of the few after each member's temperature."""
        out = np.empty_like(self.few_logs)
        for m, block, proba in self._tempered(self.few_logs):
            out[m, block] = proba
        return out

    @cached_property
    def temperatures(self) -> Array:
        """(M,) temperature of each member."""
        starts, y = self.warm.get("temperatures", np.ones(self.members)), self.y[self.few]
        found = [fit_temperature(logs, y, start=t) for logs, t in zip(self.few_logs, starts, strict=True)]
        self.warm["temperatures"] = np.array(found)
        return np.array(found)

    @cached_property
    def tempered_logs(self) -> Array:
        """(M, N, C) log probabilities after each member's temperature."""
        each = zip(self.logs, self.temperatures, strict=True)
        return np.stack([np.log(np.maximum(tempered(logs, t), FLOOR**2)) for logs, t in each])

    def _tempered(self, logs: Array) -> Iterator[tuple[int, slice, Array]]:
        """Yield probabilities after a member's temperature, of so many rows as stay in the processor's cache."""
        for block in blocks(logs.shape[1], 4 * self.classes):
            for m, temperature in enumerate(self.temperatures):
                yield m, block, tempered(logs[m, block], temperature)

    @cached_property
    def _pooled(self) -> tuple[Array, Array]:
        """What `tempered_mean` and `tempered_likelihoods` return."""
        total, q = np.zeros_like(self.logs[0]), np.empty((len(self.y), self.members))
        for m, block, proba in self._tempered(self.logs):
            total[block] += proba
            q[block, m] = proba[np.arange(len(proba)), self.y[block]]
        total /= self.members
        return np.log(np.maximum(total, FLOOR)), q

    @property
    def tempered_mean(self) -> Array:
        """(N, C) log of the mean of the tempered members."""
        return self._pooled[0]

    @property
    def tempered_likelihoods(self) -> Array:
        """(N, M) what each tempered member gave to the true class."""
        return self._pooled[1]

    @cached_property
    def likelihoods(self) -> Array:
        """(N, M) what each member gave to the true class."""
        return np.exp(gather(self.logs, self.y))
