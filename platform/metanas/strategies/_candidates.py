"""What a strategy that scores candidates chooses from: all networks, or a pool of likely ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import numpy.typing as npt

from metanas.core.space import Architecture, Space, mutate, neighbours, sample
from metanas.meta.structure import Block, blocks, describe, members
from metanas.models.gp import Kernel, matern52

PARENTS, CHILDREN = 20, 10
"""How many of the best are mutated for a pool, and how often each."""
SWEPT = 3
"""All neighbours of so many of the best are in a pool."""
DRAWN = 300
"""Uniform draws in a pool."""


@dataclass(frozen=True)
class Candidates:
    """Networks that can be proposed, described.

    Args:
        kernel: How alike they are.
        numbers: From a network's `Architecture.id` to its row.
        rows: Gives the architectures that are a network.
        counts: How many these are, ``[m]``.
        whole: Whether these are all networks of the space, the same at every call.
    """

    kernel: Kernel
    numbers: Mapping[str, int]
    rows: Callable[[int], Sequence[Architecture]]
    counts: npt.NDArray[np.intp]
    whole: bool


@lru_cache(maxsize=8)
def all_of(space: Space) -> Candidates | None:
    """All networks of a small space; None of a larger one."""
    known = members(space)
    if known is None:
        return None
    rows, of = known.rows, known.of

    def rows_of(number: int) -> list[Architecture]:
        return [rows[row] for row in of[number]]

    counts = np.array([len(set(rows_of(number))) for number in range(len(of))])
    return Candidates(_kernel(known.features, known.blocks), known.numbers, rows_of, counts, True)


def _kernel(features: npt.NDArray[np.float64], sides: Sequence[Block]) -> Kernel:
    columns = [side.columns for side in sides]
    weights = [side.weight for side in sides]
    return Kernel.of(matern52, features, columns, weights, np.float32)


def pool_of(
    space: Space,
    known: Sequence[Architecture],
    best: Sequence[Architecture],
    rng: np.random.Generator,
) -> Candidates:
    """A pool for a space too large to list.

    Args:
        space: All are of.
        known: What was proposed before; it is in the pool.
        best: What was best, the best first: neighbours and mutations of it are in the pool.
        rng: Draws mutations and uniform samples.
    """
    held: dict[str, list[Architecture]] = {}
    for architecture in (*known, *_likely(space, best, rng)):
        rows = held.setdefault(architecture.id, [])
        if architecture not in rows:
            rows.append(architecture)
    networks = list(held.values())
    numbers = {key: number for number, key in enumerate(held)}
    kernel = _kernel(describe(space, [rows[0] for rows in networks]), blocks(space))
    counts = np.array([len(rows) for rows in networks])
    return Candidates(kernel, numbers, networks.__getitem__, counts, False)


def _likely(
    space: Space, best: Sequence[Architecture], rng: np.random.Generator
) -> Iterator[Architecture]:
    for centre in best[:SWEPT]:
        yield from neighbours(centre)
    for parent in best[:PARENTS]:
        child = parent
        for turn in range(CHILDREN):
            # Every other child is two edits away.
            child = mutate(child if turn % 2 else parent, rng)
            yield child
    yield from islice(iter(lambda: sample(space, rng), None), DRAWN)
