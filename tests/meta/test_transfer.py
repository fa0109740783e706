"""What past tasks say of a new one, against the whole joint Gaussian of every setting."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from metanas.meta import transfer
from metanas.meta.transfer import Belief, believe
from metanas.models.copula import normal_scores
from metanas.models.gp import Kernel, matern52

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

NONE = np.empty(0, dtype=np.intp)
WIDTH = 4
COUNT = 60


@dataclass(frozen=True)
class Case:
    """Candidates, what past tasks expect of them, and what is true on the new one."""

    features: Array
    means: Array
    truth: Array

    @property
    def kernel(self) -> Kernel:
        return Kernel.of(matern52, self.features, (slice(0, 2), slice(2, WIDTH)))

    def believe(self, observed: Numbers, busy: Numbers = NONE) -> Belief:
        return believe(self.kernel, self.means, observed, normal_scores(self.truth[observed]), busy)


def case(seed: int, sources: int = 3, right: float = 1.0, count: int = COUNT) -> Case:
    """Past tasks that are `right` for 1, know nothing for 0, and say the contrary for -1."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, WIDTH))
    functions = [np.tanh(features @ rng.normal(size=WIDTH)) for _ in range(sources + 2)]
    shared, truth_own, *own = [(each - each.mean()) / each.std() for each in functions]
    means = np.stack([0.7 * right * shared + 0.3 * each for each in own], axis=1)
    return Case(features, means, shared + 0.3 * truth_own + 0.1 * rng.normal(size=count))


def some(seed: int, count: int, of: int = COUNT) -> Numbers:
    return np.random.default_rng([seed, 1]).choice(of, count, replace=False)


@dataclass(frozen=True)
class Slow:
    """One setting: the joint Gaussian of all candidates, and of the weights b."""

    evidence: float
    mean: Array
    deviation: Array
    weights: Array


def slow_setting(
    given: Case, observed: Numbers, busy: Numbers, setting: tuple[int, float, float, float, float]
) -> Slow:
    sign, length, spread, signal, noise = setting
    everyone = np.arange(len(given.truth))
    share = spread**2 / given.means.shape[1]
    middle = given.means.mean(axis=1) - given.means[observed].mean()
    scaled = normal_scores(given.truth[observed]) * width_of(given, observed)
    covariance = signal * given.kernel(everyone, length) + share * given.means @ given.means.T
    joint = covariance[np.ix_(observed, observed)] + noise * np.eye(len(observed))
    evidence = multivariate_normal.logpdf(scaled, sign * middle[observed], joint)
    for value, usual in (
        (signal, transfer.USUAL_SIGNAL),
        (noise, transfer.USUAL_NOISE),
        (spread, transfer.USUAL_SPREAD),
    ):
        evidence += -0.5 * np.log(value / usual) ** 2
    evidence += transfer.TURNED if sign < 0 else 0.0
    pulls = np.linalg.solve(joint, scaled - sign * middle[observed])
    known = np.concatenate([observed, busy])
    noisy = covariance[np.ix_(known, known)] + noise * np.eye(len(known))
    explained = covariance[:, known] @ np.linalg.solve(noisy, covariance[known])
    return Slow(
        float(evidence),
        sign * middle + covariance[:, observed] @ pulls,
        np.sqrt(np.diag(covariance - explained) + noise),
        sign / given.means.shape[1] + share * given.means[observed].T @ pulls,
    )


def width_of(given: Case, observed: Numbers) -> float:
    return max(float(given.means.mean(axis=1)[observed].std()), transfer.NARROWEST)


def slow(given: Case, observed: Numbers, busy: Numbers = NONE) -> tuple[list[Slow], float]:
    """Every setting, the likeliest first, and the cold evidence."""
    grid = itertools.product(
        transfer.SIGNS, transfer.LENGTHS, transfer.SPREADS, transfer.SIGNALS, transfer.NOISES
    )
    found = [slow_setting(given, observed, busy, each) for each in grid]
    y = normal_scores(given.truth[observed])
    cold = [
        multivariate_normal.logpdf(
            y,
            cov=signal * (given.kernel.among(observed, length) + noise * np.eye(len(observed))),
        )
        for length in transfer.LENGTHS
        for signal in transfer.COLD_SIGNALS
        for noise in transfer.COLD_NOISES
    ]
    return sorted(found, key=lambda each: -each.evidence), float(
        logsumexp(cold) - np.log(len(cold))
    )


