from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from metanas.core.errors import ConfigError
from metanas.core.front import costs
from metanas.core.objective import Objective
from metanas.core.protocols import Context, Strategy
from metanas.core.space import Architecture, Choice, Space
from metanas.core.trial import Proposal, Trial
from metanas.meta.structure import describe
from metanas.models.gp import squared_distances
from metanas.models.pareto import hypervolume
from metanas.spaces.nasbench201 import SPACE
from metanas.strategies.evolution import Evolution
from metanas.strategies.random import Random
from metanas.strategies.surrogate import Surrogate
from metanas.testing import additive_context, check_strategy

Judge = Callable[[Architecture], dict[str, float]]
ACCURACY = Objective("accuracy", "", "max")


def play(strategy: Strategy, judge: Judge, trials: int) -> list[Trial]:
    done = []
    for number in range(trials):
        proposal = strategy.ask(number, ())
        if proposal is None:
            break
        done.append(Trial(proposal, "t", 0, "completed", judge(proposal.architecture)))
        strategy.tell(done[-1])
    return done


def summed(architecture: Architecture) -> dict[str, float]:
    """Each option adds its part, and two choices work together."""
    parts = np.random.default_rng(99).normal(size=(len(architecture.key), 10))
    value = sum(parts[i, int(option)] for i, option in enumerate(architecture.key))
    return {"accuracy": float(value + (architecture.key[0] == architecture.key[1]))}


def best(trials: list[Trial]) -> float:
    return max(trial.metrics["accuracy"] for trial in trials)


def mean_best(trials: list[Trial]) -> float:
    """The best so far, in the mean over the second half."""
    found = np.maximum.accumulate([trial.metrics["accuracy"] for trial in trials])
    return float(found[len(found) // 2 :].mean())


def wide() -> Context:
    """A space too large to list."""
    choices = tuple(Choice(f"c{number}", tuple("0123")) for number in range(9))
    return Context(Space("wide", choices, None), (ACCURACY,), 1, 0)  # type: ignore[arg-type]


# Evolution too comes near the best of the small space, where options have no order.
@pytest.mark.parametrize(("context", "other"), [(additive_context(), Random), (wide(), Evolution)])
def test_it_finds_better_than_others_in_the_mean(context: Context, other: type) -> None:
    gains = []
    for seed in range(6):
        mine = replace(context, seed=seed)
        ours, theirs = (mean_best(play(each(mine), summed, 30)) for each in (Surrogate, other))
        gains.append(ours - theirs)
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))


def test_it_keeps_the_laws_with_several_objectives_limits_and_rows_of_their_own() -> None:
    size = Objective("size", "M", "min", scale="log")
    several = (ACCURACY, Objective("latency_ms", "ms", "min"), replace(size, limit=0.5))
    check_strategy(Surrogate, replace(additive_context(), objectives=several))
    check_strategy(Surrogate, replace(additive_context(), exact=True))


@pytest.mark.slow
def test_it_keeps_the_laws_in_a_large_space() -> None:
    check_strategy(Surrogate, wide())


LATENCY = Objective("latency_ms", "ms", "min")
SEVERAL = {
    "one": (ACCURACY,),
    "two": (ACCURACY, LATENCY),
    "limit": (ACCURACY, replace(LATENCY, limit=9.0)),
    "two and limit": (ACCURACY, LATENCY, Objective("size", "M", "min", limit=5.0)),
}


@pytest.mark.parametrize("objectives", SEVERAL)
def test_told_all_at_once_it_goes_on_as_the_one_that_was_told_one_by_one(objectives: str) -> None:
    context = replace(additive_context(), objectives=SEVERAL[objectives])
    one = Surrogate(context)
    trials = play(one, lambda each: summed(each) | priced(each) | sized(each), 130)
    for told in (60, 77, 130):
        other, again = Surrogate(context), Surrogate(context)
        for trial in trials[:told]:
            other.tell(trial)
            again.tell(trial)
        again.ask(told + 1, ())
        expected = trials[told].proposal if told < 130 else one.ask(130, ())
        assert other.ask(told, ()) == expected
        assert again.ask(told, ()) == expected
        # The last digits too: they decide where two are as good.
        busy = [trials[0].proposal]
        assert other.ask(told, busy) == again.ask(told, busy)


def sized(architecture: Architecture) -> dict[str, float]:
    return {"size": float(sum(int(option) for option in architecture.key[:3]))}


def test_no_network_is_proposed_twice_nor_while_it_runs() -> None:
    context = Context(SPACE(), (ACCURACY,), 1, 0)
    strategy = Surrogate(context)
    seen: set[str] = set()
    running: list[Proposal] = []
    for number in range(40):
        proposal = strategy.ask(number, running)
        assert proposal is not None
        assert proposal.architecture.id not in seen
        seen.add(proposal.architecture.id)
        running.append(proposal)
        if len(running) == 4:
            done = running.pop(0)
            strategy.tell(Trial(done, "t", 0, "completed", {"accuracy": 0.5 + number % 7}))


def skips(architecture: Architecture) -> dict[str, float]:
    """Only the network that does nothing is good, and its rows differ."""
    identity = architecture.values["e03"] == "skip_connect"
    dead = all(architecture.values[name] == "none" for name in ("e13", "e23"))
    return {"accuracy": float(identity and dead)}


