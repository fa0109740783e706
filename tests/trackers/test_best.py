"""The best so far, trial by trial, is what would be picked of all trials so far."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.core.front import front_of, pick
from metanas.core.objective import Objective
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Proposal, Trial
from metanas.trackers._best import Best

SPACE = Space("one", (Choice("c", (0,)),), lambda *_: None)  # type: ignore[arg-type, return-value]
ACCURACY = Objective("accuracy", "", "max")
LATENCY = Objective("latency_ms", "ms", "min")
KINDS = [
    (ACCURACY,),
    (ACCURACY, LATENCY),
    (ACCURACY, Objective("latency_ms", "ms", "min", limit=3.0)),
    (Objective("accuracy", "", "max", limit=4.0), LATENCY, Objective("params", "", "min")),
    (Objective("latency_ms", "ms", "min", limit=-1.0),),
]
POINT = st.fixed_dictionaries(
    {"accuracy": st.integers(0, 6), "latency_ms": st.integers(0, 6), "params": st.integers(0, 6)}
)


def trial(number: int, metrics: Any) -> Trial:
    return Trial(Proposal(number, check(SPACE, {"c": 0}), 1), "t", 0, "completed", metrics)


@given(st.sampled_from(KINDS), st.permutations(range(12)), st.lists(POINT, max_size=12))
def test_it_is_the_pick_of_all_trials_so_far(objectives: Any, order: Any, points: Any) -> None:
    # Trials end in another order than that of their numbers.
    trials = [trial(number, each) for number, each in zip(order, points, strict=False)]
    best, before = Best(objectives), None
    for count, each in enumerate(trials, start=1):
        is_best = best.add(each.number, each.metrics)
        picked, _ = pick(front_of(trials[:count], objectives), objectives)
        assert picked is not None
        assert best.number == picked.number
        assert is_best == (picked.number == each.number and picked.number != before)
        before = picked.number


def test_what_dominates_leaves_nothing_behind_it() -> None:
    best = Best((ACCURACY, LATENCY))
    for number in range(100):
        best.add(number, {"accuracy": float(number), "latency_ms": float(100 - number)})
    assert len(best._front) == 1


def test_a_trial_without_a_value_for_each_objective_is_no_best() -> None:
    best = Best((ACCURACY, LATENCY))
    assert not best.add(0, {"accuracy": 0.9})
    assert best.number is None
    assert best.kept() == {}


@pytest.mark.parametrize(("latency_ms", "kept"), [(2.0, True), (4.0, False)])
def test_values_are_given_of_what_keeps_the_limits(latency_ms: float, kept: bool) -> None:
    best = Best(KINDS[2])
    assert best.wishes() == "latency_ms<3"
    assert best.add(0, {"accuracy": 0.5, "latency_ms": latency_ms, "flops": 9.0})
    assert best.kept() == ({"accuracy": 0.5, "latency_ms": latency_ms} if kept else {})
