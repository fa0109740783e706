"""Median time of a forward pass on the machine and device that evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metanas.core.errors import ConfigError
from metanas.core.objective import Objective
from metanas.measures.latency import latency

if TYPE_CHECKING:
    from torch import nn


def latency_ms(
    *, batch: int = 1, threads: int = 1, device: str = "", resource: str = ""
) -> Objective:
    """The objective `latency_ms`.

    Args:
        batch: Inputs a forward pass.
        threads: Of torch, where a CPU computes.
        device: Where a copy of the network is timed, as torch calls it; "" times the
            network where it is. The machine that evaluates must have it.
        resource: The Ray resource on whose node it is timed; "" where the trial trains.

    Raises:
        ConfigError: If a number is out of range, or torch knows no such device.
    """
    for name, value in (("batch", batch), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"latency_ms.{name} is {value}, expected at least 1")
    if device:
        _check_device(device)

    def measure(module: nn.Module, shape: tuple[int, ...]) -> float:
        found = latency(module, shape, batch=batch, threads=threads, device=device or None)
        return found.median_ms

    return Objective("latency_ms", "ms", "min", measure, resource=resource, scale="log")


def _check_device(name: str) -> None:
    import torch

    try:
        torch.device(name)
    except RuntimeError:
        raise ConfigError(f"latency_ms.device is {name!r}, expected cpu, cuda, ...") from None


OBJECTIVE = latency_ms
