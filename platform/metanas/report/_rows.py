"""Boxes in rows from top to bottom, each below all that it takes from.

A line that passes a row gets a lane in it (Sugiyama et al. 1981, "Methods for visual
understanding of hierarchical system structures"); crossings are not counted.

Places are in pixels. Items are numbered: the boxes first, then the lanes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from metanas.report._boxes import Box

TITLE_PX, DETAIL_PX = 6.3, 5.3
"""Width of a letter of a box's first and second line."""

TALL_PX, LOW_PX = 32.0, 20.0
LEAST_PX = 44.0
LANE_PX = 8.0
ASIDE_PX = 12.0
LANE_WEIGHT = 1e-3
SWEEPS = 12


def size_of(box: Box) -> tuple[float, float]:
    """A box's width and height."""
    letters = zip(box.lines, (TITLE_PX, DETAIL_PX), strict=False)
    wide = max(len(line) * letter for line, letter in letters)
    return max(LEAST_PX, wide + 14.0), TALL_PX if len(box.lines) > 1 else LOW_PX


@dataclass
class Rows:
    """Items in rows, from top to bottom.

    Args:
        boxes: The first items.
        rows: Each row's items, from left to right.
        above: Each item's neighbours in the row above.
        below: The same in the row below.
        paths: Each line's items: a box, lanes, a box.
        x: Each item's middle.
    """

    boxes: Sequence[Box]
    rows: list[list[int]]
    above: list[list[int]]
    below: list[list[int]]
    paths: list[list[int]] = field(default_factory=list)
    x: list[float] = field(default_factory=list)

    def width(self, item: int) -> float:
        """Of an item."""
        return size_of(self.boxes[item])[0] if item < len(self.boxes) else LANE_PX

    def weight(self, item: int) -> float:
        """How much it matters where an item is."""
        return 1.0 if item < len(self.boxes) else LANE_WEIGHT

    def height(self, row: int) -> float:
        """Of a row."""
        boxes = [self.boxes[item] for item in self.rows[row] if item < len(self.boxes)]
        return max(size_of(box)[1] for box in boxes)

    def alone(self, row: int) -> bool:
        """Whether every line comes together in this row's only box."""
        return len(self.rows[row]) == 1

    def lane(self, row: int) -> int:
        """Add a lane to a row."""
        self.rows[row].append(len(self.above))
        self.above.append([])
        self.below.append([])
        return len(self.above) - 1


def rows_of(boxes: Sequence[Box]) -> Rows:
    """Boxes and lanes in their rows and places.

    Args:
        boxes: At least one; each after those that it takes from.
    """
    place = {box.name: number for number, box in enumerate(boxes)}
    depth: list[int] = []
    for box in boxes:
        depth.append(max((depth[place[name]] + 1 for name in box.inputs), default=0))
    rows = [[n for n, at in enumerate(depth) if at == row] for row in range(max(depth) + 1)]
    found = Rows(boxes, rows, [[] for _ in boxes], [[] for _ in boxes])
    for number, box in enumerate(boxes):
        for upper in (place[name] for name in box.inputs):
            lanes = [found.lane(row) for row in range(depth[upper] + 1, depth[number])]
            path = [upper, *lanes, number]
            found.paths.append(path)
            for above, below in itertools.pairwise(path):
                found.below[above].append(below)
                found.above[below].append(above)
    _order(found)
    _place(found)
    _straighten(found)
    return found


def _order(found: Rows) -> None:
    """Bring each row's items near the middle of their neighbours, down and up in turn."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = found.above if down else found.below
        for row in found.rows if down else found.rows[::-1]:
            place = {item: at for each in found.rows for at, item in enumerate(each)}
            middle = {
                item: sum(place[n] for n in neighbours[item]) / len(neighbours[item])
                for item in row
                if neighbours[item]
            }
            row.sort(key=lambda item: (middle.get(item, place[item]), item))


def _place(found: Rows) -> None:
    """Give each item the x of its middle: near its neighbours, apart from those beside it."""
    found.x = [0.0] * len(found.above)
    for sweep in range(SWEEPS):
        for row in found.rows if sweep % 2 == 0 else found.rows[::-1]:
            gaps = [
                (found.width(left) + found.width(right)) / 2 + ASIDE_PX
                for left, right in itertools.pairwise(row)
            ]
            wanted = [_wanted(found, item) for item in row]
            placed = apart(wanted, [found.weight(item) for item in row], gaps)
            for item, x in zip(row, placed, strict=True):
                found.x[item] = x


def _wanted(found: Rows, item: int) -> float:
    beside = [*found.above[item], *found.below[item]]
    total = sum(found.weight(each) for each in beside)
    return sum(found.weight(each) * found.x[each] for each in beside) / (total or 1.0)


def apart(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones that keep their order and distances.

    Least weighted squares by pooling adjacent violators (Barlow et al. 1972, "Statistical
    inference under order restrictions").

    Args:
        wanted: ``n`` places.
        weights: How much each counts, above 0.
        gaps: ``n - 1`` least distances from each to the next.
    """
    shifts = [sum(gaps[:count]) for count in range(len(wanted))]
    pools: list[tuple[float, float, int]] = []
    for place, weight, shift in zip(wanted, weights, shifts, strict=True):
        pools.append((weight * (place - shift), weight, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    middles = [total / weight for total, weight, size in pools for _ in range(size)]
    return [middle + shift for middle, shift in zip(middles, shifts, strict=True)]


def _straighten(found: Rows) -> None:
    """Give the lanes of a line one x, where what lies beside them leaves one for all."""
    row_of = {item: row for row, items in enumerate(found.rows) for item in items}
    for path in found.paths:
        lanes = path[1:-1]
        bounds = [_bounds(found, found.rows[row_of[lane]], lane) for lane in lanes]
        low = max((bound[0] for bound in bounds), default=0.0)
        high = min((bound[1] for bound in bounds), default=0.0)
        ends = (found.x[path[0]] + found.x[path[-1]]) / 2
        for lane in lanes if low <= high else []:
            found.x[lane] = min(high, max(low, ends))


def _bounds(found: Rows, row: Sequence[int], item: int) -> tuple[float, float]:
    """How far an item can go to the left and to the right."""
    at = row.index(item)
    room = [(found.width(item) + found.width(each)) / 2 + ASIDE_PX for each in row]
    low = found.x[row[at - 1]] + room[at - 1] if at else -math.inf
    high = found.x[row[at + 1]] - room[at + 1] if at + 1 < len(row) else math.inf
    return low, high
