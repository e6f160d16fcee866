"""The candidates: ways to turn members into one part of a blend, as a table."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kit.judge.blend.convex import convex_weights
from kit.judge.blend.logit import Classwise, fit_logit_pool, minimise
from kit.judge.blend.rows import Rows
from kit.judge.blend.temperature import fit_temperature
from kit.judge.metrics import Array
from kit.runtime.pool import FLOOR, Part

# A slope multiplies log probabilities, a few nats in size; a bias is added as it is.
BIAS_SCALE = 3.0
SHARED_SCALE = 0.3  # of slopes that all classes share, beside weights of classes
MOST_WEIGHTS = 600  # weights of classes beyond which Hessians take too long, and rows are too few anyway


@dataclass(frozen=True)
class Fitted:
    """A part, the duality gap of its convex weights and the bound of its log-linear coefficients, 0 without them."""

    part: Part
    gap: float = 0.0
    bound: float = 0.0


def linear_part(
    rows: Rows, weights: Array | None = None, *, temperatures: Array | None = None, final: float = 1.0
) -> Part:
    """Return the part of a linear pool, of equal weights by default, between two temperatures."""
    ones = np.ones(rows.members)
    return {
        "temperatures": (ones if temperatures is None else temperatures).tolist(),
        "weights": (ones / rows.members if weights is None else weights).tolist(),
        "centre": 1.0 / final,
        "slopes": [0.0] * rows.members,
        "bias": [0.0] * rows.classes,
    }


@dataclass(frozen=True)
class Candidate:
    """A row of the table: what fits it, how much is believed of it beforehand, and where it is tried.

    ``prior`` is that of its family, the text before the comma of its name, relative to the other families; the rows of
    a family share it. ``alone`` says that it is worth trying with a single member, ``weights`` that it has some for
    each member and class, ``like`` that others of its family differ by a prior only.
    """

    fit: Callable[[Rows], Fitted]
    prior: float = 1.0
    alone: bool = False
    weights: bool = False
    like: bool = False


def mean(rows: Rows) -> Fitted:
    """Plain mean."""
    return Fitted(linear_part(rows))


def calibrated_mean(rows: Rows) -> Fitted:
    """Temperature each, mean, temperature (Rahaman & Thiery 2021)."""
    return Fitted(_between_temperatures(rows, "mean", np.full(rows.members, 1.0 / rows.members)))


def mean_temperature(rows: Rows) -> Fitted:
    """Plain mean, then a temperature: the arg max of the plain mean stays."""
    return Fitted(linear_part(rows, final=_temperature(rows, "mean temperature", np.exp(rows.few_logs).mean(axis=0))))


def best_single(rows: Rows) -> Fitted:
    """The member with the lowest log loss after its temperature."""
    best = int(np.log(rows.tempered_likelihoods).sum(axis=0).argmax())
    return Fitted(linear_part(rows, np.eye(rows.members)[best], temperatures=rows.temperatures))


def greedy_weights(q: Array, rounds: int = 25) -> Array:
    """Return (M,) weights of the best prefix of a greedy selection by log loss from likelihoods (N, M).

    Selection is with replacement (Caruana et al. 2004). The weights are multiples of 1/k on the simplex, k the length
    of the best prefix; ties go to the first member.
    """
    counts, total = np.zeros(q.shape[1]), np.zeros(len(q))
    best, best_loss = counts, np.inf
    for size in range(1, rounds + 1):
        losses = -np.log((total[:, None] + q) / size).mean(axis=0)
        chosen = int(losses.argmin())
        counts = counts + np.eye(len(counts))[chosen]
        total = total + q[:, chosen]
        if losses[chosen] < best_loss:
            best, best_loss = counts / size, losses[chosen]
    return best


def greedy(rows: Rows) -> Fitted:
    """Greedy selection of tempered members, then a temperature."""
    return Fitted(_between_temperatures(rows, "greedy", greedy_weights(rows.tempered_likelihoods[rows.few])))


def convex(rows: Rows, *, pseudo_rows: float, calibrated: bool = False) -> Fitted:
    """Convex weights shrunk towards equal ones, of the members as they are, or ``calibrated``: between temperatures."""
    key = f"{'calibrated ' if calibrated else ''}convex {pseudo_rows}"
    q = rows.tempered_likelihoods if calibrated else rows.likelihoods
    fitted = convex_weights(q, pseudo_rows=pseudo_rows * rows.members, start=rows.warm.get(key))
    rows.warm[key] = weights = fitted.weights
    part = _between_temperatures(rows, key, weights) if calibrated else linear_part(rows, weights)
    return Fitted(part, gap=fitted.gap)


def log_linear(rows: Rows, *, scale: float) -> Fitted:
    """Log-linear pool with class bias, shrunk towards the geometric mean of the tempered members."""
    equal = np.full(rows.members, 1.0 / rows.members)
    # The logs of a row are those before temperatures but for a number, which all classes share: it does not matter.
    offset = np.tensordot((equal / rows.temperatures).astype(rows.logs.dtype), rows.logs, 1)
    return _ridge(rows, f"log-linear {scale}", offset, scale, np.append(0.0, equal))


def centred(rows: Rows, *, scale: float) -> Fitted:
    """Pool centred on the mean of the tempered members, with a ridge on every departure from it."""
    return _ridge(rows, f"centred {scale}", rows.tempered_mean, scale, np.eye(1 + rows.members)[0])


def may_be_joint(members: int, classes: int, units: int) -> bool:
    """Whether so many units are enough for what a member says of one class to move every class, not that one alone."""
    return members * classes**2 < min(units, MOST_WEIGHTS)


def class_specific(rows: Rows, *, scale: float) -> Fitted:
    """Weights of each class, as departures from the mean of the tempered members, with a ridge on all of them."""
    key, scales = f"class-specific {scale}", (SHARED_SCALE, scale, BIAS_SCALE * scale)
    pool = Classwise(rows.tempered_logs, rows.tempered_mean, rows.y, scales, rows.joint)
    rows.warm[key] = optimum = minimise(pool, rows.warm.get(key))
    slopes, weights, bias = (each.tolist() for each in pool.split(optimum.theta))
    part = linear_part(rows, temperatures=rows.temperatures)
    part |= {"slopes": slopes, "class_slopes": weights, "bias": bias}
    return Fitted(part, bound=optimum.bound)


def _ridge(rows: Rows, key: str, offset: Array, scale: float, before: Array) -> Fitted:
    """Fit a pool of the tempered members whose centre and slopes are ``before`` (1 + M,) where the ridge is strong.

    Where there is a centre, the offset is a feature as well. Slopes are of the logs as they are: a temperature is a
    part of a slope, and no copy of all of them is needed.
    """
    units = np.append(np.ones(int(before[0])), rows.temperatures)
    scales = np.append(scale / units, np.full(rows.classes, BIAS_SCALE * scale))
    family = key.split()[0]
    start = rows.warm.get(key, rows.warm.get(family))
    pool = fit_logit_pool(rows.logs, offset, rows.y, scales**-2.0, start, centred=bool(before[0]))
    rows.warm[key] = rows.warm[family] = pool
    slopes, bias = np.split(pool.theta, [len(units)])
    after = before.copy()
    after[-len(slopes) :] += slopes * units
    part = linear_part(rows, temperatures=rows.temperatures)
    part |= {"centre": float(after[0]), "slopes": after[1:].tolist(), "bias": bias.tolist()}
    return Fitted(part, bound=pool.bound)


def _between_temperatures(rows: Rows, key: str, weights: Array) -> Part:
    mixed = np.tensordot(weights.astype(rows.logs.dtype), rows.few_tempered, 1)
    final = _temperature(rows, f"final {key}", mixed)
    return linear_part(rows, weights, temperatures=rows.temperatures, final=final)


def _temperature(rows: Rows, key: str, mixed: Array) -> float:
    """The temperature of a pool's probabilities (n, C) of the few rows."""
    logs = np.log(np.maximum(mixed, FLOOR))
    rows.warm[key] = found = fit_temperature(logs, rows.y[rows.few], start=rows.warm.get(key, 1.0))
    return found


