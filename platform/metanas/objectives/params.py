"""Number of trainable parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metanas.core.objective import Objective
from metanas.measures.params import params

if TYPE_CHECKING:
    from torch import nn


def _measure(module: nn.Module, shape: tuple[int, ...]) -> float:
    return float(params(module))


OBJECTIVE = Objective("params", "parameters", "min", _measure, scale="log")
