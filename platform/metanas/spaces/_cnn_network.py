"""The layers of the `cnn` space."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

LARGEST_SIDE = 48
"""The stem brings larger images down to this, by a stride that is a power of two."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class _Layers:
    """Makes the layers that all blocks share."""

    def __init__(self, norm: str, activation: str) -> None:
        self.norm_name = norm
        self.activation = ACTIVATIONS[activation]

    def norm(self, width: int) -> nn.Module:
        if self.norm_name == "batch":
            return nn.BatchNorm2d(width)
        return nn.GroupNorm(4, width)

    def conv(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> nn.Sequential:
        padding = kernel // 2
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            self.norm(outputs),
        )

    def separable(self, width: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(
            self.conv(width, width, kernel, groups=width),
            self.activation(),
            self.conv(width, width, 1),
        )


class Residual(nn.Module):
    """Adds a branch to its input and activates the sum; shape is kept."""

    def __init__(self, branch: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``activation(inputs + branch(inputs))``."""
        result: torch.Tensor = self.activation(inputs + self.branch(inputs))
        return result


def _block(kind: str, width: int, kernel: int, layers: _Layers) -> nn.Module:
    if kind == "plain":
        return nn.Sequential(layers.conv(width, width, kernel), layers.activation())
    if kind == "separable":
        return Residual(layers.separable(width, kernel), layers.activation())
    branch = nn.Sequential(
        layers.conv(width, width, kernel), layers.activation(), layers.conv(width, width, kernel)
    )
    return Residual(branch, layers.activation())


def _reduction(pool: str, inputs: int, outputs: int, kernel: int, layers: _Layers) -> nn.Sequential:
    """Halves height and width, rounding up: ``[b, inputs, h, w]`` to ``[b, outputs, h/2, w/2]``."""
    pools: dict[str, nn.Module] = {
        "max": nn.MaxPool2d(2, ceil_mode=True),
        "average": nn.AvgPool2d(2, ceil_mode=True),
    }
    if pool == "stride":
        return nn.Sequential(layers.conv(inputs, outputs, kernel, stride=2), layers.activation())
    return nn.Sequential(pools[pool], layers.conv(inputs, outputs, kernel), layers.activation())


class ConvNet(nn.Module):
    """Maps images ``[batch, *shape]`` to ``[batch, outputs]``.

    Args:
        shape: Channels, height and width of an image.
        outputs: Classes.
        kernels: Kernel size of each stage.
        depth: Blocks a stage.
        width: Channels of the first stage.
        growth: Factor on the channels from one stage to the next.
        block, pool, norm, activation: As the space names them.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        *,
        kernels: Sequence[int],
        depth: int,
        width: int,
        growth: float,
        block: str,
        pool: str,
        norm: str,
        activation: str,
    ) -> None:
        super().__init__()
        layers = _Layers(norm, activation)
        widths = [4 * round(width * growth**stage / 4) for stage in range(len(kernels))]
        stride = 2 ** max(0, math.ceil(math.log2(max(shape[1:]) / LARGEST_SIDE)))
        self.stem = nn.Sequential(
            layers.conv(shape[0], widths[0], 2 * stride + 1 if stride > 1 else 3, stride=stride),
            layers.activation(),
        )
        stages: list[nn.Module] = []
        for stage, kernel in enumerate(kernels):
            before = widths[max(0, stage - 1)]
            stages.append(_reduction(pool, before, widths[stage], kernel, layers))
            stages += [_block(block, widths[stage], kernel, layers) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(widths[-1], outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores."""
        features = self.stages(self.stem(images)).mean(dim=(2, 3))
        scores: torch.Tensor = self.classifier(features)
        return scores
