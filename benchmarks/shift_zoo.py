"""Thirty scikit-learn models of different quality, their predictions out of fold, under stress and on shifted tests.

`shift_forecast.py` builds it once and keeps it in ``--cache``. Models differ in what they see of the picture,
in the learner, in the number of training rows and in whether training pictures were corrupted too. Of the thirteen
tests the first is not shifted; four hold the families of `kit.images.corrupt`, four those and foreign ones half and
half, four foreign ones alone: none of which the kit has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, rotate, uniform_filter, zoom
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kit.config import parse
from kit.images.corrupt import SEVERITIES, STANDARD, corrupt
from kit.images.corrupt.plan import Mixture, apply, assign
from kit.images.sources import practice
from kit.stages.clean.clean import clean
from kit.store.data import load_images, load_index
from kit.store.layout import Layout

SIDE, PASSES, TEST, FOLDS = 32, 3, 700, 4
TESTS = tuple(range(13))
# Ten seconds instead of minutes: fewer rows, passes and tests, the sixteen models that are fitted fast.
SMALL_ROWS, SMALL_PASSES, SMALL_TEST, SMALL_TESTS = 900, 2, 450, (0, 2, 4, 6, 8, 10, 12)


def hue(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    turned = np.roll(x, 1 if rng.random() < 0.5 else 2, axis=-1)
    return x + (turned - x) * 0.9 * degree


def gamma(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    return 255 * (x / 255) ** (1 + 2.5 * degree if rng.random() < 0.5 else 1 / (1 + 2.5 * degree))


def vignette(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    y, z = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j] + rng.uniform(-0.5, 0.5, (2, 1, 1))
    return x * np.clip(1 - degree * (y**2 + z**2), 0, 1)[..., None]


def specks(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(x.shape[:2]) < 0.25 * degree
    return np.where(hit[..., None], rng.choice([0, 255], x.shape[:2])[..., None], x)


def turn(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    return rotate(x, rng.choice([-1, 1]) * 35 * degree, (0, 1), reshape=False, order=1, mode="nearest")


def closer(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    cut = int(SIDE * 0.2 * degree)
    inner = x[cut : SIDE - cut, cut : SIDE - cut]
    return zoom(inner, (SIDE / inner.shape[0], SIDE / inner.shape[1], 1), order=1)


def fog(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    cloud = gaussian_filter(rng.standard_normal((SIDE, SIDE)), SIDE / 6)
    cloud = (cloud - cloud.min()) / np.ptp(cloud)
    return x + (235 - x) * degree * 0.8 * cloud[..., None]


def posterize(x: np.ndarray, degree: float, rng: np.random.Generator) -> np.ndarray:
    step = 32 + 80 * degree
    return np.floor(x / step) * step + step / 2


FOREIGN: dict[str, Callable[..., np.ndarray]] = {
    f.__name__: f for f in (hue, gamma, vignette, specks, turn, closer, fog, posterize)
}


@dataclass(frozen=True, eq=False)
class Zoo:
    """Arrays of one data set; M models, N rows, S stressed rows, T tests of R rows, K folds, C classes."""

    names: np.ndarray
    y: np.ndarray
    rows: np.ndarray  # (S,) the row of y behind a stressed picture
    family: np.ndarray
    severity: np.ndarray
    clean: np.ndarray  # (M, N, C)
    stressed: np.ndarray  # (M, S, C)
    truth: np.ndarray  # (T, R)
    tests: np.ndarray  # (T, M, R, C), mean of the folds
    folds: np.ndarray  # (T, M, K, R, C), of each fold
    task: str = "multiclass"


def pictures(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        grey, y = load_digits(return_X_y=True)
        x = (255 - grey.reshape(-1, 8, 8) * 15).astype(np.float32).repeat(4, 1).repeat(4, 2)
        x = gaussian_filter(x, (0, 1.5, 1.5))[..., None] * np.array([1, 0.9, 0.95])
        order = np.random.default_rng(0).permutation(len(y))
        return x.astype(np.uint8)[order], y[order]
    if name == "blood":
        return blood(Path(os.environ["KIT_SHARED"]))
    made = practice.make(n=2100, size=SIDE, seed=5)
    bad = {p.row for p in made.planted if p.kind != "background"}
    keep = np.array([row for row in range(len(made.labels)) if row not in bad])
    keep = np.random.default_rng(0).permutation(keep)
    return made.images[keep], made.labels[keep]


def blood(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """2,100 blood cells, cleaned by the kit, at a third of their side."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, str(data / "blood" / "make_npz.py"), name], check=True, capture_output=True)
        layout, config = Layout(folder), parse('[data]\ntrain = "training_set.npz"')
        clean(layout, config, lambda event: None)
        labels = load_index(layout).labels
        rows = np.random.default_rng(0).permutation(len(labels))[:2100]
        images = np.asarray(load_images(layout)[rows], np.float32)
    thirds = images.reshape(len(rows), SIDE, 3, SIDE, 3, 3).mean((2, 4))
    return thirds.round().astype(np.uint8), labels[rows]


