"""A network's boxes and lines with their places: what is drawn, not how.

A drawing that is too tall for its room is set in columns, like text, and broken where one
box leads on. Places are in pixels of the drawing at its natural size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from metanas.measures.trace import Node
from metanas.report._boxes import Box, boxes_of, in_words
from metanas.report._rows import Rows, rows_of, size_of

Point = tuple[float, float]

MOST_BOXES = 160
MOST_COLUMNS = 4
PORT_PX = 8.0
DOWN_PX = 14.0
GUTTER_PX = 26.0
CROSSED_PX = 30.0
"""How much taller a column counts as that more than one line leads into."""


@dataclass(frozen=True)
class Placed:
    """A box, its upper left corner and its size."""

    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawing:
    """A network, ready to be drawn.

    Args:
        width, height: Of the whole.
        boxes: With their places.
        edges: Lines by way of points; between two that share neither x nor y, a curve.
        says: What can be seen, as a sentence.
    """

    width: float
    height: float
    boxes: tuple[Placed, ...]
    edges: tuple[tuple[Point, ...], ...]
    says: str

    def scale(self, room: tuple[float, float]) -> float:
        """How much of its natural size fits into a room, 1 at most."""
        return min(room[0] / self.width, room[1] / self.height, 1.0)


def drawing(nodes: Sequence[Node], room: tuple[float, float]) -> Drawing | None:
    """Lay a network out.

    Args:
        nodes: As `metanas.measures.trace` gives them.
        room: Width and height that it should fill well.

    Returns:
        None where there is nothing to draw, or far too much for a drawing.
    """
    boxes = boxes_of(nodes)
    if not boxes or len(boxes) > MOST_BOXES:
        return None
    rows = rows_of(boxes)
    drawn = [_in_columns(rows, count) for count in range(1, MOST_COLUMNS + 1)]
    return max(drawn, key=lambda each: each.scale(room))


@dataclass(frozen=True)
class _Place:
    """Where a row lies: what is added to its items' x, its top, and its column's gutter."""

    left: float
    top: float
    height: float
    gutter: float


def _in_columns(found: Rows, count: int) -> Drawing:
    """Cut the rows into columns, where one box leads on, and set them side by side."""
    heights = [found.height(row) for row in range(len(found.rows))]
    starts = _starts(heights, [found.alone(row) for row in range(len(heights))], count)
    places: list[_Place] = []
    edge = tallest = 0.0
    for start, stop in itertools.pairwise([*starts, len(heights)]):
        items = [item for row in found.rows[start:stop] for item in row]
        low = min(found.x[item] - found.width(item) / 2 for item in items)
        high = max(found.x[item] + found.width(item) / 2 for item in items)
        top = DOWN_PX
        for row in range(start, stop):
            places.append(_Place(edge - low, top, heights[row], edge - GUTTER_PX / 2))
            top += heights[row] + DOWN_PX
        edge += high - low + GUTTER_PX
        tallest = max(tallest, top)
    boxes, edges = _drawn(found, places)
    return Drawing(edge - GUTTER_PX, tallest, boxes, edges, in_words(found.boxes))


def _starts(heights: Sequence[float], alone: Sequence[bool], count: int) -> list[int]:
    """The first row of each column, so that the tallest column is as low as can be.

    Columns end with a row that is one box. A column that two lines lead into counts as
    taller than it is.
    """
    ends = [0.0, *itertools.accumulate(height + DOWN_PX for height in heights)]
    breaks = [row + 1 for row in range(len(heights) - 1) if alone[row]]
    # The best ways to have filled columns up to a row: the tallest of them, and the starts.
    ways: dict[int, tuple[float, list[int]]] = {0: (0.0, [0])}
    for _ in range(count - 1):
        longer = dict(ways)
        for start, (worst, starts) in ways.items():
            for row in breaks:
                crossed = 0.0 if alone[row] else CROSSED_PX
                tallest = max(worst, ends[row] - ends[start]) + crossed
                if row > start and (row not in longer or tallest < longer[row][0]):
                    longer[row] = (tallest, [*starts, row])
        ways = longer
    return min(ways.items(), key=lambda way: max(way[1][0], ends[-1] - ends[way[0]]))[1][1]


def _drawn(
    found: Rows, places: Sequence[_Place]
) -> tuple[tuple[Placed, ...], tuple[tuple[Point, ...], ...]]:
    row_of = {item: row for row, items in enumerate(found.rows) for item in items}
    boxes = []
    for number, box in enumerate(found.boxes):
        place, (width, height) = places[row_of[number]], size_of(box)
        x = found.x[number] + place.left - width / 2
        boxes.append(Placed(box, x, place.top + (place.height - height) / 2, width, height))
    edges = []
    for path in found.paths:
        steps = [(found.x[item], places[row_of[item]]) for item in path]
        edges.append(_edge(steps, boxes[path[0]], boxes[path[-1]]))
    return tuple(boxes), tuple(edges)


def _port(placed: Placed, x: float, direct: bool) -> float:
    """Where a line meets a box: in the middle, or nearest to the lane that it comes from."""
    middle, reach = placed.x + placed.width / 2, placed.width / 2 - PORT_PX
    return middle if direct else min(middle + reach, max(middle - reach, x))


def _edge(path: Sequence[tuple[float, _Place]], upper: Placed, lower: Placed) -> tuple[Point, ...]:
    """From the foot of one box through lanes to the head of another."""
    direct = len(path) == 2
    xs = [middle + place.left for middle, place in path]
    same = path[0][1].gutter == path[1][1].gutter
    points = [(_port(upper, xs[1], direct or not same), upper.y + upper.height)]
    for step, (x, (_, place)) in enumerate(zip(xs, path, strict=True)):
        if step == 0:
            continue
        if step == len(path) - 1:
            x = _port(lower, xs[step - 1], direct)
        if path[step - 1][1].gutter != place.gutter:  # through the gutter into the next column
            down, up = points[-1][1] + DOWN_PX / 2, DOWN_PX / 2
            points += [(points[-1][0], down), (place.gutter, down), (place.gutter, up), (x, up)]
        last = step == len(path) - 1
        points += [(x, lower.y)] if last else [(x, place.top), (x, place.top + place.height)]
    return tuple(points)
