"""Objectives: what a search wants more or less of.

Inside, smaller is better everywhere: `cost` turns any objective into that convention,
and everything that compares trials goes through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metanas.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Measure = Callable[["nn.Module", tuple[int, ...]], float]


@dataclass(frozen=True, slots=True)
class Objective:
    """One quantity that is measured on every trial.

    Args:
        name: The metric's name in every trial.
        unit: What it is counted in; "" for a ratio.
        goal: Whether more ("max") or less ("min") is better.
        measure: ``measure(module, shape)`` for what a module shows without training;
            None for what the estimator reports itself.
        resource: The Ray resource on whose node it is measured; "" where the trial trains.
        scale: "log" where ratios matter rather than differences: twice the operations are
            as much worse at a thousand as at a million. It tells when costs are weighed.
        limit: The most ("min") or least ("max") that is wanted; None for no limit.
    """

    name: str
    unit: str
    goal: Literal["max", "min"]
    measure: Measure | None = None
    resource: str = ""
    scale: Literal["linear", "log"] = "linear"
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.goal not in ("max", "min"):
            raise ConfigError(
                f"goal of objective '{self.name}' is {self.goal!r}, expected max or min"
            )


def cost(objective: Objective, metrics: Mapping[str, float]) -> float:
    """The objective's value in `metrics` as a cost: smaller is better, infinite where absent."""
    value = metrics.get(objective.name)
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if objective.goal == "max" else value


def weighed(objective: Objective, metrics: Mapping[str, float]) -> float:
    """The cost on the objective's scale, to be set against other costs."""
    value = metrics.get(objective.name)
    if objective.scale == "linear" or value is None or not 0 < value < math.inf:
        return cost(objective, metrics)
    return -math.log(value) if objective.goal == "max" else math.log(value)


def excess(objective: Objective, metrics: Mapping[str, float]) -> float:
    """By how much of its size a limit is missed: 0 where it is kept or there is none."""
    if objective.limit is None:
        return 0.0
    bound = -objective.limit if objective.goal == "max" else objective.limit
    return max(0.0, cost(objective, metrics) - bound) / (abs(objective.limit) or 1.0)
