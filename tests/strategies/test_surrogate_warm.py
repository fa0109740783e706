"""The surrogate with a prior: laws, starts, what it says, and what it gains and risks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from made_priors import ACCURACY, added, expectations
from metanas.core.objective import Objective
from metanas.core.protocols import Context, Strategy
from metanas.core.space import Architecture, Choice, Space, sample
from metanas.core.trial import Proposal, Trial
from metanas.spaces.nasbench201 import SPACE as CELLS
from metanas.strategies._start import expected
from metanas.strategies.surrogate import FADED, WARM, Surrogate
from metanas.testing import additive_context, check_strategy

JUDGE = added(3)
SPACE = additive_context().space
PRIOR = expectations(SPACE, [JUDGE, JUDGE])
LATENCY = Objective("latency_ms", "ms", "min")

Judge = Callable[[Architecture], float]


def warm(seed: int = 0) -> Context:
    return replace(additive_context(seed), prior=PRIOR)


def large(seed: int = 0) -> Context:
    """A space too large to list, with a past of its own."""
    choices = tuple(Choice(f"c{number}", tuple("0123")) for number in range(9))
    space = Space("wide", choices, None)  # type: ignore[arg-type]
    past = expectations(space, [JUDGE], trials=120)
    return Context(space, (ACCURACY,), 1, seed, prior=past)


def play(
    strategy: Strategy, trials: int, judge: Judge = JUDGE, status: str = "completed"
) -> list[Trial]:
    done: list[Trial] = []
    for number in range(trials):
        proposal = strategy.ask(number, ())
        if proposal is None:
            break
        metrics = {"accuracy": judge(proposal.architecture), "latency_ms": 1.0}
        found = metrics if status == "completed" else {}
        done.append(Trial(proposal, "t", 0, status, found))  # type: ignore[arg-type]
        strategy.tell(done[-1])
    return done


def so_far(context: Context, judge: Judge = JUDGE, trials: int = 20) -> float:
    """The best so far, in the mean over the trials."""
    found = [trial.metrics["accuracy"] for trial in play(Surrogate(context), trials, judge)]
    return float(np.maximum.accumulate(found).mean())


def tiny() -> Context:
    """81 members: a whole search is asked for in no time."""
    space = replace(SPACE, choices=tuple(Choice(name, (0, 1, 2), ordered=True) for name in "abcd"))
    return Context(space, (ACCURACY,), 2, 0, prior=expectations(space, [JUDGE, JUDGE], trials=40))


def test_the_laws_are_kept_with_a_prior() -> None:
    check_strategy(Surrogate, tiny())


def test_the_laws_are_kept_with_rows_of_their_own_limits_and_several_objectives() -> None:
    check_strategy(Surrogate, replace(tiny(), exact=True))
    check_strategy(Surrogate, replace(tiny(), objectives=(ACCURACY, replace(LATENCY, limit=0.5))))
    check_strategy(Surrogate, replace(tiny(), objectives=(ACCURACY, LATENCY)))


@pytest.mark.slow
def test_the_laws_are_kept_in_a_space_of_thousands() -> None:
    check_strategy(Surrogate, warm())


@pytest.mark.slow
def test_the_laws_are_kept_in_a_large_space() -> None:
    check_strategy(Surrogate, large())


def test_told_all_at_once_it_goes_on_as_the_one_that_was_told_one_by_one() -> None:
    one, other = Surrogate(warm()), Surrogate(warm())
    trials = play(one, FADED + 5)
    for trial in trials[: FADED - 10]:
        other.tell(trial)
    for trial in trials[FADED - 10 :]:
        assert other.ask(trial.number, ()) == trial.proposal
        other.tell(trial)


def test_it_starts_with_what_is_expected_most_and_checks_on_it() -> None:
    trials = play(Surrogate(warm()), WARM)
    everyone = np.random.default_rng(0)
    draws = expected(PRIOR, [sample(SPACE, everyone) for _ in range(3_000)])
    first, second = expected(PRIOR, [trial.proposal.architecture for trial in trials])
    assert first >= draws.max() - 1e-9
    assert second < np.median(draws)
    assert trials[0].proposal.reason == "past tasks expect most of it: past0, past1"
    assert trials[1].proposal.reason == "past tasks expect little of it: a check on them"


def test_then_each_proposal_says_how_much_the_past_had_to_do_with_it() -> None:
    for trial in play(Surrogate(warm()), 12)[WARM:]:
        note = trial.proposal.notes["prior"]
        assert note["weights"].keys() == {"past0", "past1"}
        assert 0 <= note["share"] <= 1
        assert json.loads(json.dumps(dict(trial.proposal.notes))) == trial.proposal.notes
        assert "expected gain" in trial.proposal.reason
        assert f"past tasks have a share of {note['share']:.2f}" in trial.proposal.reason


def test_after_many_trials_the_past_has_no_say() -> None:
    trials = play(Surrogate(warm()), FADED + 4)
    assert "prior" in trials[FADED - 1].proposal.notes
    assert all(not trial.proposal.notes for trial in trials[FADED:])
    assert all("past tasks" not in trial.proposal.reason for trial in trials[FADED:])


def test_without_a_prior_nothing_of_it_is_said() -> None:
    for trial in play(Surrogate(additive_context()), 8):
        assert "past" not in trial.proposal.reason
        assert not trial.proposal.notes


@pytest.mark.parametrize("make", [warm, large])
def test_a_past_that_is_right_makes_it_better_sooner(make: Callable[[int], Context]) -> None:
    gains = [so_far(make(s)) - so_far(replace(make(s), prior=None)) for s in range(4)]
    assert min(gains) > 0


def test_a_past_that_says_the_contrary_costs_little_in_the_end() -> None:
    contrary = expectations(SPACE, [JUDGE, JUDGE], labels="negated")
    behind = []
    for seed in range(5):
        misled = play(Surrogate(replace(warm(seed), prior=contrary)), 30)
        cold = play(Surrogate(additive_context(seed)), 30)
        behind.append(
            max(t.metrics["accuracy"] for t in cold) - max(t.metrics["accuracy"] for t in misled)
        )
        last = misled[-1].proposal.notes["prior"]
        assert last["share"] < 0.1 or sum(last["weights"].values()) < 0
    spread = np.std([JUDGE(sample(SPACE, np.random.default_rng(s))) for s in range(200)])
    assert np.mean(behind) < 0.1 * spread


@pytest.mark.parametrize("context", [warm(), large()], ids=["small", "large"])
@pytest.mark.parametrize("workers", [1, 5])
def test_no_network_is_proposed_twice_nor_while_it_runs(context: Context, workers: int) -> None:
    strategy = Surrogate(context)
    seen: set[str] = set()
    running: list[Proposal] = []
    for number in range(25):
        proposal = strategy.ask(number, running)
        assert proposal is not None
        assert proposal.architecture.id not in seen
        seen.add(proposal.architecture.id)
        running.append(proposal)
        if len(running) == workers:
            done = running.pop(number % len(running))
            strategy.tell(Trial(done, "t", 0, "completed", {"accuracy": JUDGE(done.architecture)}))


def test_with_many_pending_before_any_result_all_starts_differ() -> None:
    strategy, pending = Surrogate(warm()), []
    for number in range(8):
        proposal = strategy.ask(number, pending)
        assert proposal is not None
        pending.append(proposal)
    assert len({proposal.architecture.id for proposal in pending}) == 8
    assert sum("expect little" in proposal.reason for proposal in pending) == 1


def test_what_runs_changes_what_is_proposed_next() -> None:
    strategy = Surrogate(warm())
    play(strategy, 10)
    first = strategy.ask(10, ())
    assert first is not None
    second = strategy.ask(10, (first,))
    assert second is not None
    assert second.architecture.id != first.architecture.id


@pytest.mark.parametrize("exact", [False, True])
def test_other_rows_of_a_network_are_proposed_only_where_each_has_a_result(exact: bool) -> None:
    space = CELLS()

    def convolutions(architecture: Architecture) -> float:
        return float(sum("conv" in str(value) for value in architecture.values.values()))

    past = expectations(space, [convolutions], trials=100)
    context = Context(space, (ACCURACY,), 1, 0, exact=exact, prior=past)
    trials = play(Surrogate(context), 15, convolutions)
    assert len({trial.proposal.architecture for trial in trials}) == 15
    if not exact:
        assert len({trial.proposal.architecture.id for trial in trials}) == 15


def test_it_ends_when_every_network_of_a_small_space_was_proposed() -> None:
    space = Space("six", (Choice("0", (0, 1, 2)), Choice("1", (0, 1))), None)  # type: ignore[arg-type]
    past = expectations(space, [JUDGE], trials=30)
    context = Context(space, (ACCURACY,), 1, 0, prior=past)
    assert len(play(Surrogate(context), 20)) == 6


def test_with_nothing_but_failures_it_goes_on_with_what_is_expected() -> None:
    trials = play(Surrogate(warm()), 6, status="infeasible")
    others = [trial for trial in trials if trial.number != 1]
    assert all("past tasks expect most of it" in trial.proposal.reason for trial in others)
    values = expected(PRIOR, [trial.proposal.architecture for trial in others])
    assert (np.diff(values) <= 1e-9).all()


def test_with_several_objectives_the_past_tells_two_starts_and_the_rest_goes_as_without() -> None:
    context = replace(warm(), objectives=(ACCURACY, LATENCY))
    trials = play(Surrogate(context, initial=5), 8)
    reasons = [trial.proposal.reason for trial in trials]
    assert all(reason.startswith("past tasks expect") for reason in reasons[:WARM])
    assert reasons[WARM:5] == ["start, unlike the others"] * (5 - WARM)
    assert all("weighing" in reason for reason in reasons[5:])
    assert all(not trial.proposal.notes for trial in trials[WARM:])


def test_a_limit_is_kept_with_a_prior_that_knows_nothing_of_it() -> None:
    limited = replace(LATENCY, limit=9.0)
    context = replace(warm(), objectives=(ACCURACY, limited))
    strategy, kept = Surrogate(context), []
    for number in range(35):
        proposal = strategy.ask(number, ())
        assert proposal is not None
        latency = float(sum(int(value) for value in proposal.architecture.key))
        kept.append(latency <= 9.0)
        metrics = {"accuracy": JUDGE(proposal.architecture), "latency_ms": latency}
        strategy.tell(Trial(proposal, "t", 0, "completed", metrics))
    assert sum(kept[15:]) >= 15
