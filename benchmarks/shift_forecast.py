"""How near the forecast comes to the score of a shifted test; the peers are estimates of the literature.

    python benchmarks/shift_forecast.py --cache cache
    python benchmarks/shift_forecast.py --cache cache --families 8 --company 3
    python benchmarks/shift_forecast.py --cache cache --small --sets practice     (a quarter of a minute)

``--metric`` is any of the ``--task``, or FILE.py:FUNCTION; `expected_cost` and `weighted_nll` have costs of one to nine
and weights of one to five, drawn once. With ``--decide`` each model answers as the kit decides for the metric. The
peers but the scores out of fold are of accuracy alone. ``--families`` keeps
so many of the standard families of `kit.images.corrupt` for the stressed rows, ``--company`` so many of the models
beside one.
For each estimate bias, mean error, rank within a test, and of intervals coverage with its standard error over tests,
and interval score. What no forecast without the test's images can be better than is said too: for every model the one
interval that is best on these very tests, and likewise that of the other tests.
The sets and their tests are those of `shift_zoo.py`; real cells are one where ``KIT_SHARED`` names their folder.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm, spearmanr
from shift_peers import agreement, atc, difference_of_confidences
from shift_zoo import Zoo, as_task, load

from kit.base.tasks import TASKS
from kit.config.own import resolve
from kit.images.corrupt import STANDARD
from kit.images.corrupt.plan import Mixture
from kit.judge import decide
from kit.judge.shift.belief import NONE, Belief, Case, wrong_labels
from kit.judge.shift.consensus import alike, covariance, learn
from kit.judge.shift.evidence import Evidence
from kit.judge.shift.forecast import ACCURACY, Calibration, calibrate, from_mixture, from_test, summarise
from kit.judge.shift.past import explain

KNOWN = "errors elsewhere known"
DRAWS = 20  # of three models whose scores are known


def agreement_on_the_line(accuracy: np.ndarray, oof: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Test accuracy (M,) of M models from their pairwise agreements (Baek et al. 2022, ALine-S).

    The line between the probits of agreement out of fold and on the test is taken for that of the accuracies.

    Parameters
    ----------
    accuracy : (M,)
        Out of fold.
    oof, test : (M, M)
        Pairwise agreement; the diagonal is not read.
    """
    upper = np.triu_indices(len(accuracy), 1)
    x, z = _probit(oof[upper]), _probit(test[upper])
    spread = x.var()
    slope = float(((x - x.mean()) * (z - z.mean())).mean() / spread) if spread > 1e-12 else 1.0
    return norm.cdf(z.mean() + slope * (_probit(accuracy) - x.mean()))


def pairwise_agreement(predicted: np.ndarray) -> np.ndarray:
    """(M, M) share of rows on which models agree; ``predicted`` (M, N)."""
    return np.array([[(a == b).mean() for b in predicted] for a in predicted])


def _probit(share: np.ndarray) -> np.ndarray:
    return norm.ppf(np.clip(share, 1e-3, 1 - 1e-3))


def cott(oof: np.ndarray, y: np.ndarray, test: np.ndarray) -> float:
    """Confidence by optimal transport, with a threshold (Lu et al. 2023, COTT).

    Outputs are matched with as many labels of each class as there are out of fold; the cost that as many rows out of
    fold exceed as are wrong is the threshold.
    """
    threshold = np.quantile(_transport(oof, y), (oof.argmax(1) == y).mean())
    return float((_transport(test, y) <= threshold).mean())


