"""Every strategy that is found keeps the two laws; what is particular to the built-in ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metanas.core.errors import ConfigError
from metanas.core.plugins import listing, reference, resolve
from metanas.core.trial import Trial
from metanas.strategies.evolution import Evolution
from metanas.strategies.random import Random
from metanas.testing import additive_context, check_strategy


@pytest.mark.parametrize("name", [each.name for each in listing("strategies")])
def test_a_strategy_keeps_the_laws(name: str) -> None:
    check_strategy(resolve(reference("strategies", name)))


def best(strategy_type: type, seed: int, trials: int) -> float:
    """The best accuracy found on a landscape in which every choice adds its part."""
    context = additive_context(seed)
    strategy = strategy_type(context)
    parts = np.random.default_rng(99).normal(size=(len(context.space.choices), 10))
    found = []
    for number in range(trials):
        proposal = strategy.ask(number, ())
        value = sum(
            parts[i, choice.index(proposal.architecture.values[choice.name])]
            for i, choice in enumerate(context.space.choices)
        )
        metric = context.objectives[0]
        signed = value if metric.goal == "max" else -value
        strategy.tell(Trial(proposal, "t", 0, "completed", {metric.name: float(signed)}))
        found.append(value)
    return max(found)


def test_evolution_finds_better_than_random_in_the_mean() -> None:
    gains = [best(Evolution, seed, 60) - best(Random, seed, 60) for seed in range(20)]
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))


def test_evolution_passes_over_what_it_has_seen_or_what_runs() -> None:
    context = additive_context()
    strategy = Evolution(context, population=4, sample=2)
    seen, running = set(), []
    for number in range(40):
        proposal = strategy.ask(number, running)
        assert proposal.architecture.id not in seen
        seen.add(proposal.architecture.id)
        running.append(proposal)
        if len(running) == 3:
            done = running.pop(0)
            strategy.tell(Trial(done, "t", 0, "completed", {"accuracy": number / 40}))


def test_evolution_says_whom_it_mutates_and_prefers_success() -> None:
    context = additive_context()
    strategy = Evolution(context, population=3, sample=3)
    name = context.objectives[0].name
    for number in range(3):
        trial = Trial(strategy.ask(number, ()), "t", 0, "completed", {name: 0.5})
        failed = replace(trial, status="crashed", metrics={}, error="killed")
        strategy.tell(trial if number == 1 else failed)
    assert strategy.ask(3, ()).reason == "mutates trial 1"


@pytest.mark.parametrize(("population", "sample"), [(1, 1), (4, 5), (4, 0)])
def test_a_population_that_cannot_be_is_refused(population: int, sample: int) -> None:
    with pytest.raises(ConfigError, match="evolution's"):
        Evolution(additive_context(), population=population, sample=sample)
