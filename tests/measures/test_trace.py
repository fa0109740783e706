from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metanas.core.space import Space, check, sample
from metanas.measures.flops import flops
from metanas.measures.params import params
from metanas.measures.trace import INPUT, Node, Window, trace
from metanas.spaces.cnn import SPACE as CNN
from metanas.spaces.nasbench201 import nasbench201

SHAPE = (1, 8, 8)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv(4, 4), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.branch(images)


class Branches(nn.Module):
    """Concatenates two convolutions of one input, by way of all that is to be passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv(1, 2), conv(1, 3, 5)
        self.drop, self.same = nn.Dropout(0.5), nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.drop(self.left(images)), self.same(self.right(images))], dim=1)
        first, second = both.chunk(2, dim=-1)
        return torch.mul(first, second).contiguous().view(images.size(0), -1)


class Undecided(nn.Module):
    """Takes one way or the other by what it sees, which symbols cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(1, 2), conv(1, 2, 1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(2 * 2 * 2, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.first(images) if images.sum() > 1 else self.second(images)
        return self.head(self.pool(self.pool(features)))


def edges(nodes: tuple[Node, ...]) -> dict[str, list[str]]:
    """Each operation that occurs once, with the operations it takes from."""
    named = {node.name: node for node in nodes}
    return {node.operation: [named[name].operation for name in node.inputs] for node in nodes}


def example(space: Space, seed: int) -> nn.Module:
    return space.build(sample(space, np.random.default_rng(seed)).values, SHAPE, 10)


@pytest.mark.parametrize("space", [CNN, nasbench201()], ids=lambda space: space.name)
@pytest.mark.parametrize("seed", [0, 4])
def test_parameters_and_operations_add_up_to_the_networks(space: Space, seed: int) -> None:
    module = example(space, seed)
    nodes = trace(module, SHAPE)
    assert sum(node.params for node in nodes) == params(module)
    assert sum(node.flops for node in nodes) == flops(module, SHAPE)
    assert nodes[-1].shape == (10,)


@pytest.mark.parametrize("space", [CNN, nasbench201()], ids=lambda space: space.name)
def test_every_node_comes_after_those_it_takes_from(space: Space) -> None:
    nodes = trace(example(space, 1), SHAPE)
    seen: set[str] = set()
    for node in nodes:
        assert set(node.inputs) <= seen
        assert node.name not in seen
        assert bool(node.inputs) == (node.operation != INPUT)
        seen.add(node.name)


def test_a_cell_shows_its_edges_and_their_sums() -> None:
    space = nasbench201()
    values = dict.fromkeys(("e01", "e02", "e12"), "none") | {
        "e03": "nor_conv_3x3",
        "e13": "none",
        "e23": "none",
    }
    plain = trace(space.build(check(space, values).values, SHAPE, 10), SHAPE)
    values |= {"e02": "avg_pool_3x3", "e23": "skip_connect"}
    summed = trace(space.build(check(space, values).values, SHAPE, 10), SHAPE)
    assert count(summed, "AvgPool2d") - count(plain, "AvgPool2d") == 3
    assert count(summed, "add") - count(plain, "add") == 3
    assert count(summed, "Identity") == 0


def count(nodes: tuple[Node, ...], operation: str) -> int:
    return sum(node.operation == operation for node in nodes)


def test_a_residual_block_adds_its_input() -> None:
    nodes = trace(Residual(), (4, 8, 8))
    assert edges(nodes)["add"] == [INPUT, "ReLU"]
    assert [node.shape for node in nodes] == [(4, 8, 8)] * len(nodes)


def test_a_concatenation_takes_from_both_and_what_computes_nothing_is_passed_over() -> None:
    nodes = trace(Branches(), SHAPE)
    assert [node.operation for node in nodes] == [
        *(INPUT, "Conv2d", "Conv2d", "cat", "chunk", "mul", "view")
    ]
    found = edges(nodes)
    assert found["cat"] == ["Conv2d", "Conv2d"]
    assert found["mul"] == ["chunk"]
    assert found["view"] == ["mul"]
    assert nodes[3].shape == (5, 8, 8)


def test_a_module_that_symbols_cannot_follow_is_a_chain_of_the_layers_that_ran() -> None:
    nodes = trace(Undecided(), SHAPE)
    operations = [INPUT, "Conv2d", "MaxPool2d", "MaxPool2d", "Flatten", "Linear"]
    assert [node.operation for node in nodes] == operations
    assert [node.inputs for node in nodes[1:]] == [(node.name,) for node in nodes[:-1]]
    assert len({node.name for node in nodes}) == len(nodes)
    assert nodes[1].label == "conv 1x1, 2"
    assert nodes[1].flops == 2 * 2 * 8 * 8
    assert nodes[-1].shape == (10,)


def test_layers_within_a_layer_of_a_chain_are_counted_once() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.layer(rows) if rows.sum() < 1 else rows

    module = Attending()
    nodes = trace(module, (4, 8))
    assert [node.operation for node in nodes] == [INPUT, "TransformerEncoderLayer"]
    assert nodes[1].params == params(module)


@pytest.mark.parametrize("kind", [Residual, Undecided])
def test_tracing_leaves_the_module_as_it_was(kind: type[nn.Module]) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.seen = kind(), []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.seen.append(images)
            return self.inner(images)

    module = Counting().train()
    module.inner.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trace(module, (4, 8, 8) if kind is Residual else SHAPE)
    assert module.training
    assert not module.inner.training
    assert module.seen == []
    assert all(not layer._forward_hooks for layer in module.modules())
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())


def test_what_is_shared_or_frozen_is_counted_as_everywhere_else() -> None:
    layer = nn.Linear(4, 4)
    layer.bias.requires_grad_(False)
    nodes = trace(nn.Sequential(layer, nn.ReLU(), layer), (4,))
    assert [node.params for node in nodes] == [0, 16, 0, 0]
    assert nodes[1].name != nodes[3].name


def test_a_parameter_outside_of_layers_counts_where_it_is_used() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.relu(rows * self.scale)

    assert [(n.operation, n.params) for n in trace(Scaled(), (3,))] == [
        *((INPUT, 0), ("mul", 3), ("relu", 0))
    ]


def test_a_network_that_fails_on_zeros_raises_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        trace(conv(3, 4), SHAPE)


LABELS: list[tuple[nn.Module, tuple[int, ...], str]] = [
    (nn.Conv2d(4, 16, 3, stride=2), (4, 8, 8), "conv 3x3 /2, 16"),
    (nn.Conv2d(4, 8, (3, 1), stride=(2, 1)), (4, 8, 8), "conv 3x1 /2x1, 8"),
    (nn.Conv2d(4, 4, 5, groups=4), (4, 8, 8), "depthwise 5x5, 4"),
    (nn.Conv2d(4, 8, 3, groups=2, dilation=2), (4, 8, 8), "conv 3x3, 8, dilated 2x2, 2 groups"),
    (nn.ConvTranspose2d(4, 2, 2, stride=2), (4, 8, 8), "transposed conv 2x2 /2, 2"),
    (nn.Conv1d(4, 2, 3), (4, 8), "conv 3, 2"),
    (nn.MaxPool1d(2), (4, 8), "max pool 2 /2"),
    (nn.AvgPool2d(3, stride=1), (4, 8, 8), "average pool 3x3"),
    (nn.AdaptiveAvgPool2d(1), (4, 8, 8), "global average pool"),
    (nn.AdaptiveMaxPool2d((2, 3)), (4, 8, 8), "max pool to 2x3"),
    (nn.Linear(8, 5), (8,), "linear, 5"),
    (nn.GroupNorm(2, 4), (4, 8, 8), "group norm"),
    (nn.LayerNorm(8), (8,), "layer norm"),
    (nn.SiLU(), (4,), "silu"),
]


@pytest.mark.parametrize(("layer", "shape", "label"), LABELS, ids=[row[2] for row in LABELS])
def test_a_label_says_what_matters(layer: Any, shape: tuple[int, ...], label: str) -> None:
    assert trace(nn.Sequential(layer), shape)[-1].label == label


def test_convolutions_and_pools_tell_their_windows() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 4, (3, 5), stride=2, padding=1, dilation=(1, 2)),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
    )
    _, first, second, pool, last = trace(module, (1, 16, 16))
    assert first.window == Window((3, 5), (2, 2), (1, 2), 1)
    assert second.window == Window((3, 3), (1, 1), (1, 1), 4)
    assert pool.window == Window((2, 2), (2, 2), (1, 1))
    assert last.window is None
    assert [node.window for node in trace(Undecided(), SHAPE)][1:3] == [
        Window((1, 1), (1, 1), (1, 1)),
        Window((2, 2), (2, 2), (1, 1)),
    ]


def test_of_a_disposable_module_no_copy_is_made_and_the_graph_is_the_same() -> None:
    module = example(CNN, 3)
    kept = trace(module, SHAPE)
    assert module.training
    assert trace(module, SHAPE, disposable=True) == kept
    assert trace(Undecided(), SHAPE, disposable=True) == trace(Undecided(), SHAPE)