def _transport(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(R,) L1 distances over two of outputs (R, C) and the one-hot labels that they are matched with."""
    shares = np.sort(y)[np.linspace(0, len(y) - 1, len(proba)).round().astype(int)]
    rows, labels = linear_sum_assignment(1 - proba[:, shares])
    return 1 - proba[rows, shares[labels]]


def dispersity(proba: np.ndarray) -> float:
    """Nuclear norm of the outputs (R, C), 1 at most (Deng et al. 2023)."""
    return float(np.linalg.norm(proba.astype(float), "nuc") / np.sqrt(min(proba.shape) * len(proba)))


def mano(proba: np.ndarray) -> float:
    """Matrix norm of order four of the outputs (R, C) (Xie et al. 2024)."""
    return float((proba.astype(float) ** 4).mean() ** 0.25)


def by_line(signal: Callable[[np.ndarray], float], zoo: Zoo, model: int, test: int) -> float:
    """Accuracy from a signal by a line through the clean rows and each family of stressed ones, as its authors do."""
    parts = [zoo.family == family for family in np.unique(zoo.family)]
    seen = [(signal(zoo.clean[model]), (zoo.clean[model].argmax(1) == zoo.y).mean())]
    right = zoo.stressed[model].argmax(1) == zoo.y[zoo.rows]
    seen += [(signal(zoo.stressed[model, part]), right[part].mean()) for part in parts]
    x, accuracy = np.array(seen).T
    slope, constant = np.polyfit(x, accuracy, 1)
    return float(np.clip(constant + slope * signal(zoo.tests[test, model]), 0, 1))


def defined(metric: str, classes: int) -> str:
    """The name of a metric, by which the kit knows one that a competition defines too."""
    rng = np.random.default_rng(6)
    costs = rng.integers(1, 10, (classes, classes)) * (1 - np.eye(classes))
    own = {"metric": metric, "costs": costs.tolist(), "weights": rng.integers(1, 6, classes).tolist()}
    resolve({"competition": own}, Path())
    return str(own["metric"])


def rules(zoo: Zoo, metric: str) -> tuple:
    """What each model answers for the metric, fitted to its probabilities of the held-out rows."""
    return tuple(decide.best(metric, proba, zoo.task == "multilabel") for proba in zoo.clean)


def evidence_of(
    zoo: Zoo, test: int | None, families: tuple[str, ...], metric: str = ACCURACY, decisions: tuple = ()
) -> Evidence:
    keep = np.isin(zoo.family, [*families, "clean"])
    return Evidence(
        tuple(map(str, zoo.names)), zoo.y, zoo.clean, zoo.rows[keep], zoo.family[keep], zoo.severity[keep],
        zoo.stressed[:, keep], None if test is None else zoo.tests[test], None if test is None else zoo.folds[test],
        zoo.folds.shape[2], metric, decisions, TASKS[zoo.task], tuple(map(str, range(zoo.clean.shape[2]))),
    )  # fmt: skip


def only(zoo: Zoo, models: np.ndarray) -> Zoo:
    values = dict(zoo.__dict__)
    for name, axis in {"names": 0, "clean": 0, "stressed": 0, "tests": 1, "folds": 1}.items():
        values[name] = np.take(values[name], models, axis=axis)
    return Zoo(**values)


def rows_of(found: tuple, truth: np.ndarray, skip: tuple[int, ...] = ()) -> list[tuple[float, float, float, float]]:
    """(forecast, truth, low, high) of every model but those whose score was given."""
    return [(f.value, truth[i], f.low, f.high) for i, f in enumerate(found) if i not in skip]


def interval_score(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The width, and twenty times by how far an interval of 90 % misses (Gneiting and Raftery 2007)."""
    return high - low + 20 * (np.maximum(low - truth, 0) + np.maximum(truth - high, 0))


def constants(scores: np.ndarray) -> list[tuple[float, float, float]]:
    """Of every model the median of its scores (T, M), and the two between which an interval has the best score."""
    found = []
    for own in scores.T:
        low, high = np.array([(low, high) for low in own for high in own if low <= high]).T
        best = int(interval_score(low[:, None], high[:, None], own).mean(1).argmin())
        found.append((float(np.median(own)), low[best], high[best]))
    return found


def print_line(name: str, tests: list[list[tuple[float, float, float, float]]]) -> None:
    every = np.array([row for test in tests for row in test], float)
    rank = np.mean([spearmanr(np.array(test)[:, 0], np.array(test)[:, 1])[0] for test in tests])
    off, (low, high) = every[:, 0] - every[:, 1], every[:, 2:].T
    held = ""
    if not np.isnan(low).all():
        # Models err together, and so do draws of scores of one test: only tests say something new.
        inside = np.array([np.mean([one[2] <= one[1] <= one[3] for one in test]) for test in tests])
        inside = inside.reshape(-1, DRAWS if len(tests) > DRAWS else 1).mean(1)
        holds = f"{100 * np.mean(inside):5.1f} +- {100 * np.std(inside) / np.sqrt(len(inside)):3.1f} % of {len(every)}"
        held = f"   90 % interval holds {holds}, score {100 * interval_score(low, high, every[:, 1]).mean():5.1f}"
    print(f"  {name:42s} bias {100 * off.mean():+6.2f}   error {100 * np.abs(off).mean():5.2f}   rank {rank:.3f}{held}")


def peers(zoo: Zoo, clean: np.ndarray, stressed: np.ndarray, test: int) -> dict[str, np.ndarray]:
    models = range(len(zoo.names))
    before, after = zoo.clean.argmax(2), zoo.tests[test].argmax(2)
    return {
        "clean out of fold": clean,
        "stressed out of fold": stressed,
        "thresholded confidence (ATC)": np.array([atc(zoo.clean[i], zoo.y, zoo.tests[test, i]) for i in models]),
        "difference of confidences": np.array(
            [difference_of_confidences(zoo.clean[i], zoo.y, zoo.tests[test, i]) for i in models]
        ),
        "optimal transport (COTT)": np.array([cott(zoo.clean[i], zoo.y, zoo.tests[test, i]) for i in models]),
        "matrix norm (MaNo)": np.array([by_line(mano, zoo, i, test) for i in models]),
        "confidence dispersity": np.array([by_line(dispersity, zoo, i, test) for i in models]),
        "agreement of folds (GDE)": np.array([agreement(zoo.folds[test, i].argmax(-1)) for i in models]),
        "agreement on the line": agreement_on_the_line(clean, pairwise_agreement(before), pairwise_agreement(after)),
    }


def past_only(zoo: Zoo, cells: np.ndarray, shares: np.ndarray, truth: np.ndarray, chosen: np.ndarray) -> list:
    size = zoo.truth.shape[1]
    errors = np.sqrt(truth[chosen] * (1 - truth[chosen]) / size) + 0.005
    found = explain(cells[chosen], truth[chosen], errors, shares, 3.0)
    value = cells @ np.array(found.weights)
    return [(value[i], truth[i], np.nan, np.nan) for i in range(len(truth)) if i not in chosen]


def knowing_others(calibration: Calibration, beliefs: list[Belief], scores: np.ndarray, test: int) -> Belief:
    """What could be believed if the forecast's errors on the other shifted tests were known: a bound for 3 scores."""
    others = [other for other in range(1, len(beliefs)) if other != test]
    errors = np.column_stack([calibration.errors, *(beliefs[other].cases[0].mean - scores[other] for other in others)])
    size = len(calibration.before[0])
    lucks = np.stack([*calibration.lucks, *(beliefs[other].rows / size for other in others)])
    own = beliefs[test]
    spread = covariance(errors, lucks, alike(own.rows), calibration.evidence.unit)
    return Belief((Case(1.0, own.cases[0].mean, spread),), own.rows)


def report(zoo: Zoo, families: tuple[str, ...], metric: str, decisions: tuple = ()) -> None:
    size, mixture = zoo.truth.shape[1], Mixture(families)
    blind = evidence_of(zoo, None, families, metric, decisions)
    clean = blind.clean_values.mean(1)
    scores = np.stack([blind.values(*pair).mean(1) for pair in zip(zoo.truth, zoo.tests, strict=True)])
    cells, calibration, classes = blind.cells(mixture), calibrate(blind), blind.clean.shape[2]
    noise = NONE
    plain = metric == ACCURACY and zoo.task == "multiclass"
    if plain:
        noise = wrong_labels(learn(blind.clean, blind.y).posterior(blind.clean), blind.y)
    prior = from_mixture(blind, mixture).cleared(noise, classes)
    pairs = zip(zoo.tests, zoo.folds, strict=True)
    beliefs = [from_test(calibration, *pair).cleared(noise, classes) for pair in pairs]
    print(f"  wrong labels: {100 * noise.share:.2f} % +- {100 * noise.error:.2f}")
    lines: dict[str, list] = {}
    still = None
    for test, belief in enumerate(beliefs):
        evidence, truth = evidence_of(zoo, test, families, metric, decisions), scores[test]
        bare = summarise(evidence, belief, size, {}, 0.9)
        if test == 0:
            still = (bare, truth)
            continue
        stressed = blind.stressed_values.mean(1)
        simple = {"clean out of fold": clean, "stressed out of fold": stressed}
        for name, value in (peers(zoo, clean, stressed, test) if plain else simple).items():
            lines.setdefault(name, []).append([(v, t, np.nan, np.nan) for v, t in zip(value, truth, strict=True)])
        lines.setdefault("forecast, mixture alone", []).append(rows_of(summarise(blind, prior, size, {}, 0.9), truth))
        lines.setdefault("forecast, test pictures", []).append(rows_of(bare, truth))
        told = knowing_others(calibration, beliefs, scores, test)
        for draw in range(DRAWS):
            chosen = np.random.default_rng([test, draw]).permutation(len(truth))[:3]
            past = {evidence.names[i]: float(truth[i]) for i in chosen}
            kinds = (("mixture", blind, prior), ("test pictures", evidence, belief), (KNOWN, evidence, told))
            for name, e, b in kinds:
                found = rows_of(summarise(e, b, size, past, 0.9), truth, tuple(chosen))
                lines.setdefault(f"forecast, {name} + 3 scores", []).append(found)
            if plain:
                found = past_only(zoo, cells, mixture.shares, truth, chosen)
                lines.setdefault("mixture fitted to 3 scores (NNLS)", []).append(found)
    moved = scores[1:]
    for name, left in (("these", np.zeros(len(moved), bool)), ("the other", np.eye(len(moved), dtype=bool))):
        told = [constants(moved[~out]) for out in np.broadcast_to(left, (len(moved), len(moved)))]
        pairs = (zip(said, truth, strict=True) for said, truth in zip(told, moved, strict=True))
        lines[f"best for each model on {name} tests"] = [[(v, t, a, b) for (v, a, b), t in pair] for pair in pairs]
    for name, tests in lines.items():
        print_line(name, tests)
    if plain:
        targets(lines, clean, still)


def targets(lines: dict[str, list], clean: np.ndarray, still: tuple) -> None:
    pairs = np.array(lines["forecast, test pictures"])
    off = np.abs(clean - pairs[:, :, 1])
    far = off >= 0.12
    error = np.abs(pairs[:, :, 0] - pairs[:, :, 1])
    moved = np.abs(np.array([found.value for found in still[0]]) - clean)
    print(
        f"  clean off by 12 points or more in {far.sum()} of {far.size} cases, there by {100 * off[far].mean():.1f}: "
        f"forecast {100 * error[far].mean():.2f} (target 4)\n"
        f"  no shift: forecast less clean out of fold {100 * moved.mean():.2f} in the mean, {100 * moved.max():.2f} at "
        f"most (target 1); the score itself differs by {100 * np.abs(clean - still[1]).mean():.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--families", type=int, default=len(STANDARD))
    parser.add_argument("--company", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--noise", type=float, default=0.0, help="share of wrong labels in the training set")
    parser.add_argument("--metric", default=ACCURACY)
    parser.add_argument("--decide", action="store_true", help="answers decided for the metric")
    parser.add_argument("--positive", type=int, default=1, help="classes that are the second one of --task binary")
    parser.add_argument(
        "--task", choices=["multiclass", "binary", "multilabel", "soft", "regression"], default="multiclass"
    )
    given = ["blood"] if "KIT_SHARED" in os.environ else []
    parser.add_argument("--sets", nargs="+", default=["digits", "practice", *given])
    options = parser.parse_args()
    if "blood" in options.sets and not given:
        parser.error("blood needs KIT_SHARED, the folder of the data")
    print(machine())
    families = tuple(np.random.default_rng(0).permutation(list(STANDARD))[: options.families].tolist())
    for name in options.sets:
        zoo = load(name, options.cache, options.small, options.noise)
        zoo = zoo if options.task == "multiclass" else as_task(zoo, options.task, options.positive)
        if options.company:
            zoo = only(zoo, np.random.default_rng(1).permutation(len(zoo.names))[: options.company + 1])
        print(
            f"{name}: {len(zoo.names)} models, {len(zoo.tests) - 1} shifted tests, stressed by {len(families)} families"
        )
        metric = defined(options.metric, zoo.clean.shape[2])
        report(zoo, families, metric, rules(zoo, metric) if options.decide else ())


if __name__ == "__main__":
    main()
