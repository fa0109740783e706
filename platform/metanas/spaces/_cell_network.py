"""The network around a cell: stem, three stages with residual reductions between, head.

Source: Dong and Yang 2020, "NAS-Bench-201", figure 1 and section 2. Convolutions are
ReLU-Conv-BN.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from metanas.spaces import _cells


def _relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


def _operation(name: str, channels: int) -> nn.Module:
    if name == "nor_conv_1x1":
        return _relu_conv_bn(channels, channels, 1)
    if name == "nor_conv_3x3":
        return _relu_conv_bn(channels, channels, 3)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    if name == _cells.SKIP:
        return nn.Identity()
    raise ValueError(name)


class Cell(nn.Module):
    """Maps ``[batch, channels, height, width]`` to the same shape; only live edges are built."""

    def __init__(self, operations: Sequence[str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                name: _operation(operation, channels)
                for name, operation, lives in zip(
                    _cells.NAMES, operations, _cells.alive(operations), strict=True
                )
                if lives
            }
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The sum at the last node; zeros where no path reaches it."""
        nodes: list[torch.Tensor | None] = [inputs, None, None, None]
        for name, (source, target) in zip(_cells.NAMES, _cells.EDGES, strict=True):
            before = nodes[source]
            if name not in self.edges or before is None:
                continue
            brought = self.edges[name](before)
            held = nodes[target]
            nodes[target] = brought if held is None else held + brought
        last = nodes[-1]
        return torch.zeros_like(inputs) if last is None else last


class Reduction(nn.Module):
    """A residual block that halves height and width: ``[b, c, h, w]`` to ``[b, d, h/2, w/2]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _relu_conv_bn(inputs, outputs, 3, stride=2), _relu_conv_bn(outputs, outputs, 3)
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The sum of both branches."""
        result: torch.Tensor = self.main(inputs) + self.shortcut(inputs)
        return result


class CellNetwork(nn.Module):
    """Maps images ``[batch, *shape]`` to ``[batch, outputs]``.

    Args:
        operations: Of the cell, in the order of its edges.
        shape: Channels, height and width of an image.
        outputs: Classes.
        channels: Of the first stage.
        cells: A stage.
    """

    def __init__(
        self,
        operations: Sequence[str],
        shape: tuple[int, ...],
        outputs: int,
        channels: int,
        cells: int,
    ) -> None:
        super().__init__()
        widths = (channels, 2 * channels, 4 * channels)
        self.stem = nn.Sequential(
            nn.Conv2d(shape[0], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        stages: list[nn.Module] = []
        for number, width in enumerate(widths):
            if number:
                stages.append(Reduction(widths[number - 1], width))
            stages += [Cell(operations, width) for _ in range(cells)]
        self.stages = nn.Sequential(*stages)
        self.last = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(widths[-1], outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores."""
        features = self.last(self.stages(self.stem(images)))
        scores: torch.Tensor = self.classifier(features.flatten(1))
        return scores
