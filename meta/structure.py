"""An architecture's structure as numbers, equal for architectures that are the same network.

A space with a graph: how often each sequence of operations occurs on the paths from input
to output, how many operations of each kind there are, and numbers on paths. Nothing in it
depends on how many nodes the graphs of a space have. A space without one: its choices, as
places in their order where they have one, and as one column an option.

A path of more than three operations is counted by the runs of three in it, so that the
columns are known from the space alone and deep graphs cost what their edges cost.

Shapes: ``n`` architectures, ``d`` columns.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from metanas.core.errors import SpaceError
from metanas.core.graph import INPUT, Graph
from metanas.core.space import Architecture, Choice, Space, Values, sample

Matrix = npt.NDArray[np.float64]
Run = tuple[str, ...]

SMALL = 20_000
"""The most members that are listed."""
RUN = 3
"""The longest sequence of operations that has a column of its own."""
MOST_RUNS = 400
"""The most columns of sequences: with many kinds of operations only shorter ones have one."""
PLAIN = 8
"""Counts of paths up to here are columns as they are, larger ones grow as their logarithm."""
GRAPH_WEIGHTS, CHOICE_WEIGHTS = (1.0, 1.0, 2.0), (1.0, 1.0)
"""Of the blocks of sequences, kinds and numbers, and of places and options."""
SAMPLE = 1_000
"""Draws that tell mean and spread of the columns of a space too large to list."""


@dataclass(frozen=True)
class Block:
    """Columns that describe one side of an architecture.

    Args:
        columns: Their range.
        weight: How much of what differs between architectures the side tells, in shares of
            the sum over blocks.
    """

    columns: slice
    weight: float


@dataclass(frozen=True)
class Members:
    """All members of a small space, and their networks, described once each.

    Args:
        rows: The members.
        network: ``[rows]``, the network that a member is, numbered in order of appearance.
        numbers: From the networks' identifiers to these numbers.
        features: ``[networks, d]``, see `describe`.
        blocks: Of its columns, see `blocks`.
        of: For each network, which rows are it.
    """

    rows: tuple[Architecture, ...]
    network: npt.NDArray[np.intp]
    numbers: Mapping[str, int]
    features: Matrix
    blocks: tuple[Block, ...]
    of: tuple[npt.NDArray[np.intp], ...]


@lru_cache(maxsize=8)
def members(space: Space) -> Members | None:
    """The members of a space of at most `SMALL` combinations; None of a larger one."""
    if space.size > SMALL:
        return None
    rows = tuple(Architecture(space, values) for values in _listed(space))
    if not rows:
        raise SpaceError(f"space '{space.name}' allows none of its {space.size} combinations")
    numbers: dict[str, int] = {}
    network = np.array([numbers.setdefault(row.id, len(numbers)) for row in rows])
    order = np.argsort(network, kind="stable")
    of = np.split(order, np.cumsum(np.bincount(network))[:-1])
    columns = raw(space, [rows[first[0]] for first in of])
    scale = _Scale.of(columns[network], space)
    return Members(rows, network, numbers, scale(columns), scale.blocks, tuple(of))


def _listed(space: Space) -> list[Values]:
    if space.members is not None:
        return list(space.members)
    names = [choice.name for choice in space.choices]
    listed = (
        dict(zip(names, options, strict=True))
        for options in product(*(choice.options for choice in space.choices))
    )
    return [values for values in listed if space.allowed is None or space.allowed(values)]


def describe(space: Space, architectures: Sequence[Architecture]) -> Matrix:
    """Standardised features of architectures.

    Mean and spread of each column are those of the space's members, or of a fixed sample
    of a large space; columns that do not vary are left out. Each block (see `blocks`) is
    then divided by the root of its width, so that its squared distances are 2 in the mean.

    Args:
        space: That all come from.
        architectures: ``n`` members of it; may be empty.

    Returns:
        Array of shape ``[n, d]``.
    """
    known = members(space)
    if known is not None:
        return known.features[[known.numbers[each.id] for each in architectures]]
    return _scale(space)(raw(space, architectures))


def blocks(space: Space) -> tuple[Block, ...]:
    """The blocks of `describe`: sequences, kinds and numbers, or places and options."""
    known = members(space)
    return _scale(space).blocks if known is None else known.blocks


@dataclass(frozen=True)
class _Scale:
    """What standardises columns and drops those that do not vary."""

    kept: npt.NDArray[np.bool_]
    mean: Matrix
    divisor: Matrix
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, columns: Matrix, space: Space) -> _Scale:
        """As the columns of these members of a space are."""
        block, weights = _block(space), CHOICE_WEIGHTS if space.graph is None else GRAPH_WEIGHTS
        spread = columns.std(axis=0)
        kept = spread > 1e-9
        widths = np.bincount(block[kept], minlength=1)
        divisor = spread[kept] * np.sqrt(widths[block[kept]])
        ends = np.cumsum(widths)
        found = tuple(
            Block(slice(int(end - width), int(end)), weight)
            for end, width, weight in zip(ends, widths, weights, strict=False)
            if width
        )
        return cls(kept, columns.mean(axis=0)[kept], divisor, found or (Block(slice(0, 0), 1.0),))

    def __call__(self, columns: Matrix) -> Matrix:
        return np.asarray((columns[:, self.kept] - self.mean) / self.divisor)


@lru_cache(maxsize=8)
def _scale(space: Space) -> _Scale:
    rng = np.random.default_rng(0)
    return _Scale.of(raw(space, [sample(space, rng) for _ in range(SAMPLE)]), space)


def raw(space: Space, architectures: Sequence[Architecture]) -> Matrix:
    """Features before they are standardised, ``[n, d]`` with the same columns for all."""
    rows: Sequence[Sequence[float] | Matrix]
    if space.graph is None:
        rows = [_of_choices(space, architecture) for architecture in architectures]
    else:
        words = vocabulary(space)
        graphs = [space.graph(architecture.values) for architecture in architectures]
        known = {graph: _of_graph(graph, words) for graph in dict.fromkeys(graphs)}
        rows = [known[graph] for graph in graphs]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(_block(space)))


def _block(space: Space) -> npt.NDArray[np.intp]:
    """Which block each column of `raw` belongs to."""
    if space.graph is None:
        ordered = sum(_places(choice) is not None for choice in space.choices)
        options = sum(len(choice.options) for choice in space.choices)
        return np.repeat([0, 1], [ordered, options])
    words = vocabulary(space)
    sizes = (len(words.runs), len(words.kinds), len(_numbers(Graph((), (), ()))))
    return np.repeat(np.arange(len(sizes)), sizes)


@dataclass(frozen=True)
class Vocabulary:
    """The kinds of operations that a space's graphs can have, and the sequences with a column."""

    kinds: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def longest(self) -> int:
        """Operations in the longest of the sequences."""
        return len(self.runs[-1])


