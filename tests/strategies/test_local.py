from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metanas.core.errors import ConfigError
from metanas.core.objective import Objective
from metanas.core.protocols import Context, Strategy
from metanas.core.space import Architecture, Choice, Space, check, neighbours
from metanas.core.trial import Proposal, Status, Trial
from metanas.strategies.local import Local
from metanas.strategies.random import Random
from metanas.testing import additive_context, check_strategy

NEIGHBOURS = 6 * 3
"""Of every architecture of the additive space: six choices, three other options each."""


def accuracy(architecture: Architecture) -> float:
    return sum(int(value) for value in architecture.key) / 18


def told(proposal: Proposal, status: Status = "completed", value: float | None = None) -> Trial:
    found = accuracy(proposal.architecture) if value is None else value
    metrics = {"accuracy": found} if status == "completed" else {}
    return Trial(proposal, "additive", 0, status, metrics)


def search(
    make: Callable[[Context], Strategy],
    trials: int,
    context: Context | None = None,
    judge: Callable[[Architecture], float] = accuracy,
) -> list[Trial]:
    context = context or additive_context()
    strategy = make(context)
    done: list[Trial] = []
    for number in range(trials):
        proposal = strategy.ask(number, ())
        assert proposal is not None
        done.append(told(proposal, value=judge(proposal.architecture)))
        strategy.tell(done[-1])
    return done


def changes(left: Trial | Proposal, right: Trial | Proposal) -> int:
    """In how many choices two differ."""
    ours, theirs = (x.proposal if isinstance(x, Trial) else x for x in (left, right))
    keys = zip(ours.architecture.key, theirs.architecture.key, strict=True)
    return sum(a != b for a, b in keys)


def at(value: int) -> Architecture:
    """The architecture with this value in every choice: 3 is the best of the landscape."""
    space = additive_context().space
    return check(space, dict.fromkeys((choice.name for choice in space.choices), value))


@pytest.mark.parametrize("initial", [1, 5, 50])
def test_it_keeps_the_laws_with_any_option(initial: int) -> None:
    check_strategy(lambda context: Local(context, initial=initial))


def test_it_keeps_the_laws_where_runs_end_and_begin() -> None:
    space = Space("low", tuple(Choice(name, (1, 2)) for name in "abcde"), lambda *_: None)
    context = replace(additive_context(), space=space)
    check_strategy(lambda context: Local(context, initial=1), context)


@pytest.mark.parametrize("initial", [0, -1])
def test_options_out_of_range_are_refused(initial: int) -> None:
    with pytest.raises(ConfigError, match=f"initial is {initial}, expected at least 1"):
        Local(additive_context(), initial=initial)


def test_it_walks_up_to_the_global_optimum_looks_all_around_it_and_starts_again() -> None:
    trials = search(Local, 150)
    top = next(trial for trial in trials if trial.proposal.architecture == at(3))
    best = trials[0]
    for trial in trials[: top.number + 1]:
        if trial.number >= 5:
            assert trial.proposal.reason == f"neighbour of trial {best.number}"
            assert changes(trial, best) == 1
        best = max(best, trial, key=lambda t: (t.metrics["accuracy"], -t.number))
    restart = next(trial for trial in trials if trial.proposal.reason.startswith("restart"))
    around = {near.id for near in neighbours(at(3))}
    assert around <= {trial.proposal.architecture.id for trial in trials[: restart.number]}
    assert restart.number <= top.number + 1 + NEIGHBOURS
    assert restart.proposal.reason == f"restart: no neighbour of trial {top.number} is better"


def test_the_run_of_a_restart_compares_only_with_itself() -> None:
    trials = search(Local, 150)
    restart = next(trial for trial in trials if trial.proposal.reason.startswith("restart"))
    after = trials[restart.number + 1]
    assert restart.metrics["accuracy"] < 1.0
    assert after.proposal.reason == f"neighbour of trial {restart.number}"
    assert after.proposal.notes == {"run": 1}


def test_the_neighbours_come_in_an_order_that_the_seed_decides() -> None:
    def moves(seed: int) -> list[tuple[object, ...]]:
        strategy = Local(additive_context(seed), initial=1)
        strategy.tell(told(Proposal(0, at(3), 1)))
        asked = [strategy.ask(number, ()) for number in range(1, 9)]
        return [proposal.architecture.key for proposal in asked]

    assert moves(0) == moves(0)
    assert len(set(moves(0))) > 4
    assert moves(0) != moves(1)


def test_it_never_proposes_a_network_twice_while_there_are_others() -> None:
    trials = search(Local, 400)
    assert len({trial.proposal.architecture.id for trial in trials}) == 400
    assert max(trial.proposal.notes["run"] for trial in trials) > 2


def test_networks_that_are_the_same_count_once() -> None:
    context = additive_context()
    same = replace(context.space, canonical=lambda values: sorted(values.values()))
    trials = search(Local, 60, replace(context, space=same))
    assert len({trial.proposal.architecture.id for trial in trials}) == 60


def test_it_finds_better_than_random_in_the_mean() -> None:
    parts = np.random.default_rng(99).normal(size=(6, 4))

    def judge(architecture: Architecture) -> float:
        return float(sum(parts[i, int(value)] for i, value in enumerate(architecture.key)))

    def best(make: Callable[[Context], Strategy], seed: int) -> float:
        trials = search(make, 60, additive_context(seed), judge)
        return max(trial.metrics["accuracy"] for trial in trials)

    gains = [best(Local, seed) - best(Random, seed) for seed in range(20)]
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))