def test_other_rows_of_a_network_are_proposed_only_where_each_has_a_result_of_its_own() -> None:
    for exact in (False, True):
        context = Context(SPACE(), (ACCURACY,), 1, 1, exact=exact)
        strategy = Surrogate(context)
        identity = dict.fromkeys((f"e{edge}" for edge in ("01", "02", "12", "13", "23")), "none")
        first = Architecture(context.space, identity | {"e03": "skip_connect"})
        strategy.tell(Trial(Proposal(0, first, 1), "t", 0, "completed", {"accuracy": 1.0}))
        for number in range(1, 6):
            poor = strategy.ask(number - 1, ())
            assert poor is not None
            done = Trial(replace(poor, number=number), "t", 0, "completed", {"accuracy": 0.0})
            strategy.tell(done)
        proposals = [trial.proposal for trial in play(strategy, skips, 30)]
        again = [p for p in proposals if p.architecture.id == first.id]
        assert len({p.architecture for p in again}) == len(again)
        assert bool(again) == exact


def test_what_is_infeasible_is_avoided_after_a_few() -> None:
    context = additive_context()
    strategy = Surrogate(context)
    broken = []
    for number in range(45):
        proposal = strategy.ask(number, ())
        assert proposal is not None
        bad = proposal.architecture.key[2] == 3
        broken.append(bad)
        judged = {} if bad else summed(proposal.architecture)
        status = "infeasible" if bad else "completed"
        strategy.tell(Trial(proposal, "t", 0, status, judged))  # type: ignore[arg-type]
    assert sum(broken[15:]) <= 3


def priced(architecture: Architecture) -> dict[str, float]:
    """Accuracy and latency both grow with the options' numbers."""
    total = sum(int(option) for option in architecture.key)
    tilt = 0.3 * int(architecture.key[0])
    return {"accuracy": total - tilt, "latency_ms": 1.0 + total + 2 * tilt}


def test_most_proposals_keep_a_limit_once_it_is_learnt_and_come_close_to_it() -> None:
    limited = Objective("latency_ms", "ms", "min", limit=9.0)
    context = replace(additive_context(), objectives=(ACCURACY, limited))
    trials = play(Surrogate(context), priced, 40)
    kept = [trial for trial in trials if trial.metrics["latency_ms"] <= 9.0]
    assert sum(trial in kept for trial in trials[15:]) >= 15
    assert best(kept) >= 7.7


def test_where_nothing_keeps_a_limit_yet_it_looks_for_what_does() -> None:
    limited = Objective("latency_ms", "ms", "min", limit=2.5)
    context = replace(additive_context(seed=4), objectives=(ACCURACY, limited))
    trials = play(Surrogate(context), priced, 20)
    assert "keeps latency_ms<2.5 with probability" in trials[5].proposal.reason
    assert min(trial.metrics["latency_ms"] for trial in trials) <= 2.5


def opposed(architecture: Architecture) -> dict[str, float]:
    values = np.array([int(option) for option in architecture.key])
    return {
        "accuracy": float(values[:3].sum() - 0.2 * values[3:].sum()),
        "latency_ms": float(values[1:5].sum() + 0.3 * (values[0] - values[5]) ** 2),
    }


def test_its_front_dominates_more_than_random_searches_does() -> None:
    latency = Objective("latency_ms", "ms", "min")
    gains = []
    for seed in range(4):
        context = replace(additive_context(seed=seed), objectives=(ACCURACY, latency))
        volumes = [
            hypervolume(
                np.array([costs(context.objectives, t) for t in play(each, opposed, 40)]), (3, 15)
            )
            for each in (Surrogate(context), Random(context))
        ]
        gains.append(volumes[0] - volumes[1])
    assert min(gains) > 0


def test_a_reason_names_the_gain_in_the_objectives_unit() -> None:
    context = Context(SPACE(), (Objective("accuracy_pct", "%", "max"),), 1, 0)

    def judged(architecture: Architecture) -> dict[str, float]:
        return {"accuracy_pct": 10.0 * sum("conv" in str(value) for value in architecture.key)}

    trials = play(Surrogate(context), judged, 8)
    assert trials[0].proposal.reason == "start, unlike the others"
    assert trials[-1].proposal.reason.startswith("expected gain ")
    assert " % in accuracy_pct over trial " in trials[-1].proposal.reason


def test_it_ends_when_every_network_of_a_small_space_was_proposed() -> None:
    choices = (Choice("0", (0, 1, 2)), Choice("1", (0, 1)))
    space = Space("six", choices, None)  # type: ignore[arg-type]
    context = Context(space, (ACCURACY,), 1, 0)
    assert len(play(Surrogate(context), summed, 20)) == 6
    assert len(play(Surrogate(context, initial=10), summed, 20)) == 6


def test_starts_are_less_alike_than_random_ones() -> None:
    space = SPACE()

    def nearest(strategy_type: type) -> float:
        found = []
        for seed in range(10):
            strategy = strategy_type(Context(space, (ACCURACY,), 1, seed))
            starts = [
                t.proposal.architecture for t in play(strategy, lambda _: {"accuracy": 0.0}, 5)
            ]
            distances = squared_distances(describe(space, starts), describe(space, starts))
            found.append((distances + 1e9 * np.eye(5)).min(axis=1).mean())
        return float(np.mean(found))

    assert nearest(Surrogate) > 1.5 * nearest(Random)


def test_too_few_starts_are_refused() -> None:
    with pytest.raises(ConfigError, match="surrogate's initial is 1, expected at least 2"):
        Surrogate(additive_context(), initial=1)