def shifted(x: np.ndarray, test: int) -> np.ndarray:
    rng = np.random.default_rng([77, test])
    if test == 0:
        return x
    own, other = list(rng.permutation(list(STANDARD))[:4]), list(rng.permutation(list(FOREIGN))[:4])
    chosen = own if test <= 4 else own[:2] + other[:2] if test <= 8 else other
    chosen = chosen[: rng.integers(2, 5)] if test <= 4 or test > 8 else chosen
    clean, hardest = rng.uniform(0, 0.25), rng.uniform(0.7, 1)
    out = x.copy()
    for row in np.flatnonzero(rng.random(len(x)) > clean):
        family, degree = rng.choice(chosen), rng.uniform(0.4, hardest)
        if family in FOREIGN:
            pixels = FOREIGN[family](x[row].astype(float), degree, np.random.default_rng([row, test]))
            out[row] = np.clip(pixels, 0, 255)
        else:
            severity = SEVERITIES[min(4, int(degree * 5))]
            out[row] = corrupt(x[row : row + 1], family, severity, np.array([10_000 + row]))[0]
    return out


def small_colour(x: np.ndarray) -> np.ndarray:
    return (x.reshape(len(x), 8, 4, 8, 4, 3).mean((2, 4)) / 255).reshape(len(x), -1)


def small_grey(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), 16, 2, 16, 2, 3).mean((2, 4, 5)).reshape(len(x), -1) / 255


def normed(x: np.ndarray) -> np.ndarray:
    grey = small_grey(x)
    return (grey - grey.mean(1, keepdims=True)) / (grey.std(1, keepdims=True) + 0.02)


def histogram(x: np.ndarray) -> np.ndarray:
    bins = (x // 32).reshape(len(x), -1, 3)
    return np.concatenate([(bins == b).mean(1) for b in range(8)], axis=1)


def gradients(x: np.ndarray) -> np.ndarray:
    grey = x.mean(-1) / 255
    dy, dx = np.gradient(grey, axis=(1, 2))
    size, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    maps = [
        uniform_filter(size * np.clip(np.cos(angle - a), 0, 1), (0, 4, 4))[:, 2::4, 2::4]
        for a in np.arange(8) * np.pi / 4
    ]
    flat = np.stack(maps, -1).reshape(len(x), -1)
    return flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 0.1)


LOOKS = {f.__name__: f for f in (small_colour, small_grey, normed, histogram, gradients)}
LEARNERS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)),
    "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3),
    "trees": lambda: ExtraTreesClassifier(60, min_samples_leaf=2, random_state=0),
    "knn": lambda: KNeighborsClassifier(7, weights="distance"),
    "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier((48,), max_iter=40, random_state=0)),
    "bayes": lambda: make_pipeline(StandardScaler(), GaussianNB(var_smoothing=1e-1)),
}
# (look, learner, share of the training rows, training pictures corrupted too)
MODELS = [
    *[(look, learner, 1.0, False) for look in LOOKS for learner in ("logistic", "lda", "trees", "mlp")],
    *[(look, "logistic", 0.3, True) for look in LOOKS],
    *[(look, "trees", 0.3, True) for look in ("small_colour", "normed", "gradients")],
    ("normed", "knn", 1.0, False), ("gradients", "knn", 1.0, True), ("small_grey", "bayes", 1.0, False),
    ("gradients", "mlp", 1.0, True), ("normed", "mlp", 1.0, True),
]  # fmt: skip


def is_fast(look: str, learner: str, share: float, robust: bool) -> bool:
    textured = look in ("normed", "gradients", "histogram")
    return learner in ("lda", "knn", "bayes") or (
        textured and (learner == "trees" or (robust and learner == "logistic"))
    )


def mislabelled(y: np.ndarray, share: float) -> np.ndarray:
    """Another class, evenly, for this share of the rows."""
    rng, classes = np.random.default_rng(11), int(y.max()) + 1
    return np.where(rng.random(len(y)) < share, (y + rng.integers(1, classes, len(y))) % classes, y)


