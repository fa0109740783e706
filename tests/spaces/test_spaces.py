"""Every space that is found keeps the laws; what is particular to the built-in ones."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from metanas.core.errors import ConfigError, SpaceError
from metanas.core.plugins import listing, reference, resolve
from metanas.core.space import Architecture, Choice, Space, check, mutate, sample
from metanas.measures.params import params
from metanas.spaces.cnn import SPACE as CNN
from metanas.spaces.nasbench201 import nasbench201
from metanas.spaces.transnas_micro import transnas_micro
from metanas.testing import check_space


def found(name: str) -> Space:
    space = resolve(reference("spaces", name))
    return space if isinstance(space, Space) else space()


@pytest.mark.parametrize("name", [s.name for s in listing("spaces") if s.name != "table"])
def test_a_space_keeps_the_laws(name: str) -> None:
    check_space(found(name))


@pytest.mark.parametrize("name", ["cnn", "nasbench201", "transnas_micro"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (3, 97, 64), (1, 1, 1)])
def test_any_image_size_works(name: str, shape: tuple[int, ...]) -> None:
    space = found(name)
    for number in range(3):
        architecture = sample(space, np.random.default_rng([5, number]))
        module = space.build(architecture.values, shape, 4)
        assert module(torch.zeros(2, *shape)).shape == (2, 4)


def test_nasbench201_has_the_papers_size_at_its_settings() -> None:
    # The benchmark's own count for this cell on CIFAR-10: 1.531546 million parameters.
    space = nasbench201(channels=16, cells=5)
    values = dict.fromkeys(("e01", "e02", "e12", "e03", "e13", "e23"), "nor_conv_3x3")
    module = space.build(values, (3, 32, 32), 10)
    assert params(module) == 1_531_546


def test_transnas_micro_has_4096_cells_and_1011_networks() -> None:
    space = transnas_micro()
    cells = product(*(choice.options for choice in space.choices))
    names = [choice.name for choice in space.choices]
    ids = {Architecture(space, dict(zip(names, cell, strict=True))).id for cell in cells}
    assert (space.size, len(ids)) == (4_096, 1_011)


def test_a_skeleton_without_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nasbench201\.channels is 0, expected at least 1"):
        nasbench201(channels=0)


def test_kernels_of_absent_stages_make_no_other_network() -> None:
    values = dict(sample(CNN, np.random.default_rng(0)).values) | {"stages": 2}
    small, large = (check(CNN, values | {"kernel_4": kernel}) for kernel in (3, 5))
    assert small != large
    assert small.id == large.id
    rng = np.random.default_rng(1)
    assert all(mutate(small, rng).id != small.id for _ in range(50))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"a": 1}, "lacks choice 'b'"),
        ({"a": 1, "b": "x", "c": 0}, "has a choice 'c' that space 'tiny' lacks"),
        ({"a": 4, "b": "x"}, r"choice 'a' of architecture .* is 4, expected one of \(1, 2\)"),
        ({"a": True, "b": "x"}, "is True, expected one of"),
        ({"a": 2, "b": "y"}, "does not allow"),
    ],
)
def test_values_that_are_no_member_are_refused(values: dict[str, object], reason: str) -> None:
    choices = (Choice("a", (1, 2)), Choice("b", ("x", "y")))
    space = Space("tiny", choices, lambda *_: None, allowed=lambda v: v != {"a": 2, "b": "y"})
    with pytest.raises(SpaceError, match=reason):
        check(space, values)  # type: ignore[arg-type]


def test_only_allowed_combinations_are_ever_drawn() -> None:
    choices = (Choice("a", tuple(range(10))), Choice("b", tuple(range(10))))
    space = Space("even", choices, lambda *_: None, allowed=lambda v: (v["a"] + v["b"]) % 7 == 0)
    rng = np.random.default_rng(0)
    drawn: list[Architecture] = [sample(space, rng) for _ in range(50)]
    drawn += [mutate(architecture, rng) for architecture in drawn]
    assert all((a.values["a"] + a.values["b"]) % 7 == 0 for a in drawn)