@lru_cache(maxsize=32)
def vocabulary(space: Space) -> Vocabulary:
    """All options of the space that are strings, and their sequences, the shorter first."""
    options = (option for choice in space.choices for option in choice.options)
    kinds = tuple(dict.fromkeys(option for option in options if isinstance(option, str)))
    runs: list[Run] = [()]
    for length in range(1, RUN + 1):
        if length > 1 and len(runs) + len(kinds) ** length > MOST_RUNS:
            break
        runs.extend(product(kinds, repeat=length))
    return Vocabulary(kinds, tuple(runs))


def _of_graph(graph: Graph, words: Vocabulary) -> list[float]:
    runs = count_runs(graph, words.longest)
    kinds = Counter(graph.operations)
    return [
        *(_tempered(runs[run]) for run in words.runs),
        *(float(kinds[kind]) for kind in words.kinds),
        *_numbers(graph),
    ]


def _tempered(count: int) -> float:
    """A count as it is while it is small; then its logarithm: deep graphs have 10^20 paths."""
    return float(count) if count <= PLAIN else PLAIN * (1.0 + math.log(count) - math.log(PLAIN))


def count_runs(graph: Graph, longest: int) -> Counter[Run]:
    """How often each sequence of operations is a whole path, or a full-length run within one.

    Args:
        graph: Paths go from its input to its output, and count as often as terms are added.
        longest: Length from which on a path is counted by its runs of that length.
    """
    ways = _ways_on(graph)
    ends: list[Counter[Run]] = []
    runs: Counter[Run] = Counter()
    for number, kind in enumerate(graph.operations):
        here: Counter[Run] = Counter()
        for run, count in _sum(graph.inputs[number], ends).items():
            here[(*run, kind)[-longest:]] += count
        for run, count in here.items():
            if len(run) == longest:
                runs[run] += count * ways[number]
        ends.append(here)
    for run, count in _sum(graph.output, ends).items():
        if len(run) < longest:
            runs[run] += count
    return runs