def build(name: str, small: bool = False, noise: float = 0.0) -> Zoo:
    x, y = pictures(name)
    size, passes, chosen = (SMALL_TEST, SMALL_PASSES, SMALL_TESTS) if small else (TEST, PASSES, TESTS)
    x, y, test_x, test_y = x[:-size], y[:-size], x[-size:], y[-size:]
    x, y = (x[:SMALL_ROWS], y[:SMALL_ROWS]) if small else (x, y)
    y = mislabelled(y, noise)
    models = [model for model in MODELS if not small or is_fast(*model)]
    n, classes = len(y), int(y.max()) + 1
    ids = np.array([f"{i}/{p}" for p in range(passes) for i in range(n)])
    rows = np.tile(np.arange(n), passes)
    stress = Mixture()
    fate = assign(stress, ids, 1)
    hurt = apply(stress, x[rows], ids, 1)
    augmented = apply(Mixture(clean=0.3), x, np.arange(n).astype(str), 99)
    tests = [shifted(test_x, t) for t in chosen]
    parts = [x, hurt, augmented, *tests]
    looks = {look: [f(part) for part in parts] for look, f in LOOKS.items()}
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y))
    m, count = len(models), len(tests)
    zoo = Zoo(
        np.array(["/".join(map(str, model)) for model in models]), y, rows, fate.family, fate.severity,
        np.zeros((m, n, classes), np.float32), np.zeros((m, len(rows), classes), np.float32),
        np.tile(test_y, (count, 1)), np.zeros((count, m, size, classes), np.float32),
        np.zeros((count, m, FOLDS, size, classes), np.float16),
    )  # fmt: skip
    for i, (look, learner, share, robust) in enumerate(models):
        seen, seen_hurt, seen_augmented, *seen_tests = looks[look]
        for k, (train, valid) in enumerate(folds):
            train = train[: int(share * len(train))]
            inputs = np.concatenate([seen[train], seen_augmented[train]]) if robust else seen[train]
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # models of all qualities
                model = clone(LEARNERS[learner]()).fit(inputs, np.tile(y[train], 1 + robust))
            zoo.clean[i, valid] = model.predict_proba(seen[valid])
            held = np.isin(rows, valid)
            zoo.stressed[i, held] = model.predict_proba(seen_hurt[held])
            found = model.predict_proba(np.concatenate(seen_tests)).reshape(count, size, classes)
            zoo.tests[:, i] += found / FOLDS
            zoo.folds[:, i, k] = found
    return zoo


def as_task(zoo: Zoo, task: str, positive: int = 1) -> Zoo:
    """The same pictures and models, asked for something else; what they say follows from their probabilities.

    One of two classes: the first ``positive`` classes against the rest, of which they are the second. Several labels:
    each of four holds for a random half of the classes. Votes: five, each for another class in a fifth
    of the cases. A number: that of the class, and evenly up to a half more or less.
    """
    rng, classes = np.random.default_rng(3), zoo.clean.shape[2]
    holds = np.stack([rng.permutation(classes) < classes / 2 for _ in range(4)], axis=1)
    others = (1 - np.eye(classes)) / (classes - 1)
    second = np.arange(classes) < positive
    mixed = {
        "binary": np.stack([~second, second], axis=1).astype(float),
        "multilabel": holds.astype(float),
        "soft": 0.8 * np.eye(classes) + 0.2 * others,
    }.get(task, np.eye(classes))

    def truth(y: np.ndarray) -> np.ndarray:
        if task == "binary":
            return second[y].astype(np.int64)
        if task == "multilabel":
            return holds[y].astype(np.int64)
        if task == "soft":
            return np.random.default_rng(4).multinomial(5, mixed[y]) / 5
        return y + np.random.default_rng(4).uniform(-0.5, 0.5, y.shape)

    said = {name: np.clip(getattr(zoo, name) @ mixed, 0, 1) for name in ("clean", "stressed", "tests", "folds")}
    return Zoo(**{**zoo.__dict__, **said, "y": truth(zoo.y), "truth": truth(zoo.truth), "task": task})


def load(name: str, cache: Path, small: bool = False, noise: float = 0.0) -> Zoo:
    path = cache / f"{name}{f'-noise{noise:g}' if noise else ''}{'-small' if small else ''}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **build(name, small, noise).__dict__)
    with np.load(path) as data:
        return Zoo(**{**data, "task": "multiclass"})  # a file gives it back as an array
