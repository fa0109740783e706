"""The laws of a search space."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from metanas.core.errors import SpaceError
from metanas.core.space import Architecture, Space, check, encode, mutate, neighbours, sample
from metanas.testing._require import require

SAMPLES = 20
"""Architectures that are drawn and checked."""
BUILT = 3
"""How many of them are built and run."""
BATCH = 2


def check_space(space: Space, shape: tuple[int, ...] = (1, 8, 8), outputs: int = 3) -> None:
    """Check what every strategy and estimator relies on.

    Samples, mutants and neighbours are members; a mutant differs in one choice where it
    can, a neighbour in exactly one; values survive JSON; equal values and equal canonical
    forms have equal ids; one-hot rows sum to the number of choices; a build maps
    ``[batch, *shape]`` to ``[batch, outputs]``.

    Args:
        space: To check.
        shape: Of an input, without the batch.
        outputs: That a network must give.

    Raises:
        AssertionError: If a law is broken.
    """
    rng = np.random.default_rng(0)
    drawn = [sample(space, rng) for _ in range(SAMPLES)]
    for architecture in drawn:
        _check_member(architecture, "a sample")
        _check_json(architecture)
        _check_id(architecture)
        _check_edits(architecture, rng)
    _check_encoding(space, drawn)
    for architecture in drawn[:BUILT]:
        _check_build(architecture, shape, outputs)


def _check_member(architecture: Architecture, what: str) -> None:
    try:
        check(architecture.space, architecture.values)
    except SpaceError as error:
        raise AssertionError(f"{what} is no member of its space: {error}") from error


def _check_json(architecture: Architecture) -> None:
    read = json.loads(json.dumps(dict(architecture.values)))
    back = check(architecture.space, read)
    require(back == architecture, f"values {read} are another architecture after JSON")
    require(back.id == architecture.id, f"values {read} have another id after JSON")


def _check_id(architecture: Architecture) -> None:
    space = architecture.space
    shuffled = dict(reversed(list(architecture.values.items())))
    again = Architecture(space, shuffled)
    require(again.id == architecture.id, f"the id of {shuffled} depends on the order of its names")
    if space.canonical is None:
        return
    first, second = space.canonical(architecture.values), space.canonical(architecture.values)
    require(
        json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True),
        f"two canonical forms of {architecture.values} differ",
    )


def _differing(left: Architecture, right: Architecture) -> list[str]:
    return [
        name
        for name, a, b in zip(left.values, left.key, right.key, strict=True)
        if type(a) is not type(b) or a != b
    ]


def _check_edits(architecture: Architecture, rng: np.random.Generator) -> None:
    near = neighbours(architecture)
    for other in near:
        _check_member(other, "a neighbour")
        names = _differing(architecture, other)
        require(len(names) == 1, f"a neighbour differs in choices {names}, expected exactly one")
        same_form = _form(architecture) == _form(other)
        require(
            same_form == (architecture.id == other.id),
            f"ids and canonical forms disagree on {architecture.values} and {other.values}",
        )
    keys = {other.key for other in near}
    require(len(keys) == len(near), f"{architecture.values} has one neighbour twice")
    mutant = mutate(architecture, rng)
    _check_member(mutant, "a mutant")
    names = _differing(architecture, mutant)
    require(
        not near or len(names) == 1, f"a mutant differs in choices {names}, expected exactly one"
    )


def _form(architecture: Architecture) -> str:
    canonical = architecture.space.canonical
    form = dict(architecture.values) if canonical is None else canonical(architecture.values)
    return json.dumps(form, sort_keys=True)


def _check_encoding(space: Space, architectures: Sequence[Architecture]) -> None:
    matrix = encode(space, architectures)
    columns = sum(len(choice.options) for choice in space.choices)
    require(
        matrix.shape == (len(architectures), columns),
        f"the encoding has shape {matrix.shape}, expected {(len(architectures), columns)}",
    )
    sums = {float(value) for value in matrix.sum(axis=1)}
    require(
        sums == {float(len(space.choices))},
        f"encoded rows sum to {sorted(sums)}, expected {len(space.choices)}",
    )


def _check_build(architecture: Architecture, shape: tuple[int, ...], outputs: int) -> None:
    import torch

    values = dict(architecture.values)
    module = architecture.space.build(architecture.values, shape, outputs)
    require(dict(architecture.values) == values, f"build changed the values {values}")
    expected = (BATCH, outputs)
    for training in (True, False):
        module.train(training)
        given = module(torch.zeros(BATCH, *shape))
        found = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        require(found == expected, f"the network of {values} gives {found}, expected {expected}")
