from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch import nn

from metanas.measures.activations import activation_bytes
from metanas.objectives.activation_mb import OBJECTIVE

FLOAT = 4


def peak(*moments: list[int]) -> int:
    """Bytes of the worst of several moments, each the numbers of floats that are held."""
    return FLOAT * max(sum(moment) for moment in moments)


def conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def test_a_chain_holds_its_input_and_two_layers() -> None:
    module = nn.Sequential(conv(1, 4), nn.ReLU(), conv(4, 8), nn.Flatten(), nn.Linear(8 * 64, 10))
    given, first, rectified, second, scores = 64, 4 * 64, 4 * 64, 8 * 64, 10
    assert activation_bytes(module, (1, 8, 8)) == peak(
        [given],
        [given, first],
        [given, first, rectified],
        [given, rectified, second],
        [given, second, scores],
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_peak_of_a_chain_is_at_its_two_widest_neighbours(seed: int) -> None:
    draw = random.Random(seed)
    widths = [draw.randint(1, 40) for _ in range(8)]
    module = nn.Sequential(*map(nn.Linear, widths, widths[1:]))
    moments = [[widths[0], widths[1]]]
    moments += [[widths[0], *pair] for pair in itertools.pairwise(widths[1:])]
    assert activation_bytes(module, (widths[0],)) == peak(*moments)


class Block(nn.Module):
    """``inputs + second(relu(first(inputs)))``, after a layer that brings the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = conv(1, width)
        self.first = conv(width, 3 * width)
        self.second = conv(3 * width, width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inputs = self.stem(images)
        wide = self.first(inputs)
        wide = torch.relu(wide)
        narrow = self.second(wide)
        del wide
        return inputs + narrow


def test_a_residual_block_holds_its_input_through_the_branch() -> None:
    given, narrow, wide = 64, 2 * 64, 6 * 64
    assert activation_bytes(Block(2), (1, 8, 8)) == peak(
        [given],
        [given, narrow],
        [given, narrow, wide],
        [given, narrow, wide, wide],
        [given, narrow, wide, narrow],
        [given, narrow, narrow, narrow],
    )


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv(1, width) for width in (1, 2, 5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(images) for branch in self.branches], dim=1)


def test_a_concatenation_holds_its_parts_and_the_whole() -> None:
    parts = [64, 2 * 64, 5 * 64]
    assert activation_bytes(Branches(), (1, 8, 8)) == peak([64, *parts, sum(parts)])


def test_depth_costs_nothing_where_nothing_is_kept() -> None:
    def chain(depth: int) -> nn.Module:
        return nn.Sequential(*(nn.Linear(16, 16) for _ in range(depth)))

    assert activation_bytes(chain(3), (16,)) == activation_bytes(chain(30), (16,)) == peak([16] * 3)


class Hoarder(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kept = [images + number for number in range(self.depth)]
        return kept[-1]


def test_what_is_kept_counts() -> None:
    assert activation_bytes(Hoarder(7), (16,)) == peak([16] * 8)


class InPlace(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        doubled = images * 2
        doubled += 1
        torch.relu_(doubled)
        parts = doubled.view(4, 4).t().chunk(2)
        return parts[0][1:]


def test_views_and_operations_in_place_take_nothing() -> None:
    assert activation_bytes(InPlace(), (16,)) == peak([16, 16])


class Slice(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = (images * 2)[..., :1]
        second = (images * 3)[..., :1]
        return first + second


def test_a_view_of_a_part_holds_the_whole() -> None:
    assert activation_bytes(Slice(), (16,)) == peak([16, 16, 16, 1])


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000, 16))
        self.register_buffer("table", torch.ones(1000, 16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images @ self.weight[:2].t() + self.table[5:6, :2]


def test_parameters_and_buffers_and_views_of_them_do_not_count() -> None:
    assert activation_bytes(Weighted(), (16,)) == peak([16, 2, 2])


class Half(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(torch.float16)


def test_bytes_are_counted_and_not_numbers() -> None:
    assert activation_bytes(Half(), (16,)) == 16 * 4 + 16 * 2


def test_the_objective_gives_megabytes() -> None:
    assert OBJECTIVE.measure is not None
    assert OBJECTIVE.measure(nn.Identity(), (250, 1000)) == 1.0


def test_measuring_leaves_the_modes_of_all_parts_as_they_were() -> None:
    module = nn.Sequential(conv(1, 2), nn.BatchNorm2d(2), nn.Dropout())
    module[1].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    activation_bytes(module, (1, 8, 8))
    assert [part.training for part in module] == [True, False, True]
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_evaluation_mode_is_measured() -> None:
    # In training mode dropout gives a new tensor and holds a mask; in evaluation mode neither.
    module = nn.Sequential(nn.Linear(16, 16), nn.Dropout(), nn.Dropout()).train()
    assert activation_bytes(module, (16,)) == peak([16, 16])


def test_a_module_that_fails_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(16, 16), nn.Linear(3, 3)).train()
    with pytest.raises(RuntimeError):
        activation_bytes(module, (16,))
    assert all(part.training for part in module)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_holds_the_same() -> None:
    for module in (Block(2), Branches()):
        here = activation_bytes(module, (1, 8, 8))
        assert activation_bytes(module.to("cuda"), (1, 8, 8)) == here
