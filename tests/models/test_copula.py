from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata

from metanas.models.copula import normal_scores


def test_scores_are_the_quantiles_of_the_ranks() -> None:
    values = np.array([3.0, -1.0, 3.0, 8.0, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(normal_scores(values), ndtri((rankdata(values) - 0.5) / 7))


def test_scores_do_not_depend_on_the_unit() -> None:
    values = np.random.default_rng(0).normal(size=30)
    np.testing.assert_array_equal(normal_scores(values), normal_scores(np.exp(5 * values)))
    assert normal_scores(values).mean() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_equal_values_have_the_score_of_the_middle(count: int) -> None:
    np.testing.assert_allclose(normal_scores([2.0] * count), np.zeros(count), atol=1e-12)
