"""The estimates that the forecast is compared with in its benchmark are those of their papers."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

spec = spec_from_file_location("shift_peers", Path(__file__).parents[2] / "benchmarks" / "shift_peers.py")
assert spec is not None and spec.loader is not None
peers = module_from_spec(spec)
spec.loader.exec_module(peers)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_atc_gives_back_the_accuracy_it_was_fitted_on(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    proba, y = rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n)
    assert peers.atc(proba, y, proba) == pytest.approx((proba.argmax(1) == y).mean())
    assert np.isinf(peers.atc_threshold(proba, proba.argmax(1)))
    assert peers.difference_of_confidences(proba, y, proba) == pytest.approx((proba.argmax(1) == y).mean())


def test_negative_entropy_is_zero_where_sure_and_least_where_even() -> None:
    found = peers.negative_entropy(np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]]))
    np.testing.assert_allclose(found, [0, -np.log(3)])


def test_agreement_of_two_draws_from_calibrated_probabilities_is_the_expected_accuracy() -> None:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.full(4, 0.3), 40_000)
    drawn = np.array([(proba.cumsum(1) > rng.random((40_000, 1))).argmax(1) for _ in range(3)])
    assert peers.agreement(drawn[:2]) == pytest.approx((drawn[0] == drawn[2]).mean(), abs=0.01)
