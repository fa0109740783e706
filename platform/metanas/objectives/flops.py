"""Floating-point operations of one forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metanas.core.objective import Objective
from metanas.measures.flops import flops

if TYPE_CHECKING:
    from torch import nn


def _measure(module: nn.Module, shape: tuple[int, ...]) -> float:
    return float(flops(module, shape))


OBJECTIVE = Objective("flops", "operations", "min", _measure, scale="log")
