from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from metanas.core.graph import INPUT, Graph
from metanas.core.space import Architecture, Choice, Space, Values, sample
from metanas.meta.structure import blocks, count_runs, describe, members, raw, vocabulary
from metanas.spaces import _cells, cnn
from metanas.spaces.nasbench201 import SPACE

CELLS = SPACE()


def whole_paths(graph: Graph) -> list[tuple[str, ...]]:
    """Every path from input to output, walked one by one from the output."""

    def walk(terms: tuple[int, ...], after: tuple[str, ...]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for term in terms:
            if term == INPUT:
                found.append(after)
            else:
                found += walk(graph.inputs[term], (graph.operations[term], *after))
        return found

    return walk(graph.output, ())


def random_graph(rng: np.random.Generator, size: int) -> Graph:
    def terms(below: int) -> tuple[int, ...]:
        return tuple(sorted(int(t) for t in rng.integers(-1, below, size=rng.integers(1, 4))))

    kinds = tuple(str(rng.choice(["a", "b"])) for _ in range(size))
    return Graph(kinds, tuple(terms(number) for number in range(size)), terms(size))


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_runs_are_counted_as_on_all_paths_walked_one_by_one(longest: int) -> None:
    rng = np.random.default_rng(longest)
    for size in (0, 1, 3, 6, 8):
        graph = random_graph(rng, size)
        expected: Counter[tuple[str, ...]] = Counter()
        for path in whole_paths(graph):
            if len(path) < longest:
                expected[path] += 1
            for start in range(len(path) - longest + 1):
                expected[path[start : start + longest]] += 1
        assert +count_runs(graph, longest) == +expected


def test_a_chain_of_thousands_of_paths_is_counted_without_walking_them() -> None:
    inputs: list[tuple[int, ...]] = [(INPUT,)]
    for number in range(1, 60):
        inputs.append((number - 1, number - 1))
    graph = Graph(("a",) * 60, tuple(inputs), (59,))
    assert count_runs(graph, 3) == {("a", "a", "a"): 58 * 2**59}


def test_networks_that_are_the_same_are_described_alike_and_nothing_is_listed_twice() -> None:
    known = members(CELLS)
    assert known is not None
    assert (len(known.rows), len(known.features)) == (15_625, 5_425)
    columns = raw(CELLS, known.rows[::7])
    for row, network in zip(columns, known.network[::7], strict=True):
        first = known.rows[known.of[network][0]]
        np.testing.assert_array_equal(row, raw(CELLS, [first])[0])


def test_different_cells_are_told_apart_by_their_description() -> None:
    known = members(CELLS)
    assert known is not None
    assert len(np.unique(known.features.round(9), axis=0)) > 0.75 * len(known.features)


def test_columns_of_a_block_are_2_apart_in_the_mean() -> None:
    known = members(CELLS)
    assert known is not None
    rows = known.features[known.network]
    assert len(known.blocks) == 3
    for columns in (block.columns for block in known.blocks):
        assert 2 * rows[:, columns].var(axis=0).sum() == pytest.approx(2.0)
        np.testing.assert_allclose(rows[:, columns].mean(axis=0), 0, atol=1e-9)


def test_the_numbers_of_a_cell_by_hand() -> None:
    values = dict.fromkeys(_cells.NAMES, "none") | {
        "e01": "nor_conv_1x1",
        "e13": "nor_conv_3x3",
        "e03": "skip_connect",
        "e02": "avg_pool_3x3",
        "e23": "skip_connect",
    }
    numbers = raw(CELLS, [Architecture(CELLS, values)])[0, -8:]
    # Three paths, of 2, 1 and 0 operations; two operations side by side; three in all.
    np.testing.assert_allclose(numbers, [3, 2, 0, 1, 2, 3, 1, 3])


def test_huge_counts_of_paths_are_described_by_their_logarithm() -> None:
    def chain(values: Values) -> Graph:
        doubled = ((INPUT, INPUT), *((number, number) for number in range(1_999)))
        return Graph(("a",) * 2_000, doubled, (1_999, 1_999))

    space = plain(Choice("x", ("a", "b")), graph=chain)
    columns = raw(space, [Architecture(space, {"x": "a"})])
    assert np.isfinite(columns).all()
    assert columns.max() < 20_000


def test_a_network_without_a_path_is_described_too() -> None:
    nothing = Architecture(CELLS, dict.fromkeys(_cells.NAMES, "none"))
    assert not raw(CELLS, [nothing]).any()


def plain(*choices: Choice, **more: object) -> Space:
    return Space("plain", choices, None, **more)  # type: ignore[arg-type]


def test_without_a_graph_choices_are_places_and_options() -> None:
    space = plain(
        Choice("size", ("small", "large", "huge"), ordered=True),
        Choice("rate", ("0.1", "0.001", "0.01")),
        Choice("width", (64, 16, 32)),
        Choice("bias", (False, True)),
        Choice("kind", ("a", "nan")),
    )
    values = {"size": "large", "rate": "0.1", "width": 16, "bias": True, "kind": "nan"}
    options = [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 1]
    np.testing.assert_allclose(
        raw(space, [Architecture(space, values)]), [[0.5, 1.0, 0.0, 1.0, *options]]
    )


def test_choices_that_the_canonical_form_leaves_out_make_no_difference() -> None:
    space = cnn.SPACE
    rng = np.random.default_rng(0)
    for _ in range(20):
        one = sample(space, rng)
        absent = {f"kernel_{stage}" for stage in range(int(one.values["stages"]) + 1, 5)}
        other = Architecture(
            space, {name: 5 if name in absent else value for name, value in one.values.items()}
        )
        assert one.id == other.id
        np.testing.assert_array_equal(raw(space, [one]), raw(space, [other]))


def test_a_large_space_is_described_on_the_scale_of_a_fixed_sample() -> None:
    space = plain(*(Choice(f"c{number}", tuple(range(4))) for number in range(10)))
    assert members(space) is None
    rng = np.random.default_rng(5)
    drawn = [sample(space, rng) for _ in range(500)]
    matrix = describe(space, drawn)
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=0.06)
    places, options = (block.columns for block in blocks(space))
    np.testing.assert_allclose(matrix[:, places].std(axis=0), 1 / np.sqrt(10), atol=0.04)
    np.testing.assert_allclose(matrix[:, options].std(axis=0), 1 / np.sqrt(40), atol=0.04)
    assert describe(space, []).shape == (0, 50)


def test_only_members_are_listed() -> None:
    choices = (Choice("a", (0, 1, 2)), Choice("b", (0, 1, 2)))
    allowed = plain(*choices, allowed=lambda values: values["a"] != values["b"])
    held = [{"a": 0, "b": 2}, {"a": 1, "b": 1}]
    listed = plain(*choices, members=held)
    for space, expected in ((allowed, 6), (listed, 2)):
        known = members(space)
        assert known is not None
        assert len(known.rows) == expected


def test_with_many_kinds_only_short_sequences_have_a_column() -> None:
    kinds = tuple("abcdefghijkl")
    space = plain(Choice("x", kinds), graph=lambda values: Graph((), (), ()))
    assert vocabulary(space).runs == ((), *((k,) for k in kinds), *product(kinds, repeat=2))
