"""The laws of an objective."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from metanas.core.objective import Objective, cost
from metanas.testing._require import require

if TYPE_CHECKING:
    from torch import nn


def check_objective(
    objective: Objective, module: nn.Module | None = None, shape: tuple[int, ...] = (1, 8, 8)
) -> None:
    """Check that an objective can be compared, and that measuring leaves a module as it was.

    Args:
        objective: To check.
        module: To measure; a small convolutional network without it.
        shape: Of one input of `module`.

    Raises:
        AssertionError: If a law is broken.
    """
    name = objective.name
    require(name.isidentifier(), f"objective name {name!r} is no identifier")
    better, worse = (2.0, 1.0) if objective.goal == "max" else (1.0, 2.0)
    require(
        cost(objective, {name: better}) < cost(objective, {name: worse}),
        f"objective '{name}': its goal is {objective.goal}, but {better} costs more than {worse}",
    )
    if objective.measure is not None:
        _check_measure(objective, _small(shape) if module is None else module, shape)


def _check_measure(objective: Objective, module: nn.Module, shape: tuple[int, ...]) -> None:
    import torch

    assert objective.measure is not None
    for training in (True, False):
        module.train(training)
        before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
        value = objective.measure(module, shape)
        require(
            isinstance(value, float) and math.isfinite(value),
            f"objective '{objective.name}' measures {value!r}, expected a finite float",
        )
        after = module.state_dict()
        changed = [key for key in before if not torch.equal(before[key], after[key])]
        require(not changed, f"measuring '{objective.name}' changed {changed} of the module")
        require(
            module.training == training,
            f"measuring '{objective.name}' left the module with training={module.training}",
        )
        kept = [key for key, parameter in module.named_parameters() if parameter.grad is not None]
        require(not kept, f"measuring '{objective.name}' left gradients in {kept}")


def _small(shape: tuple[int, ...]) -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
