"""Cells of four nodes and six edges, and when two of them are one network.

A node is the sum of what its edges bring, so an identity edge only passes its source's
terms on. Normal form: edges that lie on no path from input to output are dropped; every
other edge that is not the identity is an operation object whose input is a multiset of
terms (the cell's input, or outputs of operation objects); the cell is its output's
multiset, up to renaming of the objects.

Spaces: NAS-Bench-201 (Dong and Yang 2020) and TransNAS-Bench-101 (Duan et al. 2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

from metanas.core.errors import ConfigError
from metanas.core.graph import INPUT, Graph
from metanas.core.space import Choice, Space, Value, Values

if TYPE_CHECKING:
    from torch import nn

EDGES: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NAMES: tuple[str, ...] = tuple(f"e{source}{target}" for source, target in EDGES)
NODES = 4
NONE, SKIP = "none", "skip_connect"
Terms = Counter[int]
Form = list[Any]


def cell_space(name: str, choices: Sequence[str], *, channels: int, cells: int) -> Space:
    """The space of cells with these operations on their edges.

    Args:
        name: Of the space; options of its plug-in are told under it.
        choices: The operations.
        channels: Of the first stage.
        cells: A stage.

    Raises:
        ConfigError: If either number is below 1.
    """
    for option, value in (("channels", channels), ("cells", cells)):
        if value < 1:
            raise ConfigError(f"{name}.{option} is {value}, expected at least 1")

    def build(values: Values, shape: tuple[int, ...], outputs: int) -> nn.Module:
        from metanas.spaces._cell_network import CellNetwork

        return CellNetwork(operations(values), shape, outputs, channels, cells)

    edges = tuple(Choice(edge, tuple(choices)) for edge in NAMES)
    return Space(name, edges, build, canonical=canonical, graph=graph)


def operations(values: Mapping[str, Value]) -> tuple[str, ...]:
    """The operations of a cell in the order of `EDGES`."""
    return tuple(str(values[name]) for name in NAMES)


def canonical(values: Mapping[str, Value]) -> Form:
    """The normal form as nested lists: each object's operation and input terms, then the output's.

    Objects are numbered in an order that depends only on the form; equal for two cells
    exactly when one becomes the other by renaming objects.
    """
    return _canonical(graph(values))


def graph(values: Mapping[str, Value]) -> Graph:
    """The cell's operation objects as a graph, in the order of their edges."""
    return _graph(operations(values))


@lru_cache(maxsize=65_536)
def _graph(edge_operations: tuple[str, ...]) -> Graph:
    kinds, inputs, output = objects(edge_operations)
    taken = tuple(tuple(sorted(terms.elements())) for terms in inputs)
    return Graph(tuple(kinds), taken, tuple(sorted(output.elements())))


@lru_cache(maxsize=65_536)
def _canonical(cell: Graph) -> Form:
    kinds, inputs, output = cell.operations, [Counter(t) for t in cell.inputs], Counter(cell.output)
    return min(_written(order, kinds, inputs, output) for order in _orders(kinds, inputs, output))


def alive(edge_operations: Sequence[str]) -> list[bool]:
    """For each edge, whether it lies on a path from the cell's input to its output."""
    present = [operation != NONE for operation in edge_operations]
    reached = {0}
    for (source, target), there in zip(EDGES, present, strict=True):
        if there and source in reached:
            reached.add(target)
    useful = {NODES - 1}
    for (source, target), there in reversed(list(zip(EDGES, present, strict=True))):
        if there and target in useful:
            useful.add(source)
    return [
        there and source in reached and target in useful
        for (source, target), there in zip(EDGES, present, strict=True)
    ]


def objects(edge_operations: Sequence[str]) -> tuple[list[str], list[Terms], Terms]:
    """The operation objects of a cell: their operations, their input terms, the output's terms."""
    terms: list[Terms] = [Counter() for _ in range(NODES)]
    terms[0][INPUT] = 1
    kinds: list[str] = []
    inputs: list[Terms] = []
    # EDGES is sorted by target, so a node's terms are complete before they are used.
    for (source, target), operation, lives in zip(
        EDGES, edge_operations, alive(edge_operations), strict=True
    ):
        if not lives:
            continue
        if operation == SKIP:
            terms[target].update(terms[source])
        else:
            terms[target][len(kinds)] += 1
            kinds.append(operation)
            inputs.append(terms[source])
    return kinds, inputs, terms[NODES - 1] if any(alive(edge_operations)) else Counter()


def _written(
    order: Sequence[int], kinds: Sequence[str], inputs: Sequence[Terms], output: Terms
) -> Form:
    """The cell with its objects renamed so that ``order[i]`` becomes ``i``."""
    place = {old: new for new, old in enumerate(order)} | {INPUT: INPUT}

    def renamed(terms: Terms) -> list[int]:
        return sorted(place[term] for term in terms.elements())

    return [*([kinds[old], renamed(inputs[old])] for old in order), [SKIP, renamed(output)]]


def _orders(
    kinds: Sequence[str], inputs: Sequence[Terms], output: Terms
) -> Iterator[tuple[int, ...]]:
    """Orders of the objects to try: those that sort them by colour (Weisfeiler and Leman)."""
    colours = _colours(kinds, inputs, output)
    groups: dict[int, list[int]] = {}
    for number, colour in enumerate(colours):
        groups.setdefault(colour, []).append(number)
    ties = [permutations(groups[colour]) for colour in sorted(groups)]
    for parts in product(*ties):
        yield tuple(number for part in parts for number in part)


def _colours(kinds: Sequence[str], inputs: Sequence[Terms], output: Terms) -> list[int]:
    """A colour an object, refined by what it takes and who takes it until nothing splits."""
    count = len(kinds)
    names: list[object] = list(kinds)
    colours = _ranked(names)
    for _ in range(count):
        names = [
            (
                colours[number],
                sorted((colours[t] if t != INPUT else INPUT) for t in inputs[number].elements()),
                sorted(
                    (colours[user], inputs[user][number])
                    for user in range(count)
                    if inputs[user][number]
                ),
                output[number],
            )
            for number in range(count)
        ]
        refined = _ranked(names)
        if len(set(refined)) == len(set(colours)):
            return refined
        colours = refined
    return colours


def _ranked(names: Sequence[object]) -> list[int]:
    ranks = {name: rank for rank, name in enumerate(sorted({repr(name) for name in names}))}
    return [ranks[repr(name)] for name in names]
