from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from metanas.core.plugins import listing, reference, resolve
from metanas.core.space import Choice, Space
from metanas.strategies.random import Random
from metanas.testing import additive_context, check_strategy


@pytest.mark.parametrize("name", [listed.name for listed in listing("strategies")])
def test_every_strategy_keeps_the_laws_on_a_space_with_holes(name: str) -> None:
    context = additive_context(seed=5)
    space = replace(context.space, allowed=lambda values: sum(values.values()) % 3 != 0)
    check_strategy(resolve(reference("strategies", name)), replace(context, space=space))


@pytest.mark.parametrize("name", [listed.name for listed in listing("strategies")])
def test_every_strategy_keeps_the_laws_on_a_space_smaller_than_its_budget(name: str) -> None:
    context = additive_context(seed=5)
    space = Space("small", (Choice("a", (1, 2)), Choice("b", ("x", "y"))), context.space.build)
    check_strategy(resolve(reference("strategies", name)), replace(context, space=space))


def test_draws_depend_on_seed_and_number_alone() -> None:
    keys = [
        Random(additive_context(seed)).ask(n, ()).architecture.key
        for seed in range(5)
        for n in range(20)
    ]
    assert len(set(keys)) > 90


def test_every_option_is_drawn() -> None:
    strategy = Random(additive_context())
    drawn = [strategy.ask(number, ()).architecture for number in range(400)]
    counts = Counter(architecture.values["choice_0"] for architecture in drawn)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 60
