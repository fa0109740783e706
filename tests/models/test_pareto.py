from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.models.pareto import hypervolume


def counted(points: list[tuple[int, ...]], bound: int) -> int:
    """The slow way: unit cubes that some point dominates."""
    dimensions = len(points[0])
    return sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(range(bound), repeat=dimensions)
    )


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=8))
def test_two_costs_as_counted_cube_by_cube(points: list[tuple[int, ...]]) -> None:
    assert hypervolume(np.array(points, float), (6, 6)) == counted(points, 6)


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=6))
def test_three_costs_as_counted_cube_by_cube(points: list[tuple[int, ...]]) -> None:
    assert hypervolume(np.array(points, float), (4, 4, 4)) == counted(points, 4)


def test_no_points_dominate_nothing() -> None:
    assert hypervolume(np.empty((0, 2)), (1, 1)) == 0.0


def test_a_known_front() -> None:
    front = np.array([[0.1, 0.6], [0.4, 0.3], [0.8, 0.1]])
    assert hypervolume(front, (1.0, 1.0)) == pytest.approx(0.9 * 0.4 + 0.6 * 0.3 + 0.2 * 0.2)
