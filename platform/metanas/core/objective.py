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
    """

    name: str
    unit: str
    goal: Literal["max", "min"]
    measure: Measure | None = None

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