@pytest.mark.parametrize("right", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("busy", [[], [4, 11]])
@pytest.mark.parametrize("count", [2, 7, 20])
def test_it_is_the_mean_over_the_joint_gaussians_of_the_likeliest_settings(
    right: float, busy: list[int], count: int
) -> None:
    given, observed = case(count, right=right), some(count, count)
    running = np.array(busy, dtype=np.intp)
    found = given.believe(observed, running)
    likeliest = slow(given, observed, running)[0][: transfer.KEPT]
    shares = np.exp(np.array([each.evidence for each in likeliest]))
    shares /= shares.sum()
    width = width_of(given, observed)
    best = normal_scores(given.truth[observed]).max() * width
    gain = np.zeros(COUNT)
    for share, each in zip(shares, likeliest, strict=True):
        z = (each.mean - best) / each.deviation
        gain += share * each.deviation * (norm.pdf(z) + z * norm.cdf(z))
    mean = sum(share * each.mean for share, each in zip(shares, likeliest, strict=True))
    weights = sum(share * each.weights for share, each in zip(shares, likeliest, strict=True))
    np.testing.assert_allclose(found.mean, mean / width, atol=1e-6)
    np.testing.assert_allclose(found.weights, weights, atol=1e-6)
    np.testing.assert_allclose(np.exp(found.log_gain), gain / width, atol=1e-6)


@pytest.mark.parametrize("right", [1.0, 0.0, -1.0])
def test_the_odds_differ_between_results_as_the_densities_do(right: float) -> None:
    """Up to a constant: the priors of the settings do not add up to 1."""
    differences = []
    for seed in range(6):
        given, observed = case(seed, right=right), some(seed, 3 + 2 * seed)
        settings, cold = slow(given, observed)
        past = logsumexp([each.evidence for each in settings])
        past += len(observed) * np.log(width_of(given, observed))
        differences.append(given.believe(observed).odds - (past - cold))
    np.testing.assert_allclose(differences, differences[0], atol=1e-6)


def test_a_candidate_with_two_results_is_counted_twice() -> None:
    given = case(0)
    twice = np.array([3, 3, 9, 20])
    settings, _ = slow(given, twice)
    assert given.believe(twice).weights == pytest.approx(
        _weighed(settings[: transfer.KEPT]), abs=1e-6
    )


def _weighed(likeliest: list[Slow]) -> Array:
    shares = np.exp(np.array([each.evidence for each in likeliest]))
    weights = np.stack([each.weights for each in likeliest])
    return np.asarray((shares / shares.sum()) @ weights)


def test_sources_that_are_right_are_believed_and_what_they_expect_is_found() -> None:
    for seed in range(8):
        given = case(seed)
        found = given.believe(some(seed, 8))
        assert not found.turned
        assert found.odds > 0
        assert np.corrcoef(found.mean, given.truth)[0, 1] > 0.8


def test_sources_that_say_the_contrary_are_turned_after_a_handful_of_results() -> None:
    for seed in range(8):
        given, order = case(seed, right=-1.0), some(seed, 12)
        found = given.believe(order)
        assert found.turned
        assert found.weights.sum() < -0.3
        assert np.corrcoef(found.mean, given.truth)[0, 1] > 0.7
    early = [case(s, right=-1.0).believe(some(s, 6)).turned for s in range(20)]
    assert np.mean(early) >= 0.9


def test_sources_that_are_right_are_not_turned_by_two_results() -> None:
    assert not any(case(seed).believe(some(seed, 2)).turned for seed in range(20))


def test_sources_that_know_nothing_lose_the_comparison() -> None:
    odds = []
    for seed in range(12):
        given = case(seed)
        rng = np.random.default_rng(seed)
        blind = Case(given.features, rng.permutation(given.means), given.truth)
        odds.append(blind.believe(some(seed, 25)).odds)
    assert np.mean(np.array(odds) < 0) >= 0.9
    right = [case(seed).believe(some(seed, 25)).odds for seed in range(12)]
    assert min(right) > max(0.0, float(np.median(odds)))


def test_of_two_sources_the_one_that_is_right_gets_the_larger_weight() -> None:
    weights = []
    for seed in range(8):
        given = case(seed, sources=1)
        rng = np.random.default_rng(seed)
        beside = np.column_stack([given.means, rng.permutation(given.means)])
        weights.append(Case(given.features, beside, given.truth).believe(some(seed, 15)).weights)
    right, blind = np.transpose(weights)
    assert (right > blind).all()
    assert np.mean(right - blind) > 0.4


def test_what_is_awaited_lowers_what_is_hoped_for_and_moves_nothing_else() -> None:
    given, observed = case(0), some(0, 10)
    calm = given.believe(observed)
    best = int(np.argmax(calm.log_gain))
    awaited = given.believe(observed, np.array([best], dtype=np.intp))
    assert (awaited.log_gain <= calm.log_gain + 1e-9).all()
    assert awaited.log_gain[best] < calm.log_gain[best]
    np.testing.assert_allclose(awaited.mean, calm.mean)
    assert awaited.odds == calm.odds
    np.testing.assert_allclose(awaited.weights, calm.weights)


def test_the_order_of_tasks_changes_nothing() -> None:
    given, observed = case(0), some(0, 9)
    found = given.believe(observed, np.array([7]))
    order = np.array([2, 0, 1])
    other = Case(given.features, given.means[:, order], given.truth)
    turned_round = other.believe(observed, np.array([7]))
    np.testing.assert_allclose(turned_round.log_gain, found.log_gain, atol=1e-8)
    np.testing.assert_allclose(turned_round.weights, found.weights[order], atol=1e-8)
    assert turned_round.odds == pytest.approx(found.odds, abs=1e-8)


def test_the_order_of_results_and_of_candidates_changes_nothing() -> None:
    given, observed = case(0), some(0, 9)
    found = given.believe(observed)
    again = given.believe(observed[::-1])
    np.testing.assert_allclose(again.log_gain, found.log_gain, atol=1e-8)
    order = np.random.default_rng(5).permutation(COUNT)
    other = Case(given.features[order], given.means[order], given.truth[order])
    places = np.argsort(order)[observed]
    np.testing.assert_allclose(other.believe(places).log_gain, found.log_gain[order], atol=1e-8)


@pytest.mark.parametrize(("slope", "shift"), [(1e-3, 0.0), (40.0, -7.0), (1.0, 1e6)])
def test_the_unit_of_the_results_changes_nothing(slope: float, shift: float) -> None:
    given, observed = case(0), some(0, 9)
    found = given.believe(observed)
    other = Case(given.features, given.means, slope * given.truth + shift).believe(observed)
    np.testing.assert_allclose(other.log_gain, found.log_gain, atol=1e-9)


def test_negating_all_sources_costs_no_more_than_the_prior_odds_of_it() -> None:
    for seed in range(8):
        given, observed = case(seed), some(seed, 15)
        contrary = Case(given.features, -given.means, given.truth)
        found, turned = given.believe(observed), contrary.believe(observed)
        assert abs(turned.odds - found.odds) <= -transfer.TURNED + 1e-9
        assert turned.weights.sum() == pytest.approx(-found.weights.sum(), abs=0.3)
        assert np.corrcoef(turned.mean, found.mean)[0, 1] > 0.97


def test_sources_that_expect_the_same_of_all_change_nothing_and_break_nothing() -> None:
    given = case(0)
    flat = Case(given.features, np.zeros_like(given.means), given.truth)
    found = flat.believe(some(0, 10))
    assert np.isfinite(found.log_gain).all()
    assert np.isfinite(found.odds)


def test_results_that_are_all_equal_break_nothing() -> None:
    given = case(0)
    level = Case(given.features, given.means, np.zeros(COUNT))
    found = level.believe(some(0, 10))
    assert np.isfinite(found.log_gain).all()
    assert np.isfinite(found.odds)


def test_it_stays_finite_for_many_results() -> None:
    given = case(0, count=300)
    found = given.believe(some(0, 150, 300))
    assert np.isfinite(found.log_gain).all()
    assert np.isfinite([*found.weights, found.odds]).all()
