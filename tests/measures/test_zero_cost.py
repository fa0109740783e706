"""Zero-cost scores against what can be computed by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from metanas.core.space import Space, sample
from metanas.measures.zero_cost import SCORES, grad_norm, jacov, nwot, snip, synflow, zero_cost
from metanas.spaces.cnn import SPACE as CNN
from metanas.spaces.nasbench201 import nasbench201
from metanas.spaces.transnas_micro import transnas_micro

SHAPE = (3, 8, 8)


def batch(rows: int = 8, shape: tuple[int, ...] = SHAPE) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, *shape, generator=generator), torch.arange(rows) % 4


def scored(module: nn.Module, rows: int = 8, seed: int = 0) -> dict[str, float]:
    return zero_cost(module, *batch(rows), F.cross_entropy, seed=seed)


def example(space: Space, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return space.build(sample(space, np.random.default_rng(seed)).values, SHAPE, 4)


def linear(*weights: list[list[float]]) -> nn.Sequential:
    """Linear layers without biases, with these weights."""
    layers = []
    for weight in weights:
        layer = nn.Linear(len(weight[0]), len(weight), bias=False)
        layer.weight.data = torch.tensor(weight)
        layers.append(layer)
    return nn.Sequential(*layers)


# -- each by hand ----------------------------------------------------------------


def test_synflow_of_two_linear_layers_is_twice_the_sum_over_paths() -> None:
    # With absolute weights and an input of ones every path adds the product of its weights,
    # and each layer's weights hold the whole flow once: 2 x (1 x 2 + 1 x 3) x (5 + 7).
    module = linear([[-1.0, 1.0], [2.0, -3.0]], [[5.0, -7.0]])
    paths = (1 + 1) * 5 + (2 + 3) * 7
    assert synflow(module, (2,)) == pytest.approx(math.log(2 * paths))


def test_synflow_does_without_normalisation_and_biases_do_not_count() -> None:
    module = linear([[-1.0, 1.0], [2.0, -3.0]], [[5.0, -7.0]])
    norm = nn.BatchNorm1d(2)
    norm.weight.data.fill_(9.0)
    normed = nn.Sequential(module[0], norm, nn.LayerNorm(2), nn.ReLU(), norm, module[1])
    assert synflow(normed, (2,)) == pytest.approx(synflow(module, (2,)))


def test_synflow_of_a_network_through_which_nothing_flows_has_no_value() -> None:
    dead = linear([[0.0, 0.0]], [[1.0], [1.0]])
    assert synflow(dead, (2,)) == -math.inf
    inputs, targets = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    assert math.isnan(zero_cost(dead, inputs, targets, F.cross_entropy)["synflow"])


def test_nwot_of_known_codes() -> None:
    # Units see x and -x: the rows 1 and 2 have the codes 10, the row -1 has 01.
    module = nn.Sequential(linear([[1.0], [-1.0]]), nn.ReLU(), linear([[1.0, 1.0], [1.0, 0.0]]))
    two = torch.tensor([[1.0], [-1.0]])
    found = zero_cost(module, two, torch.tensor([0, 1]), F.cross_entropy)
    assert found["nwot"] == pytest.approx(math.log(2 * 2 - 0 * 0))
    alike = torch.tensor([[1.0], [2.0]])
    assert math.isnan(zero_cost(module, alike, torch.tensor([0, 1]), F.cross_entropy)["nwot"])


def test_nwot_is_the_log_determinant() -> None:
    kernel = torch.tensor([[5.0, 2.0, 1.0], [2.0, 5.0, 3.0], [1.0, 3.0, 5.0]])
    assert nwot(kernel) == pytest.approx(math.log(np.linalg.det(kernel.numpy())), rel=1e-5)


def test_snip_and_grad_norm_of_one_layer_by_hand() -> None:
    weight, inputs = [[0.5, -1.0]], torch.tensor([[2.0, 3.0], [4.0, 1.0]])
    targets = torch.tensor([1.0, 0.0])

    def squares(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return ((outputs[:, 0] - wanted) ** 2).sum()

    # Outputs -2 and 1, errors -3 and 1: the gradient is 2 (-3 (2, 3) + (4, 1)) = (-4, -16).
    found = zero_cost(linear(weight), inputs, targets, squares)
    assert found["snip"] == pytest.approx(0.5 * 4 + 1.0 * 16)
    assert found["grad_norm"] == pytest.approx(math.hypot(4, 16))


def test_snip_and_grad_norm_add_up_over_layers() -> None:
    weights = [torch.tensor([1.0, -2.0]), torch.tensor([3.0])]
    gradients = [torch.tensor([3.0, 4.0]), torch.tensor([-2.0])]
    assert snip(weights, gradients) == 3 + 8 + 6
    assert grad_norm(gradients) == 5 + 2


def test_jacov_of_uncorrelated_and_of_equal_gradients() -> None:
    uncorrelated = torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    k = 1e-5
    assert jacov(uncorrelated) == pytest.approx(-2 * (math.log(1 + k) + 1 / (1 + k)))
    equal = torch.tensor([[1.0, -1.0], [2.0, -2.0]])
    expected = -(math.log(2 + k) + 1 / (2 + k) + math.log(k) + 1 / k)
    assert jacov(equal) == pytest.approx(expected, rel=1e-6)


def test_jacov_agrees_with_numpys_correlations() -> None:
    jacobian = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    values = np.linalg.eigvalsh(np.corrcoef(jacobian.double().numpy())) + 1e-5
    assert jacov(jacobian) == pytest.approx(-float(np.sum(np.log(values) + 1 / values)))


def test_jacov_of_a_constant_gradient_has_no_value() -> None:
    assert math.isnan(jacov(torch.ones(3, 5)))


# -- networks of spaces ----------------------------------------------------------


@pytest.mark.parametrize("space", [CNN, nasbench201(), transnas_micro()], ids=lambda s: s.name)
def test_networks_of_every_space_have_all_scores(space: Space) -> None:
    found = scored(example(space, 2))
    assert tuple(found) == SCORES
    assert all(math.isfinite(score) for score in found.values())


def test_the_same_network_scores_the_same_whatever_was_drawn_before() -> None:
    module = nn.Sequential(example(nasbench201()), nn.Dropout(0.5))
    first = scored(module)
    torch.rand(17)
    assert scored(module) == first
    assert scored(module, seed=1)["snip"] != first["snip"]


def test_the_network_and_torchs_state_are_left_as_they_were() -> None:
    module = example(nasbench201()).eval()
    module.classifier.weight.grad = torch.ones_like(module.classifier.weight)
    before, state = copy.deepcopy(module.state_dict()), torch.random.get_rng_state()
    inputs, targets = batch()
    kept = inputs.clone()
    with torch.no_grad():
        zero_cost(module, inputs, targets, F.cross_entropy)
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert not any(part.training for part in module.modules())
    assert bool((module.classifier.weight.grad == 1).all())
    assert all(p.grad is None for n, p in module.named_parameters() if n != "classifier.weight")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(inputs, kept)
    assert not inputs.requires_grad


def test_batch_norm_takes_the_moments_of_the_batch() -> None:
    module = example(nasbench201(), 2)
    moved = copy.deepcopy(module)
    for part in moved.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.fill_(100.0)
            part.running_var.fill_(1e-4)
    assert scored(moved) == scored(module)


def test_activations_count_whether_layers_or_functions_call_them() -> None:
    class Called(nn.Module):
        def __init__(self, first: nn.Module, second: nn.Module) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.second(F.gelu(torch.relu(self.first(images.flatten(1)))))

    first, second = nn.Linear(192, 32), nn.Linear(32, 4)
    layers = nn.Sequential(nn.Flatten(), first, nn.ReLU(inplace=True), nn.GELU(), second)
    assert scored(layers) == scored(Called(first, second))


def test_a_network_whose_output_hangs_on_nothing_scores_nan_or_zero() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(192, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.zeros_like(images).flatten(1))

    found = scored(Constant())
    assert math.isnan(found["nwot"])
    assert math.isnan(found["jacov"])
    assert found["snip"] == 0
