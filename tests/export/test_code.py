"""Any module becomes plain code that gives its outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from metanas.core.errors import MetanasError
from metanas.core.plugins import reference, resolve
from metanas.core.space import sample
from metanas.export._code import Code, _exported, _run, _traced, class_text, plain_code


class Gated(nn.Module):
    """Parameters of its own, functions, an argument named like a function of Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.randn(1, 4, 1, 1))
        self.register_buffer("shift", torch.randn(4, 1, 1))
        self.conv = nn.Conv2d(1, 4, 3, padding="same")
        self.head = nn.Linear(4, 3)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        wide = functional.gelu(self.conv(input)) * torch.sigmoid(self.gate) + self.shift
        result: torch.Tensor = self.head(wide.mean(dim=(2, 3)))
        return result


class Branching(nn.Module):
    """What it does depends on the data's size, so it cannot be traced symbolically."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(2)])
        self.head = nn.Linear(64, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        if flat.shape[1] > 10:
            for layer in self.layers:
                flat = torch.relu(layer(flat))
        scores: torch.Tensor = self.head(flat)
        return scores


def attention() -> nn.Module:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            rows = images.flatten(1, 2)
            mixed, _ = self.attention(rows, rows, rows)
            scores: torch.Tensor = self.head(mixed.mean(dim=1))
            return scores

    return Attend()


def twice() -> nn.Module:
    """One layer that is used in two places."""
    layer = nn.Conv2d(1, 1, 3, padding=1)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Flatten(), nn.Linear(64, 3))


def torchvisions() -> nn.Module:
    from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

    return nn.Sequential(
        Conv2dNormActivation(1, 8, 3), SqueezeExcitation(8, 2), nn.Flatten(), nn.Linear(512, 3)
    )


MODULES: tuple[Callable[[], nn.Module], ...] = (Gated, Branching, attention, twice, torchvisions)
BATCH = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", MODULES)
def test_the_code_gives_the_outputs_of_the_module(make: Callable[[], nn.Module]) -> None:
    module = make().eval()
    code = plain_code(module, BATCH)
    other = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(_run(code, other), module(other), atol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "nasbench201"])
@pytest.mark.parametrize("seed", range(5))
def test_built_in_spaces_are_written_as_layers_of_torch(name: str, seed: int) -> None:
    found = resolve(reference("spaces", name))
    space = found() if callable(found) else found
    architecture = sample(space, np.random.default_rng(seed))
    module = space.build(architecture.values, (1, 8, 8), 3).eval()
    code = _traced(module, BATCH)
    assert torch.allclose(_run(code, BATCH), module(BATCH), atol=1e-6)
    assert "nn.Conv2d(" in class_text(code)
    assert not code.imports


def test_a_module_that_branches_is_written_as_operators() -> None:
    module = Branching().eval()
    code = _exported(module, BATCH)
    assert "torch.ops.aten" in class_text(code)
    assert torch.allclose(_run(code, BATCH[:2]), module(BATCH[:2]), atol=1e-6)


def test_weights_have_the_names_of_the_code() -> None:
    code: Code = plain_code(Gated().eval(), BATCH)
    assert set(code.weights) == {
        *("gate", "shift", "conv.weight", "conv.bias", "head.weight", "head.bias")
    }


def test_a_network_that_no_code_can_be_written_for_is_refused() -> None:
    class Random(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.rand(len(images), 3)

    with pytest.raises(MetanasError, match="cannot be written as code: "):
        plain_code(Random().eval(), BATCH)
