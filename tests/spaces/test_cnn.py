from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metanas.core.space import check, neighbours, sample
from metanas.spaces.cnn import SPACE

BASE: dict[str, Any] = {
    "stages": 2,
    "depth": 1,
    "width": 8,
    "growth": 1.0,
    "kernel_1": 3,
    "kernel_2": 3,
    "kernel_3": 3,
    "kernel_4": 3,
    "block": "plain",
    "pool": "max",
    "norm": "batch",
    "activation": "relu",
}


def params(shape: tuple[int, ...] = (1, 8, 8), **changed: Any) -> int:
    module = SPACE.build(check(SPACE, {**BASE, **changed}).values, shape, 10)
    return sum(parameter.numel() for parameter in module.parameters())


def test_kernels_of_stages_that_are_not_there_change_nothing() -> None:
    shallow = check(SPACE, BASE)
    assert shallow.id == check(SPACE, {**BASE, "kernel_3": 5, "kernel_4": 5}).id
    assert shallow.id != check(SPACE, {**BASE, "kernel_2": 5}).id
    deep = {**BASE, "stages": 4}
    assert check(SPACE, deep).id != check(SPACE, {**deep, "kernel_4": 5}).id


def test_parameters_are_as_counted_by_hand() -> None:
    # The stem and, in both stages, a reduction and a block: convolution and norm each.
    stem = 1 * 8 * 9 + 2 * 8
    convolution = 8 * 8 * 9 + 2 * 8
    assert params() == stem + 4 * convolution + 8 * 10 + 10
    assert params(depth=2) == params() + 2 * convolution
    assert params(stages=3) == params() + 2 * convolution
    assert params(block="residual") == params() + 2 * convolution
    separable = (8 * 9 + 16) + (8 * 8 + 16)
    assert params(block="separable") == params() - 2 * convolution + 2 * separable
    assert params(kernel_2=5) == params() + 2 * 8 * 8 * 16


@pytest.mark.parametrize("changed", [{"norm": "group"}, {"pool": "stride"}, {"activation": "silu"}])
def test_layers_that_learn_as_much_have_as_many_parameters(changed: dict[str, Any]) -> None:
    assert params(**changed) == params()


def test_channels_grow_from_stage_to_stage() -> None:
    module = SPACE.build({**BASE, "stages": 3, "growth": 2.0}, (1, 8, 8), 10)
    (head,) = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert head.in_features == 32


def test_large_images_cost_little_more_than_ones_of_half_the_side() -> None:
    seen: list[tuple[int, ...]] = []
    module = SPACE.build(BASE, (3, 192, 96), 10).eval()
    first = next(layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d))
    first.register_forward_hook(lambda layer, inputs, outputs: seen.append(tuple(outputs.shape)))
    module(torch.zeros(1, 3, 192, 96))
    assert seen == [(1, 8, 48, 24)]


def test_every_neighbour_of_a_member_that_differs_in_id_differs_in_its_network() -> None:
    parent = sample(SPACE, np.random.default_rng(1))
    text = str(SPACE.build(parent.values, (1, 8, 8), 3))
    for other in neighbours(parent):
        same = str(SPACE.build(other.values, (1, 8, 8), 3)) == text
        assert same == (other.id == parent.id), other.values