def _sum(terms: Sequence[int], ends: Sequence[Counter[Run]]) -> Counter[Run]:
    """The last operations on all ways to a sum of terms."""
    total: Counter[Run] = Counter()
    for term in terms:
        if term == INPUT:
            total[()] += 1
        else:
            total.update(ends[term])
    return total


def _ways_on(graph: Graph) -> list[int]:
    """For each operation the number of ways from it to the output."""
    ways = [0] * len(graph.operations)
    for term in graph.output:
        if term != INPUT:
            ways[term] += 1
    for number in reversed(range(len(ways))):
        for term in graph.inputs[number]:
            if term != INPUT:
                ways[term] += ways[number]
    return ways


def _numbers(graph: Graph) -> list[float]:
    """Paths, deepest, shallowest and mean depth, width, operations, direct ways, terms."""
    count: list[int] = []
    total: list[int] = []
    deepest: list[int] = []
    shallowest: list[int] = []
    for terms in (*graph.inputs, graph.output):
        inner = [term for term in terms if term != INPUT]
        direct = len(terms) - len(inner)
        paths = direct + sum(count[term] for term in inner)
        here = 0 if len(count) == len(graph.operations) else 1
        total.append(sum(total[term] for term in inner) + here * paths)
        count.append(paths)
        depths = [deepest[term] for term in inner] + [0] * (direct > 0)
        deepest.append(max(depths, default=0) + here)
        depths = [shallowest[term] for term in inner] + [0] * (direct > 0)
        shallowest.append(min(depths, default=0) + here)
    levels = Counter(deepest[:-1])
    return [
        _tempered(count[-1]),
        float(deepest[-1]),
        float(shallowest[-1]),
        total[-1] / count[-1] if count[-1] else 0.0,
        float(max(levels.values(), default=0)),
        float(len(graph.operations)),
        float(graph.output.count(INPUT)),
        float(len(graph.output)),
    ]


def _of_choices(space: Space, architecture: Architecture) -> Matrix:
    """Places of the ordered choices, then one column an option: an order may mislead.

    Choices without effect, where the canonical form leaves them out, are in the middle.
    """
    form = None if space.canonical is None else space.canonical(architecture.values)
    absent: set[str] = set()
    if isinstance(form, Mapping) and form.keys() <= architecture.values.keys():
        absent = architecture.values.keys() - form.keys()
    placed: list[float] = []
    chosen: list[int] = []
    options = 0
    for choice in space.choices:
        position = choice.index(architecture.values[choice.name])
        there = choice.name not in absent
        places = _places(choice)
        if places is not None:
            placed.append(places[position] if there else 0.5)
        if there:
            chosen.append(options + position)
        options += len(choice.options)
    row = np.zeros(len(placed) + options)
    row[: len(placed)] = placed
    row[len(placed) + np.array(chosen, dtype=np.intp)] = 1.0
    return row


@lru_cache(maxsize=1_024)
def _places(choice: Choice) -> tuple[float, ...] | None:
    """Each option's place among the ordered ones, from 0 to 1; None where they have no order."""
    numbers: Sequence[float] = range(len(choice.options))
    if not choice.ordered:
        try:
            numbers = [float(option) for option in choice.options]
        except ValueError:
            return None
        if not np.isfinite(numbers).all():
            return None
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
    return tuple(ranks[number] / max(1, len(ranks) - 1) for number in numbers)
