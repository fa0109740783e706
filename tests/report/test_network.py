from __future__ import annotations

import itertools

import numpy as np
import pytest
from stories import GRAPH

from metanas.core.space import check, sample
from metanas.measures.trace import Node, trace
from metanas.report._boxes import boxes_of
from metanas.report._network import MOST_BOXES, Drawing, drawing
from metanas.report._rows import apart
from metanas.spaces.cnn import SPACE as CNN
from metanas.spaces.nasbench201 import nasbench201

ROOM = (360.0, 500.0)


def chain(*labels: str) -> list[Node]:
    """A network of one layer after the other, ``+`` for what has parameters."""
    nodes = [Node("x", "input", (), (4, 8, 8), label="input")]
    for number, label in enumerate(labels):
        learned = 10 if label.startswith("+") else 0
        name, before = f"n{number}", nodes[-1].name
        text = label.lstrip("+")
        nodes.append(Node(name, text, (before,), (4, 8, 8), learned, learned, text))
    return nodes


def graph(space: str, seed: int) -> tuple[Node, ...]:
    found = CNN if space == "cnn" else nasbench201()
    values = sample(found, np.random.default_rng(seed)).values
    return trace(found.build(values, (3, 32, 32), 10), (3, 32, 32))


def drawn(nodes: tuple[Node, ...]) -> Drawing:
    found = drawing(nodes, ROOM)
    assert found is not None
    return found


def test_a_layer_is_one_box_with_what_follows_it() -> None:
    (_, box) = boxes_of(chain("+conv", "+batchnorm", "relu"))
    assert (box.title, box.detail) == ("conv", "batchnorm, relu")
    assert box.params == 20


def test_an_activation_before_a_layer_is_in_its_box() -> None:
    (_, first, second) = boxes_of(chain("relu", "+conv", "+batchnorm", "relu", "+conv"))
    assert (first.title, first.detail) == ("conv", "relu first, batchnorm")
    assert (second.title, second.detail) == ("conv", "relu first")


def test_equal_boxes_in_a_row_are_one_that_counts_them() -> None:
    (_, box, last) = boxes_of(chain(*["+conv", "relu"] * 3, "+linear"))
    assert box.times == 3
    assert box.lines[0].startswith("3 \u00d7 conv")
    assert (box.params, box.flops) == (30, 30)
    assert last.inputs == (box.name,)


def test_what_several_take_from_stays_a_box_of_its_own() -> None:
    titles = [box.title for box in boxes_of(GRAPH)]
    assert titles == [
        "input 1\u00d78\u00d78",
        "conv 3\u00d73, 16",
        "conv 3\u00d73, 16",
        *("add", "global average pool", "flatten", "linear, 10"),
    ]


def test_a_box_says_to_what_size_it_brings_images() -> None:
    pool = next(box for box in boxes_of(GRAPH) if box.kind == "pool")
    assert pool.detail == "to 1\u00d71"


@pytest.mark.parametrize("space", ["cnn", "nasbench201"])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_hold_all_parameters_and_operations(space: str, seed: int) -> None:
    nodes = graph(space, seed)
    boxes = boxes_of(nodes)
    for name in ("params", "flops"):
        total = sum(getattr(node, name) for node in nodes)
        assert sum(getattr(box, name) for box in boxes) == total


@pytest.mark.parametrize("space", ["cnn", "nasbench201"])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_lie_apart_and_within_the_drawing(space: str, seed: int) -> None:
    found = drawn(graph(space, seed))
    for one, other in itertools.combinations(found.boxes, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height < other.y or other.y + other.height < one.y
    for box in found.boxes:
        assert -1e-6 <= box.x <= box.x + box.width <= found.width + 1e-6
        assert 0 <= box.y <= box.y + box.height <= found.height


@pytest.mark.parametrize("space", ["cnn", "nasbench201"])
def test_each_line_leads_from_the_foot_of_a_box_to_the_head_of_what_takes_from_it(
    space: str,
) -> None:
    found = drawn(graph(space, 2))
    place = {placed.box.name: placed for placed in found.boxes}
    wanted = [(name, placed.box.name) for placed in found.boxes for name in placed.box.inputs]
    assert len(found.edges) == len(wanted)
    for edge, (upper, lower) in zip(found.edges, wanted, strict=True):
        start, end = place[upper], place[lower]
        assert edge[0][1] == pytest.approx(start.y + start.height)
        assert edge[-1][1] == pytest.approx(end.y)
        assert start.x <= edge[0][0] <= start.x + start.width
        assert end.x <= edge[-1][0] <= end.x + end.width


@pytest.mark.parametrize("space", ["cnn", "nasbench201"])
@pytest.mark.parametrize("seed", range(3))
def test_no_line_runs_through_a_box(space: str, seed: int) -> None:
    found = drawn(graph(space, seed))
    for edge, placed in itertools.product(found.edges, found.boxes):
        for (x0, y0), (x1, y1) in itertools.pairwise(edge):
            inside = placed.x + 1 < (x0 + x1) / 2 < placed.x + placed.width - 1
            assert not (inside and placed.y + 1 < (y0 + y1) / 2 < placed.y + placed.height - 1)


def test_a_chain_is_drawn_straight() -> None:
    found = drawn(tuple(chain("+a", "pool", "+b")))
    assert len({round(placed.x + placed.width / 2, 6) for placed in found.boxes}) == 1


def test_the_lane_around_a_block_is_straight() -> None:
    values = {choice.name: choice.options[0] for choice in CNN.choices}
    values |= {"block": "residual", "depth": 2}
    module = CNN.build(check(CNN, values).values, (1, 8, 8), 10)
    found = drawing(trace(module, (1, 8, 8)), (1.0, 1e9))
    assert found is not None
    around = [edge for edge in found.edges if len(edge) > 2]
    assert around
    for edge in around:
        assert len({round(x, 6) for x, _ in edge[1:-1]}) == 1


def test_a_tall_network_is_set_in_columns_that_fit_better() -> None:
    labels = [f"+conv{number}" for number in range(40)]
    found = drawn(tuple(chain(*labels)))
    narrow = drawing(chain(*labels), (1.0, 1e9))
    assert narrow is not None
    assert len({round(placed.x + placed.width / 2) for placed in narrow.boxes}) == 1
    assert found.height < narrow.height / 2
    assert found.scale(ROOM) > narrow.scale(ROOM)


def test_there_is_no_drawing_of_nothing_or_of_far_too_much() -> None:
    assert drawing((), ROOM) is None
    assert drawing(chain(*[f"+conv{n}" for n in range(MOST_BOXES + 1)]), ROOM) is None


def test_places_keep_their_distances_and_move_no_more_than_they_must() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted, gaps = rng.normal(size=5), rng.uniform(0.1, 1.0, size=4)
        weights = rng.uniform(0.1, 2.0, size=5)
        found = np.array(apart(wanted.tolist(), weights.tolist(), gaps.tolist()))
        assert (np.diff(found) >= gaps - 1e-9).all()
        least = (weights * (found - wanted) ** 2).sum()
        for _ in range(50):
            other = found + 0.1 * rng.normal(size=5)
            if (np.diff(other) >= gaps).all():
                assert (weights * (other - wanted) ** 2).sum() >= least - 1e-9


def test_places_that_are_apart_stay() -> None:
    assert apart([0.0, 5.0, 10.0], [1.0, 1.0, 1.0], [2.0, 2.0]) == [0.0, 5.0, 10.0]
