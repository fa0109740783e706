"""Evolution and local search that start from a prior, and the draws that they start with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from made_priors import added, expectations
from metanas.core.objective import Objective
from metanas.core.protocols import Context, Strategy
from metanas.core.space import Architecture, Choice, Space, sample
from metanas.core.trial import Proposal, Trial
from metanas.strategies._start import TEMPERATURE, UNIFORM, best_expected, contrast, draw, expected
from metanas.strategies.evolution import Evolution
from metanas.strategies.local import Local
from metanas.testing import additive_context, check_strategy

Make = Callable[[Context], Strategy]

JUDGE = added(3)
SPACE = additive_context().space
PRIOR = expectations(SPACE, [JUDGE, JUDGE])
DRAWN = "drawn from what past tasks expect"
both = pytest.mark.parametrize("make", [Evolution, Local])


def warm(seed: int = 0) -> Context:
    return replace(additive_context(seed), prior=PRIOR)


def large() -> Context:
    """A space too large to list, with a past of its own."""
    choices = tuple(Choice(f"c{number}", tuple("0123")) for number in range(9))
    space = Space("wide", choices, None)  # type: ignore[arg-type]
    context = replace(additive_context(), space=space)
    return replace(context, prior=expectations(space, [JUDGE], trials=120))


def play(strategy: Strategy, trials: int, judge: Callable[[Architecture], float] = JUDGE):
    done: list[Trial] = []
    for number in range(trials):
        proposal = strategy.ask(number, ())
        assert proposal is not None
        metrics = {"accuracy": judge(proposal.architecture)}
        done.append(Trial(proposal, "t", 0, "completed", metrics))
        strategy.tell(done[-1])
    return done


def anything(_: Architecture) -> bool:
    return True


@both
@pytest.mark.parametrize("context", [warm(), large()], ids=["small", "large"])
def test_the_laws_are_kept_with_a_prior(make: Make, context: Context) -> None:
    check_strategy(make, context)
    check_strategy(make, replace(context, exact=True))


def test_evolution_keeps_the_laws_with_a_prior_and_several_objectives() -> None:
    several = (Objective("accuracy", "", "max"), Objective("latency_ms", "ms", "min", limit=0.5))
    check_strategy(Evolution, replace(warm(), objectives=several))


@both
def test_it_says_that_it_takes_a_prior(make: Make) -> None:
    assert make.takes_prior  # type: ignore[attr-defined]


@both
def test_without_a_prior_it_starts_at_random_and_says_so(make: Make) -> None:
    first = play(make(additive_context()), 1)[0].proposal
    rng = np.random.default_rng([0, 0])
    assert first.architecture == sample(SPACE, rng)
    assert first.reason.startswith("random")
    assert "prior" not in first.notes


def test_evolution_fills_its_first_population_from_the_prior_and_no_more() -> None:
    trials = play(Evolution(warm(), population=6, sample=3), 12)
    assert [DRAWN in trial.proposal.reason for trial in trials] == [True] * 6 + [False] * 6
    assert all("uniform" in trial.proposal.notes["prior"] for trial in trials[:6])
    assert all(trial.proposal.reason.startswith("mutates trial") for trial in trials[6:])
    assert all(not trial.proposal.notes for trial in trials[6:])


def test_local_search_starts_and_restarts_from_the_prior() -> None:
    trials = play(Local(warm()), 120)
    assert all(t.proposal.reason == f"start, {DRAWN}" for t in trials[:5])
    restarts = [t.proposal for t in trials if t.proposal.reason.startswith("restart")]
    assert restarts
    assert all(p.reason.endswith(f"is better, {DRAWN}") for p in restarts)
    assert all(p.notes["prior"].keys() == {"uniform"} and "run" in p.notes for p in restarts)
    moves = [t.proposal for t in trials if t.proposal.reason.startswith("neighbour")]
    assert moves
    assert all(p.notes.keys() == {"run"} for p in moves)


def test_local_search_draws_from_the_prior_while_its_last_neighbours_run() -> None:
    strategy = Local(warm(), initial=1)
    first = strategy.ask(0, ())
    strategy.tell(Trial(first, "t", 0, "completed", {"accuracy": 1.0}))
    pending: list[Proposal] = []
    for number in range(1, 20):
        pending.append(strategy.ask(number, tuple(pending)))
    assert pending[-1].reason == f"{DRAWN}, while the last neighbours of trial 0 run"
    assert pending[-1].notes["run"] == 1


@both
def test_starts_are_better_than_random_ones_where_the_past_is_right(make: Make) -> None:
    def start(context: Context) -> float:
        trials = play(make(context), 5)
        return float(np.mean([trial.metrics["accuracy"] for trial in trials]))

    gains = [start(warm(seed)) - start(additive_context(seed)) for seed in range(10)]
    assert min(gains) > 0


@both
def test_a_search_is_better_sooner_for_a_past_that_is_right(make: Make) -> None:
    def so_far(context: Context) -> float:
        found = [trial.metrics["accuracy"] for trial in play(make(context), 25)]
        return float(np.maximum.accumulate(found).mean())

    gains = [so_far(warm(seed)) - so_far(additive_context(seed)) for seed in range(10)]
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains))


@both
def test_nothing_is_proposed_twice_nor_while_it_runs(make: Make) -> None:
    strategy = make(warm())
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
            strategy.tell(Trial(done, "t", 0, "completed", {"accuracy": JUDGE(done.architecture)}))


@both
def test_a_space_with_nothing_left_is_no_end(make: Make) -> None:
    space = Space("four", tuple(Choice(name, (0, 1)) for name in "ab"), None)  # type: ignore[arg-type]
    past = expectations(space, [JUDGE], trials=30)
    context = Context(space, additive_context().objectives, 1, 0, prior=past)
    trials = play(make(context), 12)
    assert len({trial.proposal.architecture.id for trial in trials}) == 4


def test_a_quarter_of_the_draws_is_uniform_and_the_rest_follows_what_is_expected() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(SPACE, PRIOR, anything, rng) for _ in range(600)]
    uniform = [architecture for architecture, even in drawn if even]
    follows = [architecture for architecture, even in drawn if not even]
    assert len(uniform) / len(drawn) == pytest.approx(UNIFORM, abs=0.06)
    spread = expected(PRIOR, [sample(SPACE, rng) for _ in range(2_000)])
    assert expected(PRIOR, uniform).mean() == pytest.approx(spread.mean(), abs=0.3)
    assert expected(PRIOR, follows).mean() > spread.mean() + 1.5 * spread.std()
    assert len({architecture.id for architecture in follows}) > 50


def test_draws_that_follow_have_the_shares_of_p0() -> None:
    """In a space so small that all members are among the tickets."""
    space = Space("eight", (Choice("a", tuple(range(8)), ordered=True),), None)  # type: ignore[arg-type]
    past = expectations(space, [lambda a: float(a.values["a"])], trials=60)
    rng = np.random.default_rng(1)
    drawn = [draw(space, past, anything, rng) for _ in range(2_000)]
    counts = np.zeros(8)
    for architecture, uniform in drawn:
        counts[int(architecture.values["a"])] += not uniform
    members = [Architecture(space, {"a": at}) for at in range(8)]
    p0 = np.exp(expected(past, members) / TEMPERATURE)
    # Where the best have as many tickets as the others; that they vary blurs it a little.
    np.testing.assert_allclose(counts / counts.sum(), p0 / p0.sum(), atol=0.06)


def test_a_draw_is_fresh_while_anything_drawn_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn, _ = draw(SPACE, PRIOR, lambda each: each.values["choice_0"] == 2, rng)
        assert drawn.values["choice_0"] == 2
    any_will_do, _ = draw(SPACE, PRIOR, lambda _: False, rng)
    assert any_will_do.space == SPACE


def test_the_best_expected_of_a_small_space_is_the_best_of_all_that_is_fresh() -> None:
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    values = []
    for _ in range(5):
        found = best_expected(SPACE, PRIOR, lambda each: each.id not in seen, rng)
        assert found is not None
        seen.add(found.id)
        values.append(expected(PRIOR, [found])[0])
    everyone = np.sort(expected(PRIOR, [sample(SPACE, rng) for _ in range(3_000)]))
    assert values == sorted(values, reverse=True)
    assert values[0] >= everyone[-1] - 1e-9
    assert best_expected(SPACE, PRIOR, lambda _: False, rng) is None


def test_in_a_large_space_the_best_expected_has_no_better_neighbour_and_beats_draws() -> None:
    context = large()
    assert context.prior is not None
    rng = np.random.default_rng(0)
    found = best_expected(context.space, context.prior, anything, rng)
    assert found is not None
    drawn = [sample(context.space, rng) for _ in range(2_000)]
    assert expected(context.prior, [found])[0] > expected(context.prior, drawn).max()
    assert best_expected(context.space, context.prior, lambda _: False, rng) is None


def test_a_contrast_is_little_expected_and_far_from_what_is_known() -> None:
    rng = np.random.default_rng(0)
    best = best_expected(SPACE, PRIOR, anything, rng)
    assert best is not None
    found = [contrast(SPACE, PRIOR, [best], anything, np.random.default_rng(s)) for s in range(9)]
    middle = np.median(expected(PRIOR, [sample(SPACE, rng) for _ in range(2_000)]))
    chosen = [each for each in found if each is not None]
    assert len(chosen) == 9
    assert np.mean(expected(PRIOR, chosen) < middle) > 0.8
    assert np.mean([sum(a == b for a, b in zip(c.key, best.key, strict=True)) for c in chosen]) < 1
    assert contrast(SPACE, PRIOR, [best], lambda _: False, rng) is None
