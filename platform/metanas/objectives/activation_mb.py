"""Peak memory of the activations of one forward pass of one input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metanas.core.objective import Objective
from metanas.measures.activations import activation_bytes

if TYPE_CHECKING:
    from torch import nn


def _measure(module: nn.Module, shape: tuple[int, ...]) -> float:
    return activation_bytes(module, shape) / 1e6


OBJECTIVE = Objective("activation_mb", "MB", "min", _measure, scale="log")