# Nothing shrinks what picks members outright: the best of thirty on fifty rows is often an accident. What a metric asks
# for beyond good probabilities is the business of `kit.judge.decide`.
CANDIDATES: dict[str, Candidate] = {
    "mean": Candidate(mean, alone=True),
    "mean-temperature": Candidate(mean_temperature),
    "temperature-mean-temperature": Candidate(calibrated_mean, alone=True),
    "best single": Candidate(best_single, prior=0.1),
    "greedy": Candidate(greedy, prior=0.1),
    "convex, prior 1": Candidate(partial(convex, pseudo_rows=1.0)),
    "convex, prior 10": Candidate(partial(convex, pseudo_rows=10.0), like=True),
    "calibrated convex, prior 1": Candidate(partial(convex, pseudo_rows=1.0, calibrated=True)),
    "calibrated convex, prior 10": Candidate(partial(convex, pseudo_rows=10.0, calibrated=True), like=True),
    "log-linear, scale 0.1": Candidate(partial(log_linear, scale=0.1)),
    "log-linear, scale 1": Candidate(partial(log_linear, scale=1.0), like=True),
    "centred, scale 0.03": Candidate(partial(centred, scale=0.03), like=True),
    "centred, scale 0.1": Candidate(partial(centred, scale=0.1)),
    "centred, scale 0.3": Candidate(partial(centred, scale=0.3), alone=True),
    "centred, scale 1": Candidate(partial(centred, scale=1.0), like=True),
    "class-specific, scale 0.03": Candidate(partial(class_specific, scale=0.03), weights=True, like=True),
    "class-specific, scale 0.1": Candidate(partial(class_specific, scale=0.1), weights=True),
    "class-specific, scale 0.3": Candidate(partial(class_specific, scale=0.3), weights=True, like=True),
    "class-specific, scale 1": Candidate(partial(class_specific, scale=1.0), weights=True, like=True),
}


def candidates(members: int, classes: int = 2, *, large: bool = False) -> dict[str, Candidate]:
    """Return the candidates that are tried for numbers of members and classes.

    For a ``large`` set one candidate stands for those that are like it: their priors matter less, their time more.
    """
    return {
        name: row
        for name, row in CANDIDATES.items()
        if (members > 1 or row.alone) and (not row.weights or members * classes <= MOST_WEIGHTS)
        if not (row.like and large)
    }
