from __future__ import annotations

import torch
from torch import nn

from metanas.measures.flops import flops
from metanas.measures.params import params


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.Flatten(),
        nn.Linear(8 * 16, 10),
    )


def test_parameters_are_as_counted_by_hand() -> None:
    assert params(layers()) == 3 * 8 * 9 + 2 * 8 + (8 * 25 + 8) + (128 * 10 + 10)


def test_what_is_frozen_is_not_counted() -> None:
    module = layers()
    module[0].weight.requires_grad_(False)
    assert params(module) == params(layers()) - 3 * 8 * 9


def test_a_shared_parameter_counts_once() -> None:
    layer = nn.Linear(4, 4)
    assert params(nn.Sequential(layer, layer)) == 20


def test_flops_are_as_counted_by_hand() -> None:
    # 8x8 images become 4x4; a multiplication and an addition are two.
    strided, depthwise, linear = 16 * 8 * 3 * 9, 16 * 8 * 25, 128 * 10
    assert flops(layers(), (3, 8, 8)) == 2 * (strided + depthwise + linear)


def test_flops_grow_with_the_image_and_parameters_do_not() -> None:
    module = nn.Conv2d(1, 4, 3, padding=1)
    assert flops(module, (1, 16, 16)) == 4 * flops(module, (1, 8, 8))


def test_counting_leaves_the_module_as_it_was() -> None:
    module = layers().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    flops(module, (3, 8, 8))
    assert module.training
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())


def test_a_module_without_parameters_can_be_counted() -> None:
    assert params(nn.Flatten()) == 0
    assert flops(nn.Flatten(), (1, 8, 8)) == 0
