"""How much arithmetic a forward pass takes, counted by torch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def flops(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Floating-point operations of one input ``[1, *shape]`` in evaluation mode.

    A multiplication and an addition count as two; convolutions and matrix products are
    counted, element-wise work is not (`torch.utils.flop_counter`).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    training = module.training
    module.eval()
    first = next(module.parameters(), None)
    device = first.device if first is not None else torch.device("cpu")
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            module(torch.zeros(1, *shape, device=device))
    finally:
        module.train(training)
    return int(counter.get_total_flops())
