from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.core.front import costs, dominates, front_of, knee, pick, wish
from metanas.core.objective import Objective, excess
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Proposal, Status, Trial

SPACE = Space("one", (Choice("c", (0,)),), lambda *_: None)  # type: ignore[arg-type, return-value]
ACCURACY = Objective("accuracy", "", "max")
FLOPS = Objective("flops", "operations", "min")
BOTH = (ACCURACY, FLOPS)


def trial(number: int, accuracy: float, flops: float, status: Status = "completed") -> Trial:
    proposal = Proposal(number, check(SPACE, {"c": 0}), 1)
    return Trial(proposal, "t", 0, status, {"accuracy": accuracy, "flops": flops})


def limited(objective: Objective, limit: float) -> Objective:
    return Objective(objective.name, objective.unit, objective.goal, limit=limit)


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25)


@given(POINTS)
def test_the_front_is_what_no_other_dominates_as_the_slow_way_finds_it(points: Any) -> None:
    trials = [trial(number, float(a), float(f)) for number, (a, f) in enumerate(points)]
    slow = {
        costs(BOTH, t)
        for t in trials
        if not any(dominates(costs(BOTH, o), costs(BOTH, t)) for o in trials)
    }
    front = front_of(trials, BOTH)
    assert {costs(BOTH, t) for t in front} == slow
    assert len(front) == len(slow)
    assert [t.metrics["accuracy"] for t in front] == sorted(
        (t.metrics["accuracy"] for t in front), reverse=True
    )


def test_failed_trials_are_on_no_front() -> None:
    assert front_of([trial(0, 0.9, 1.0, "crashed"), trial(1, 0.5, 2.0)], BOTH)[0].number == 1
    assert front_of([trial(0, 0.9, 1.0, "crashed")], BOTH) == ()


def test_one_objective_picks_its_best() -> None:
    trials = [trial(0, 0.7, 1.0), trial(1, 0.9, 9.0)]
    best, why = pick(front_of(trials, (ACCURACY,)), (ACCURACY,))
    assert (best and best.number, why) == (1, "best accuracy")


def test_without_limits_the_knee_is_picked() -> None:
    trials = [trial(0, 1.0, 10.0), trial(1, 0.95, 2.0), trial(2, 0.5, 1.0)]
    best, why = pick(front_of(trials, BOTH), BOTH)
    assert (best and best.number, why) == (1, "knee of the front of accuracy and flops")


def test_with_a_limit_the_best_that_keeps_it_is_picked() -> None:
    objectives = (ACCURACY, limited(FLOPS, 5.0))
    trials = [trial(0, 0.99, 10.0), trial(1, 0.95, 5.0), trial(2, 0.5, 1.0)]
    best, why = pick(front_of(trials, objectives), objectives)
    assert (best and best.number, why) == (1, "best accuracy that keeps flops<5")


def test_of_two_objectives_with_limits_the_first_decides() -> None:
    objectives = (limited(ACCURACY, 0.6), limited(FLOPS, 5.0))
    trials = [trial(0, 0.99, 10.0), trial(1, 0.95, 4.0), trial(2, 0.7, 1.0)]
    best, why = pick(front_of(trials, objectives), objectives)
    assert (best and best.number, why) == (1, "best accuracy that keeps accuracy>0.6 and flops<5")


def test_a_limit_that_nothing_keeps_is_said_and_the_nearest_is_picked() -> None:
    objectives = (ACCURACY, limited(FLOPS, 0.5))
    trials = [trial(0, 0.99, 10.0), trial(1, 0.5, 1.0)]
    best, why = pick(front_of(trials, objectives), objectives)
    assert best is not None
    assert (best.number, why) == (1, "nothing keeps flops<0.5; this comes nearest (flops 1)")


@pytest.mark.parametrize(
    ("objective", "value", "missed"),
    [
        (limited(FLOPS, 5.0), 5.0, 0.0),
        (limited(FLOPS, 5.0), 6.0, 0.2),
        (limited(ACCURACY, 0.5), 0.4, 0.2),
        (limited(ACCURACY, 0.5), 0.6, 0.0),
        (FLOPS, 1e9, 0.0),
    ],
)
def test_excess_is_the_share_by_which_a_limit_is_missed(
    objective: Objective, value: float, missed: float
) -> None:
    assert excess(objective, {objective.name: value}) == pytest.approx(missed)


def test_what_was_not_measured_misses_every_limit() -> None:
    assert excess(limited(FLOPS, 5.0), {}) == math.inf


def test_a_wish_is_written_as_on_the_command_line() -> None:
    assert (wish(limited(FLOPS, 5.0)), wish(limited(ACCURACY, 0.9))) == ("flops<5", "accuracy>0.9")


def test_on_a_log_scale_the_knee_is_where_ratios_bend() -> None:
    trials = [trial(0, 1.0, 1e6), trial(1, 0.9, 1e5), trial(2, 0.8, 10.0), trial(3, 0.0, 1.0)]
    log = Objective("flops", "operations", "min", scale="log")
    assert knee(trials, BOTH).number == 1
    assert knee(trials, (ACCURACY, log)).number == 2
