"""Metrics that a competition defines itself: a function in a file, costs of answers, weights of classes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle

from kit.config import load, parse
from kit.errors import ConfigError, DataError
from kit.judge import decide, score

FILE = """
import numpy as np

def macro(truth, said):
    if truth.ndim == 1:
        truth, said = (values[:, None] == np.arange(3) for values in (truth, said))
    hits, total = (truth * said).sum(axis=0), truth.sum(axis=0) + said.sum(axis=0)
    return (2 * hits / total).mean()

def loss(truth, said):
    return -np.log(said[np.arange(len(truth)), truth]).mean()

loss.needs, loss.greater_is_better = "probabilities", False

def off(truth, said):
    return -abs(truth - said).mean()

def broken(truth, said):
    return truth.missing

def empty(truth, said):
    return float("nan")

def nothing(truth, said):
    print("what is printed is no table")

def leaves(truth, said):
    raise SystemExit("enough")

def area(truth, said):
    assert len(set(truth)) == said.shape[1], "a class is missing"
    return float((truth == said.argmax(axis=1)).mean())

area.needs = "probabilities"

def odd(truth, said):
    return 0.0

odd.needs = "images"
"""
COSTS = [[0, 1, 1], [5, 0, 1], [1, 2, 0]]


def named(folder: Path, metric: str, more: str = "", task: str = "multiclass") -> str:
    """The name of a metric of ``kit.toml`` in this folder."""
    (folder / "mine.py").write_text(FILE)
    text = f'[competition]\nmetric = "{metric}"\ntask = "{task}"\n{more}\n[data]\ntrain = "practice"\n'
    (folder / "kit.toml").write_text(text)
    return load(folder / "kit.toml").competition.metric


def draw(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.7] * 3, rows)
    return np.array([rng.choice(3, p=row) for row in proba]), proba


@pytest.mark.parametrize(("mine", "ours"), [("macro", "macro_f1"), ("loss", "nll")])
def test_a_function_of_the_user_scores_and_is_bootstrapped_as_the_same_metric_of_the_kit(
    tmp_path: Path, mine: str, ours: str
) -> None:
    (y, proba), name = draw(), named(tmp_path, f"mine.py:{mine}")
    groups = np.arange(len(y)) // 3
    assert score.lookup(name).sign == score.lookup(ours).sign
    for more in ({}, {"groups": groups}):
        found, known = (score.interval(metric, y, proba, seed=0, **more) for metric in (name, ours))
        assert found.score == pytest.approx(known.score)
        assert found.se == pytest.approx(known.se, rel=0.15)
        assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=known.se / 2)
    errors = [score.standard_errors(metric, y, proba[None], proba[:, ::-1])[0] for metric in (name, ours)]
    assert errors[0] == pytest.approx(errors[1], rel=0.25)


@pytest.mark.parametrize("mine", ["macro", "loss"])
def test_copies_of_a_row_say_no_more_of_a_function_than_the_row(tmp_path: Path, mine: str) -> None:
    rng = np.random.default_rng(0)
    y, others = rng.integers(3, size=300), rng.dirichlet(np.ones(3), (2, 300))
    proba = (others + np.eye(3)[y]) / 2
    name, group = named(tmp_path, f"mine.py:{mine}"), np.repeat(np.arange(300), 4)
    alone = score.scores_and_errors(name, y, proba, others[0])
    again = score.scores_and_errors(name, y.repeat(4), proba.repeat(4, axis=1), others[0].repeat(4, axis=0), group)
    assert np.allclose(alone, again)


def test_a_function_is_given_answers_labels_or_numbers_as_the_task_has_them(tmp_path: Path) -> None:
    y, proba = draw()
    name = named(tmp_path, "mine.py:macro")
    assert score.score(name, y, proba.argmax(axis=1)) == score.score(name, y, proba)
    labels, said = np.eye(3, dtype=int)[y], proba * 0.9
    name = named(tmp_path, "mine.py:macro", task="multilabel")
    assert score.score(name, labels, said) == score.score("macro_f1", labels, said)
    assert decide.fit(name, labels, said, y).decision == {"kind": "thresholds", "thresholds": [0.5] * 3}
    numbers = proba[:, 0]
    name = named(tmp_path, "mine.py:off", task="regression")
    assert score.score(name, numbers, proba[:, 1]) == pytest.approx(-score.score("mae", numbers, proba[:, 1]))


def test_the_name_of_a_function_says_what_the_file_contains(tmp_path: Path) -> None:
    before = named(tmp_path, "mine.py:macro")
    assert before == named(tmp_path, "mine.py:macro") and before.startswith("mine.py:macro-")
    (tmp_path / "mine.py").write_text(FILE.replace("(2 * hits / total).mean()", "2 * hits.sum() / total.sum()"))
    after, (y, proba) = load(tmp_path / "kit.toml").competition.metric, draw()
    assert after != before
    assert score.score(after, y, proba) == pytest.approx(score.score("micro_f1", y, proba))
    assert score.score(before, y, proba) == pytest.approx(score.score("macro_f1", y, proba))


@pytest.mark.parametrize(
    ("metric", "more", "said", "hint"),
    [
        ("none.py:score", "", "cannot read .*none.py: No such file", "ls -l .*"),
        ("mine.py:macros", "", "has no function 'macros'", "did you mean `macro`"),
        ("mine.py:odd", "", "odd.needs = 'images'", 'odd.needs, odd.greater_is_better = "labels", True'),
        ("expected_cost", "", "needs costs", r"\[competition\] costs = \[\[0, 1\], \[1, 0\]\]"),
        ("expected_cost", "costs = [[0, 1], [1]]", "needs costs", r"\[competition\] costs"),
        ("expected_cost", 'costs = "costs.csv"', "cannot read .*costs.csv", "ls -l .*"),
        ("weighted_nll", "weights = [1, -1, 1]", "at least 0", r"\[competition\] weights = \[1, 1, 1\]"),
        ("mine.py:broken", "", "fails with AttributeError", "sed -n 19p .*mine.py"),
        ("mine.py:leaves", "", "fails with SystemExit: enough", "sed -n 28p .*mine.py"),
        ("mine.py:empty", "", "returned nan, which is no finite number", "cat .*mine.py"),
        ("mine.py:nothing", "", "returned None, which is no finite number", "cat .*mine.py"),
        ("expected_cost", "costs = [[0, 1], [1, 0]]", "of 2 classes, but there are 3", r"= \[\[0, 1, 1\], .*"),
        ("weighted_nll", "weights = [1, 1]", "of 2 classes, but there are 3", r"weights = \[1, 1, 1\]"),
    ],
)
def test_what_is_wrong_with_a_metric_of_the_users_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, more: str, said: str, hint: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=said) as caught:
        score.score(named(tmp_path, metric, more), *draw())
    assert re.search(hint, caught.value.hint)
    assert not capsys.readouterr().out


def test_files_beside_it_that_a_metric_imports_belong_to_it(tmp_path: Path) -> None:
    lines = ["import json, first_part", "def score(truth, said):", "    return first_part.value()"]
    (tmp_path / "whole.py").write_text("\n".join(lines))
    (tmp_path / "first_part.py").write_text("from second_part import value")
    (tmp_path / "second_part.py").write_text("import first_part\ndef value():\n    return 0.5")
    name = named(tmp_path, "whole.py:score")
    assert score.score(name, *draw()) == 0.5
    (tmp_path / "other.py").write_text("what nobody imports")
    assert named(tmp_path, "whole.py:score") == name
    (tmp_path / "second_part.py").write_text("import first_part\ndef value():\n    return 0.25")
    assert named(tmp_path, "whole.py:score") != name


@pytest.mark.parametrize(("content", "line"), [("1 / 0", 1), ("import sys\nsys.exit(3)", 2), ("a = 1\nb =", 2)])
def test_a_file_that_fails_is_refused_with_its_line(tmp_path: Path, content: str, line: int) -> None:
    (tmp_path / "bad.py").write_text(content)
    with pytest.raises(ConfigError, match=r"bad\.py fails with") as caught:
        named(tmp_path, "bad.py:score")
    assert caught.value.hint.startswith(f"sed -n {line}p ")


def test_a_task_that_a_function_is_not_for_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    for task, function, needs in (("soft", "macro", "probabilities"), ("regression", "loss", "labels")):
        with pytest.raises(ConfigError, match=f"is not one of task '{task}'.* with needs = \"{needs}\""):
            named(tmp_path, f"mine.py:{function}", task=task)


def test_resamples_that_a_function_has_no_score_of_are_left_out(tmp_path: Path) -> None:
    (y, proba), name = draw(), named(tmp_path, "mine.py:area")
    y[2:][y[2:] == 0], y[:2] = 1, 0  # of two rows one resample in seven has none
    found, known = (score.interval(metric, y, proba, seed=0) for metric in (name, "accuracy"))
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=known.se / 2)
    errors = [score.standard_errors(metric, y, proba[None], proba[:, ::-1])[0] for metric in (name, "accuracy")]
    assert errors[0] == pytest.approx(errors[1], rel=0.25)
    y[:], y[:2] = 1, (0, 2)  # three resamples in five lack one of these rows
    with pytest.raises(DataError, match=r"no score of .*% of resamples"):
        score.interval(name, y, proba, seed=0)


def test_the_least_expected_cost_is_answered_and_scored(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("\n".join(",".join(map(str, line)) for line in COSTS))
    name, (y, proba) = named(tmp_path, "expected_cost", f"costs = {COSTS}"), draw(2000)
    assert named(tmp_path, "expected_cost", 'costs = "costs.csv"') == name
    found = decide.fit(name, y, proba, np.arange(len(y)) % 4)
    answers = decide.apply(found.decision, proba)
    assert (answers == (proba @ np.array(COSTS)).argmin(axis=1)).all()
    assert score.score(name, y, answers) == pytest.approx(np.array(COSTS)[y, answers].mean())
    assert found.kept and found.gain > 2 * found.se
    assert found.gain == pytest.approx(score.score(name, y, proba) - score.score(name, y, answers))


def test_costs_that_the_probabilities_do_not_bear_out_leave_the_most_probable_class(tmp_path: Path) -> None:
    name, (y, proba) = named(tmp_path, "expected_cost", f"costs = {COSTS}"), draw(2000)
    sharp = np.exp(0.2 * np.log(proba))  # certain in truth, doubtful in what it says
    found = decide.fit(name, proba.argmax(axis=1), sharp / sharp.sum(axis=1, keepdims=True), np.arange(len(y)) % 4)
    assert found.decision is None and not found.kept


def test_a_weighted_log_loss_is_that_of_scikit_learn_by_class_and_by_column(tmp_path: Path) -> None:
    name, (y, proba) = named(tmp_path, "weighted_nll", "weights = [1, 2, 6]"), draw()
    weights = np.array([1, 2, 6])
    assert score.score(name, y, proba) == pytest.approx(oracle.log_loss(y, proba, sample_weight=weights[y]))
    labels = np.eye(3, dtype=int)[y]
    each = [oracle.log_loss(labels[:, c], proba[:, c]) for c in range(3)]
    assert score.score(name, labels, proba) == pytest.approx(np.average(each, weights=weights))
    rng = np.random.default_rng(1)
    picks = rng.integers(len(y), size=(500, len(y)))
    brute = np.std([score.score(name, y[rows], proba[rows]) for rows in picks])
    assert score.interval(name, y, proba, seed=0).se == pytest.approx(brute, rel=0.15)


def test_a_metric_of_the_kit_keeps_its_name_and_unknown_ones_are_refused() -> None:
    assert parse('[competition]\nmetric = "qwk"\n[data]\ntrain = "practice"').competition.metric == "qwk"
    with pytest.raises(ConfigError, match="Input should be 'accuracy'"):
        parse('[competition]\nmetric = "mine"\n[data]\ntrain = "practice"')


def test_numbers_that_are_rounded_otherwise_in_another_batch_are_accepted_and_other_ones_are_not() -> None:
    from kit.platforms.sandbox_runner import check_accepted

    class Rounded:
        """Answers that depend on the size of the batch by this share."""

        def __init__(self, share: float) -> None:
            self.share = share

        def predict(self, images: np.ndarray) -> np.ndarray:
            means = np.asarray(images, float).mean(axis=(1, 2, 3))
            return means * (1 + self.share * len(images))

    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3)).astype(np.uint8)
    assert "an odd count" in check_accepted(Rounded(1e-7), images, Rounded(1e-7).predict(images))
    with pytest.raises(AssertionError, match="other answers"):
        check_accepted(Rounded(1e-3), images, Rounded(1e-3).predict(images))
