"""The figures of a bench, against what their definitions come to by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.bench.scores import Standing, scores, so_far, standing
from metanas.core.objective import Objective

MORE, LESS = Objective("a", "pct", "max"), Objective("a", "ms", "min")


def of(
    values: list[float], objective: Objective = MORE, test: list[float] | None = None
) -> Standing:
    return standing(np.array(values), objective, None if test is None else np.array(test))


def test_the_best_row_has_no_regret_and_the_median_has_one() -> None:
    table = of([1.0, 2.0, 3.0, 4.0, 9.0])
    assert table.regret(np.array([9.0, 3.0, 1.0])).tolist() == [0.0, 1.0, pytest.approx(8 / 6)]


def test_the_rank_is_the_number_of_strictly_better_rows_plus_one() -> None:
    table = of([1.0, 2.0, 2.0, 3.0])
    assert table.rank(np.array([3.0, 2.0, 1.0])).tolist() == [1, 2, 4]


def test_less_is_better_where_the_goal_says_so() -> None:
    figures = scores(of([5.0, 1.0, 3.0], LESS), [[0, 2, 1]], 3)
    assert figures["evaluations_to_best"] == {"median": 3.0, "mean": 3.0, "reached": 1.0}


@pytest.mark.parametrize(("rows", "top"), [(15_625, 16), (4_096, 5), (1_000, 1), (3, 1)])
def test_the_top_is_a_thousandth_rounded_up(rows: int, top: int) -> None:
    table = of([float(value) for value in range(rows)])
    assert table.top == rows - top


def test_unmeasured_rows_do_not_count() -> None:
    table = of([1.0, math.nan, 3.0])
    assert (table.best, table.rank(np.array([1.0])).tolist()) == (3.0, [2])


def test_who_does_not_get_there_counts_as_one_more_than_all_trials() -> None:
    table = of([float(value) for value in range(10)])
    reached = scores(table, [[9, 0, 0], [0, 9, 0], [0, 1, 2]], 3)["evaluations_to_best"]
    assert reached == {"median": 2.0, "mean": (1 + 2 + 4) / 3, "reached": pytest.approx(2 / 3)}
    reached = scores(table, [[9, 0, 0], [0, 0, 1], [0, 1, 2]], 3)["evaluations_to_best"]
    assert reached["median"] is None
    reached = scores(table, [[9, 0, 0], [0, 0, 1]], 3)["evaluations_to_best"]
    assert reached["median"] is None, "one of the two in the middle did not get there"


def test_figures_beyond_the_trials_are_null() -> None:
    figures = scores(of([1.0, 2.0, 3.0]), [[0] * 30], 30)
    known = {key for key, value in figures["normalized_regret"].items() if value is not None}
    assert known == {"5", "10", "25"}
    assert [figures["mean_rank"][key] for key in ("50", "100")] == [None, None]
    assert set(figures["normalized_regret_by_seed"]) == {"10", "50", "100"}
    assert figures["normalized_regret_by_seed"]["50"] is None


def test_the_test_value_is_that_of_the_row_with_the_best_metric() -> None:
    table = of([1.0, 2.0, 3.0], test=[90.0, 70.0, 80.0])
    assert scores(table, [[0, 2, 1], [0, 1, 0]], 3)["test_of_pick"] == 75.0
    assert scores(of([1.0, 2.0]), [[0, 1]], 2)["test_of_pick"] is None


def test_a_table_without_spread_has_no_regret() -> None:
    assert scores(of([4.0]), [[0]], 5)["normalized_regret"]["5"] == 0.0


def test_a_strategy_that_ends_early_keeps_its_best() -> None:
    assert so_far(of([1.0, 2.0]), [[0, 1]], 4).tolist() == [[1.0, 2.0, 2.0, 2.0]]


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=30),
    st.lists(st.integers(0, 29), min_size=1, max_size=20),
)
def test_figures_are_those_of_the_slow_definition(values: list[float], picks: list[int]) -> None:
    rows = [pick % len(values) for pick in picks]
    table = of(values)
    figures = scores(table, [rows], len(rows))
    best, median = max(values), float(np.median(values))
    for key in ("5", "10"):
        if int(key) > len(rows):
            assert figures["normalized_regret"][key] is None
            continue
        found = max(values[row] for row in rows[: int(key)])
        expected = (best - found) / (best - median) if best > median else 0.0
        assert figures["normalized_regret"][key] == pytest.approx(expected)
        if key == "10":
            assert figures["mean_rank"][key] == sum(value > found for value in values) + 1
    first = next((at for at, row in enumerate(rows, 1) if values[row] == best), None)
    assert figures["evaluations_to_best"]["median"] == first