def test_less_is_better_where_the_goal_says_so() -> None:
    context = replace(additive_context(), objectives=(Objective("accuracy", "", "min"),))
    trials = search(Local, 120, context)
    assert min(trial.metrics["accuracy"] for trial in trials) == 0.0


def test_what_is_being_evaluated_is_not_proposed_again() -> None:
    strategy = Local(additive_context())
    pending: list[Proposal] = []
    asked: set[str] = set()
    for number in range(120):
        proposal = strategy.ask(number, tuple(pending))
        assert proposal.architecture.id not in asked
        asked.add(proposal.architecture.id)
        pending.append(proposal)
        if len(pending) == 6:
            strategy.tell(told(pending.pop(number % 6)))


def test_while_all_neighbours_run_it_draws_for_the_next_run() -> None:
    strategy = Local(additive_context(), initial=1)
    strategy.tell(told(Proposal(0, at(2), 1)))
    pending = [strategy.ask(1, ())]
    for number in range(2, 1 + NEIGHBOURS):
        pending.append(strategy.ask(number, tuple(pending)))
    assert {p.architecture.id for p in pending} == {near.id for near in neighbours(at(2))}
    draw = strategy.ask(1 + NEIGHBOURS, tuple(pending))
    assert draw.reason == "random, while the last neighbours of trial 0 run"
    assert draw.notes == {"run": 1}
    assert changes(draw, pending[0]) > 0

    # It is better than all of the run, which goes on as if it did not know.
    strategy.tell(told(draw, value=9.0))
    better = next(p for p in pending if accuracy(p.architecture) > accuracy(at(2)))
    strategy.tell(told(better))
    proposal = strategy.ask(2 + NEIGHBOURS, tuple(p for p in pending if p is not better))
    assert proposal.reason == f"neighbour of trial {better.number}"
    assert proposal.notes == {"run": 0}


def test_the_draws_made_while_waiting_are_where_the_next_run_begins() -> None:
    strategy = Local(additive_context(), initial=1)
    strategy.tell(told(Proposal(0, at(3), 1), value=9.0))
    pending: list[Proposal] = []
    for number in range(1, 3 + NEIGHBOURS):
        pending.append(strategy.ask(number, tuple(pending)))
    for proposal in reversed(pending):  # the draws, numbers 20 and 19, end first
        strategy.tell(told(proposal, value=1 / proposal.number))
    proposal = strategy.ask(3 + NEIGHBOURS, ())
    assert proposal.reason == f"neighbour of trial {1 + NEIGHBOURS}"
    assert proposal.notes == {"run": 1}


def test_a_trial_that_ends_late_and_better_reopens_its_run() -> None:
    strategy = Local(additive_context(), initial=1)
    strategy.tell(told(Proposal(0, at(1), 1)))
    late = strategy.ask(1, ())
    for number, near in enumerate(neighbours(at(1)), start=2):
        if near.id != late.architecture.id:
            strategy.tell(told(Proposal(number, near, 1, notes={"run": 0}), value=0.1))
    last = strategy.ask(30, (late,))
    assert last.notes == {"run": 1}
    strategy.tell(told(late, value=0.9))
    assert strategy.ask(31, (last,)).reason == "neighbour of trial 1"


@pytest.mark.parametrize("status", ["crashed", "timed_out", "diverged", "infeasible"])
def test_a_failed_trial_is_never_the_centre(status: Status) -> None:
    strategy = Local(additive_context(), initial=2)
    strategy.tell(told(Proposal(0, at(1), 1)))
    failed = replace(told(Proposal(1, at(2), 1), status), metrics={"accuracy": 0.99})
    strategy.tell(failed)
    assert {strategy.ask(number, ()).reason for number in range(2, 9)} == {"neighbour of trial 0"}


def test_without_a_success_it_goes_on_drawing() -> None:
    strategy = Local(additive_context(), initial=2)
    for number in range(8):
        proposal = strategy.ask(number, ())
        assert proposal.reason == "random start"
        strategy.tell(told(proposal, "crashed"))


def test_an_equal_trial_does_not_move_it() -> None:
    strategy = Local(additive_context(), initial=1)
    strategy.tell(told(Proposal(0, at(1), 1), value=0.5))
    for number in range(1, 9):
        proposal = strategy.ask(number, ())
        assert proposal.reason == "neighbour of trial 0"
        strategy.tell(told(proposal, value=0.5))


def test_several_objectives_are_refused() -> None:
    context = additive_context()
    several = (*context.objectives, Objective("params", "parameters", "min"))
    with pytest.raises(
        ConfigError, match="local works on one objective and is given accuracy, params"
    ):
        Local(replace(context, objectives=several))


def test_a_suggestion_takes_milliseconds_after_thousands_of_trials() -> None:
    space = Space(
        "cells", tuple(Choice(f"edge_{i}", tuple("abcde")) for i in range(6)), lambda *_: None
    )
    context = replace(additive_context(), space=space)
    values = np.random.default_rng(0).normal(size=(6, 5))
    strategy = Local(context)
    spent: list[float] = []
    for number in range(3000):
        started = time.process_time()
        proposal = strategy.ask(number, ())
        spent.append(time.process_time() - started)
        picks = [c.index(proposal.architecture.values[c.name]) for c in space.choices]
        strategy.tell(told(proposal, value=float(values[range(6), picks].sum())))
    assert np.median(spent[-500:]) < 0.005
