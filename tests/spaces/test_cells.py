from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import permutations, product

import pytest

from metanas.core.graph import INPUT, Graph
from metanas.spaces import _cells
from metanas.spaces.nasbench201 import OPERATIONS

ALL = list(product(OPERATIONS, repeat=6))
TRANSNAS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")


def form(operations: Sequence[str]) -> str:
    return json.dumps(_cells.canonical(dict(zip(_cells.NAMES, operations, strict=True))))


def by_hand(**edges: str) -> str:
    return form([edges.get(name, "none") for name in _cells.NAMES])


def test_nasbench201_has_5425_networks() -> None:
    assert len({form(operations) for operations in ALL}) == 5_425


def test_transnas_has_1011_networks() -> None:
    assert len({form(operations) for operations in product(TRANSNAS, repeat=6)}) == 1_011


def paths(operations: Sequence[str]) -> set[tuple[int, ...]]:
    """All paths from input to output over edges that are there, as tuples of edge numbers."""
    found: set[tuple[int, ...]] = set()
    stack: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while stack:
        node, taken = stack.pop()
        if node == 3:
            found.add(taken)
        for number, (source, target) in enumerate(_cells.EDGES):
            if source == node and operations[number] != "none":
                stack.append((target, (*taken, number)))
    return found


def slow_form(operations: Sequence[str]) -> str:
    """The normal form by its definition: live edges from all paths, and every renaming tried."""
    live = {edge for path in paths(operations) for edge in path}
    terms: dict[int, list[str]] = {0: ["in"], 1: [], 2: [], 3: []}
    objects: dict[str, tuple[str, tuple[str, ...]]] = {}
    for target in (1, 2, 3):
        for number, (source, to) in enumerate(_cells.EDGES):
            if to != target or number not in live:
                continue
            if operations[number] == "skip_connect":
                terms[target] += terms[source]
            else:
                objects[f"o{number}"] = (operations[number], tuple(terms[source]))
                terms[target].append(f"o{number}")
    names = list(objects)
    written = []
    for order in permutations(range(len(names))):
        new = {"in": "in"} | {name: f"n{place}" for name, place in zip(names, order, strict=True)}
        lines = sorted(
            f"{new[name]}={kind}({','.join(sorted(new[t] for t in taken))})"
            for name, (kind, taken) in objects.items()
        )
        written.append(";".join([*lines, ",".join(sorted(new[t] for t in terms[3]))]))
    return min(written)


def classes_agree(cells: Sequence[tuple[str, ...]]) -> None:
    fast, slow = defaultdict(set), defaultdict(set)
    for operations in cells:
        quick, obvious = form(operations), slow_form(operations)
        fast[quick].add(obvious)
        slow[obvious].add(quick)
    assert {len(group) for group in fast.values()} == {1}
    assert {len(group) for group in slow.values()} == {1}


def test_the_fast_form_agrees_with_the_obvious_one_on_a_sample() -> None:
    classes_agree(ALL[::23])


@pytest.mark.slow
def test_the_fast_form_agrees_with_the_obvious_one_on_all_cells() -> None:
    classes_agree(ALL)


def test_edges_that_lie_on_no_path_make_no_difference() -> None:
    assert by_hand(e03="nor_conv_3x3", e01="nor_conv_1x1") == by_hand(e03="nor_conv_3x3")
    assert by_hand(e03="nor_conv_3x3", e23="avg_pool_3x3") == by_hand(e03="nor_conv_3x3")


def test_a_cell_without_a_path_is_the_cell_of_no_edges() -> None:
    assert by_hand(e01="nor_conv_3x3", e02="skip_connect") == by_hand()


def test_a_detour_over_an_identity_is_the_direct_way() -> None:
    direct = by_hand(e03="nor_conv_3x3")
    assert by_hand(e01="skip_connect", e13="nor_conv_3x3") == direct
    assert by_hand(e01="nor_conv_3x3", e13="skip_connect") == direct
    assert by_hand(e01="skip_connect", e12="nor_conv_3x3", e23="skip_connect") == direct


def test_renaming_the_inner_nodes_makes_no_difference() -> None:
    one = by_hand(e01="nor_conv_1x1", e02="nor_conv_3x3", e13="avg_pool_3x3", e23="nor_conv_1x1")
    other = by_hand(e02="nor_conv_1x1", e01="nor_conv_3x3", e23="avg_pool_3x3", e13="nor_conv_1x1")
    assert one == other


def test_two_ways_are_more_than_one() -> None:
    once = by_hand(e03="nor_conv_3x3")
    twice = by_hand(e03="nor_conv_3x3", e01="nor_conv_3x3", e13="skip_connect")
    assert once != twice
    doubled = by_hand(e03="skip_connect", e01="skip_connect", e13="skip_connect")
    assert doubled != by_hand(e03="skip_connect")


def test_a_shared_operation_is_not_two_of_them() -> None:
    shared = by_hand(e01="nor_conv_3x3", e13="skip_connect", e12="nor_conv_1x1", e23="skip_connect")
    apart = by_hand(e01="nor_conv_3x3", e13="nor_conv_1x1", e03="nor_conv_3x3")
    assert shared != apart


def test_live_edges_lie_on_a_path() -> None:
    for operations in ALL[::7]:
        live = {edge for path in paths(operations) for edge in path}
        assert _cells.alive(operations) == [number in live for number in range(6)]


def test_the_objects_of_a_cell_are_its_live_edges_that_are_no_identity() -> None:
    kinds, inputs, output = _cells.objects(
        ("skip_connect", "none", "nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3")
    )
    assert kinds == ["nor_conv_3x3", "avg_pool_3x3"]
    assert inputs == [Counter({_cells.INPUT: 1}), Counter({0: 1})]
    assert output == Counter({_cells.INPUT: 1, 1: 1})


def test_the_graph_of_a_cell_is_its_objects() -> None:
    operations = ("skip_connect", "none", "nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3")
    graph = _cells.graph(dict(zip(_cells.NAMES, operations, strict=True)))
    assert graph == Graph(("nor_conv_3x3", "avg_pool_3x3"), ((INPUT,), (0,)), (INPUT, 1))
    assert _cells.graph(dict.fromkeys(_cells.NAMES, "none")) == Graph((), (), ())
