"""How far a search follows past tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit

from metanas.core.space import check
from metanas.core.trial import Proposal, Trial
from metanas.meta.mixture import FLOOR, Mixed, misled, mix
from metanas.meta.transfer import believe
from metanas.models.copula import normal_scores
from metanas.models.gp import Kernel, matern52
from metanas.testing import additive_context

Array = npt.NDArray[np.float64]

NONE = np.empty(0, dtype=np.intp)
COUNT, WIDTH = 60, 4


@dataclass
class Named:
    """A prior of which nothing but the names of its tasks is asked for."""

    sources: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def means(self, architectures: object) -> Array:
        raise NotImplementedError


def mixed(
    seed: int, results: int, right: float, log_gain: Array | None = None, busy: int = 0
) -> Mixed:
    """With two past tasks that are `right` for 1, know nothing for 0, are contrary for -1.

    Half of what is true does not follow from the structure.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, WIDTH))
    truth = np.tanh(features @ rng.normal(size=WIDTH)) + 0.6 * rng.normal(size=COUNT)
    expected = truth / truth.std() if right else rng.permutation(truth) / truth.std()
    means = np.stack([(right or 1.0) * expected + 0.2 * rng.normal(size=COUNT) for _ in "pq"], 1)
    order = rng.permutation(COUNT)
    y = normal_scores(truth[order[:results]])
    kernel = Kernel.of(matern52, features, (slice(0, WIDTH),))
    gain = np.full(COUNT, -2.0) if log_gain is None else log_gain
    running = order[results : results + busy]
    return mix(Named(("p", "q")), kernel, means, order[:results], y, running, gain)


def test_right_sources_keep_most_of_the_say_and_those_that_know_nothing_lose_it() -> None:
    right = [mixed(seed, 20, 1.0).share for seed in range(10)]
    blind = [mixed(seed, 20, 0.0).share for seed in range(10)]
    assert min(right) > 0.9
    assert np.median(blind) < 0.1


@pytest.mark.parametrize("right", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("results", [2, 5, 30])
def test_shares_leave_the_searchs_own_results_a_say(right: float, results: int) -> None:
    shares = [mixed(seed, results, right).share for seed in range(8)]
    assert min(shares) >= 0.0
    assert max(shares) <= 1.0 - FLOOR


def test_the_share_follows_the_odds() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(COUNT, WIDTH))
    kernel = Kernel.of(matern52, features, (slice(0, WIDTH),))
    means, y = rng.normal(size=(COUNT, 2)), normal_scores(rng.normal(size=12))
    observed = np.arange(12)
    belief = believe(kernel, means, observed, y, NONE)
    found = mix(Named(("p", "q")), kernel, means, observed, y, NONE, np.full(COUNT, -1.0))
    assert found.share == pytest.approx(min(expit(belief.odds), 1.0 - FLOOR))
    np.testing.assert_allclose(
        np.exp(found.log_gain),
        found.share * np.exp(belief.log_gain) + (1 - found.share) * np.exp(-1.0),
    )
    assert found.weights == dict(zip("pq", belief.weights.tolist(), strict=True))


def test_what_the_searchs_own_results_promise_is_never_lost() -> None:
    own = np.full(COUNT, -9.0)
    own[17] = 6.0
    for right in (1.0, -1.0, 0.0):
        found = mixed(0, 12, right, own)
        assert int(np.argmax(found.log_gain)) == 17
        assert found.log_gain[17] >= np.log(FLOOR) + 6.0 - 1e-9


@pytest.mark.parametrize("right", [1.0, 0.0, -1.0])
def test_what_is_promised_is_finite_also_where_nothing_is_hoped_for(right: float) -> None:
    own = np.full(COUNT, -1e6)
    found = mixed(3, 25, right, own, busy=3)
    assert np.isfinite(found.log_gain).all()


def test_contrary_sources_are_turned_and_right_ones_are_not() -> None:
    assert all(mixed(seed, 12, -1.0).turned for seed in range(8))
    assert not any(mixed(seed, 12, 1.0).turned for seed in range(8))


def test_notes_are_small_plain_json_and_the_reason_names_each_task() -> None:
    found = mixed(0, 10, 1.0)
    note = found.notes["prior"]
    assert json.loads(json.dumps(found.notes)) == found.notes
    assert 0.0 <= note["share"] <= 1.0
    assert note["weights"].keys() == {"p", "q"}
    assert f"{note['share']:.2f}" in found.reason
    assert "p +0." in found.reason
    assert "q +0." in found.reason


def trial(notes: dict[str, Any]) -> Trial:
    context = additive_context()
    architecture = dict.fromkeys((choice.name for choice in context.space.choices), 0)
    proposal = Proposal(0, check(context.space, architecture), 1, notes=notes)
    return Trial(proposal, "t", 0, "completed", {"accuracy": 0.5})


def test_a_trial_proposed_by_right_sources_or_none_is_not_misled() -> None:
    assert not misled(trial({}))
    assert not misled(trial({"prior": {"uniform": False}}))
    assert not misled(trial(mixed(0, 12, 1.0).notes))


def test_a_trial_proposed_with_the_past_turned_says_that_it_was_misled() -> None:
    assert misled(trial(mixed(0, 12, -1.0).notes))
