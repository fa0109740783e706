"""Evolution with several objectives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metanas.core.front import front_of
from metanas.core.objective import Objective
from metanas.core.protocols import Context
from metanas.core.trial import Proposal, Status, Trial
from metanas.models.pareto import hypervolume
from metanas.strategies.evolution import Evolution
from metanas.strategies.random import Random
from metanas.testing import additive_context, check_strategy

ACCURACY = Objective("accuracy", "", "max")
PRICE = Objective("price", "", "min")


def context(seed: int = 0, limit: float | None = None) -> Context:
    return replace(additive_context(seed), objectives=(ACCURACY, replace(PRICE, limit=limit)))


def told(proposal: Proposal, status: Status = "completed") -> Trial:
    """The first three choices raise the accuracy, with the price; the others are for free."""
    values = [int(value) for value in proposal.architecture.key]
    metrics = {"accuracy": sum(values) / 18, "price": sum(values[:3]) / 9 + 0.01 * values[3]}
    return Trial(proposal, "t", 0, status, metrics if status == "completed" else {})


def searched(strategy: Evolution | Random, trials: int) -> list[Trial]:
    done = []
    for number in range(trials):
        done.append(told(strategy.ask(number, ())))
        strategy.tell(done[-1])
    return done


def volume(trials: list[Trial]) -> float:
    return hypervolume(
        np.array([[1 - t.metrics["accuracy"], t.metrics["price"]] for t in trials]), (1.1, 1.1)
    )


@pytest.mark.parametrize("limit", [None, 0.3])
def test_it_keeps_the_laws(limit: float | None) -> None:
    check_strategy(Evolution, context(limit=limit))


def test_its_front_dominates_more_than_that_of_random_draws() -> None:
    gains = [
        volume(searched(Evolution(context(seed)), 50)) - volume(searched(Random(context(seed)), 50))
        for seed in range(20)
    ]
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))


def test_every_parent_is_of_the_front() -> None:
    strategy = Evolution(context())
    trials = searched(strategy, 30)
    front = {trial.number for trial in front_of(trials, (ACCURACY, PRICE))}
    parents = {int(strategy.ask(number, ()).reason.split()[-1]) for number in range(30, 130)}
    assert parents <= front
    assert len(parents) > 2


def test_trials_that_keep_the_limit_come_first() -> None:
    strategy = Evolution(context(limit=0.3))
    trials = searched(strategy, 30)
    keeping = {trial.number for trial in trials if trial.metrics["price"] <= 0.3}
    assert keeping
    parents = {int(strategy.ask(number, ()).reason.split()[-1]) for number in range(30, 80)}
    assert parents <= keeping


def test_while_nothing_keeps_the_limit_the_nearest_is_the_parent() -> None:
    strategy = Evolution(context(limit=-1.0))
    trials = searched(strategy, 20)
    parent = trials[int(strategy.ask(20, ()).reason.split()[-1])]
    assert parent.metrics["price"] == min(trial.metrics["price"] for trial in trials)


def test_failed_trials_are_no_parents() -> None:
    strategy = Evolution(context(), population=2, sample=1)
    for number in range(4):
        status: Status = "completed" if number == 1 else "crashed"
        strategy.tell(told(strategy.ask(number, ()), status))
    assert strategy.ask(4, ()).reason == "mutates trial 1"
