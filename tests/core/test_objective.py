from __future__ import annotations

import math

import pytest

from metanas.core.errors import ConfigError
from metanas.core.objective import Objective, cost

ACCURACY = Objective("accuracy", "", "max")
PARAMS = Objective("params", "parameters", "min")


def test_smaller_is_better_whatever_the_goal() -> None:
    assert cost(ACCURACY, {"accuracy": 0.9}) < cost(ACCURACY, {"accuracy": 0.8})
    assert cost(PARAMS, {"params": 10}) < cost(PARAMS, {"params": 11})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_costs_infinitely_much(value: float) -> None:
    assert cost(ACCURACY, {"accuracy": value}) == math.inf
    assert cost(PARAMS, {"params": value}) == math.inf


def test_what_was_not_measured_costs_infinitely_much() -> None:
    assert cost(ACCURACY, {"loss": 1.0}) == math.inf


def test_a_goal_is_max_or_min() -> None:
    with pytest.raises(ConfigError, match="goal of objective 'x' is 'up', expected max or min"):
        Objective("x", "", "up")  # type: ignore[arg-type]
