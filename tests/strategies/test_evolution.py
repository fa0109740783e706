from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metanas.core.errors import ConfigError
from metanas.core.protocols import Context, Strategy
from metanas.core.trial import Proposal, Status, Trial
from metanas.strategies.evolution import Evolution
from metanas.strategies.random import Random
from metanas.testing import additive_context, check_strategy


def told(proposal: Proposal, status: Status = "completed") -> Trial:
    accuracy = sum(int(value) for value in proposal.architecture.key) / 18
    metrics = {"accuracy": accuracy} if status == "completed" else {}
    return Trial(proposal, "additive", 0, status, metrics)


def search(make: Callable[[Context], Strategy], trials: int, seed: int = 0) -> list[Trial]:
    strategy = make(additive_context(seed))
    done = []
    for number in range(trials):
        proposal = strategy.ask(number, ())
        assert proposal is not None
        done.append(told(proposal))
        strategy.tell(done[-1])
    return done


@pytest.mark.parametrize(("population", "sample"), [(2, 1), (5, 5), (30, 3)])
def test_it_keeps_the_laws_with_any_options(population: int, sample: int) -> None:
    check_strategy(lambda context: Evolution(context, population=population, sample=sample))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population is 1, expected at least 2"),
        ({"population": 4, "sample": 5}, "sample is 5, expected 1 to its population, 4"),
        ({"sample": 0}, "sample is 0, expected 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Evolution(additive_context(), **options)


def test_it_beats_random_search() -> None:
    def best(make: Callable[[Context], Strategy]) -> float:
        runs = [search(make, 60, seed) for seed in range(8)]
        return float(np.mean([max(t.metrics["accuracy"] for t in run) for run in runs]))

    assert best(Evolution) > best(Random) + 0.05


def test_it_never_proposes_a_network_twice_while_there_are_others() -> None:
    trials = search(Evolution, 150)
    assert len({trial.proposal.architecture.id for trial in trials}) == 150


def test_it_does_not_propose_what_is_being_evaluated() -> None:
    strategy = Evolution(additive_context(), population=2, sample=2)
    for number in range(2):
        strategy.tell(told(strategy.ask(number, ())))
    pending: list[Proposal] = []
    for number in range(2, 12):
        pending.append(strategy.ask(number, tuple(pending)))
    assert len({proposal.architecture.id for proposal in pending}) == 10


def test_it_mutates_the_best_of_those_alive() -> None:
    strategy = Evolution(additive_context(), population=4, sample=4)
    trials = [told(strategy.ask(number, ())) for number in range(4)]
    for trial in trials:
        strategy.tell(trial)
    best = max(trials, key=lambda trial: trial.metrics["accuracy"])
    child = strategy.ask(4, ())
    changed = [
        a != b for a, b in zip(child.architecture.key, best.proposal.architecture.key, strict=True)
    ]
    assert sum(changed) == 1
    assert child.reason == f"mutates trial {best.number}"


def test_the_oldest_is_forgotten_however_good_it_was() -> None:
    strategy = Evolution(additive_context(), population=3, sample=3)
    for number in range(4):
        trial = told(strategy.ask(number, ()))
        strategy.tell(replace(trial, metrics={"accuracy": 99.0 if number == 0 else 0.1 * number}))
    reasons = {strategy.ask(number, ()).reason for number in range(4, 20)}
    assert reasons == {"mutates trial 3"}


def test_a_failed_trial_is_no_parent_while_a_good_one_is_alive() -> None:
    strategy = Evolution(additive_context(), population=3, sample=3)
    statuses: tuple[Status, ...] = ("crashed", "completed", "infeasible")
    for number, status in enumerate(statuses):
        strategy.tell(told(strategy.ask(number, ()), status))
    assert strategy.ask(3, ()).reason == "mutates trial 1"
