"""What is learnt from past tasks, against the same computed slowly, and on made tasks."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal

from metanas.meta import sources
from metanas.meta.sources import Settings, Sources, learn
from metanas.models.arc_cosine import arc_cosine
from metanas.models.copula import normal_scores

Array = npt.NDArray[np.float64]

WIDTH = 6


def described(rng: np.random.Generator, count: int) -> Array:
    """Features of mean square length 1."""
    return rng.normal(size=(count, WIDTH)) / np.sqrt(WIDTH)


def bent(features: Array, slope: Array) -> Array:
    """A smooth function that is not linear."""
    return np.asarray(np.tanh(features @ slope) + 0.5 * (features @ slope[::-1]) ** 2)


def tasks(
    alike: float, counts: tuple[int, ...], seed: int = 0, noise: float = 0.05
) -> tuple[Array, npt.NDArray[np.intp], Array]:
    """Trials of tasks whose functions share a part as large as `alike`, from 0 to 1."""
    rng = np.random.default_rng(seed)
    shared = 2 * rng.normal(size=WIDTH)
    features, scores = [], []
    for count in counts:
        own = 2 * rng.normal(size=WIDTH)
        rows = described(rng, count)
        values = alike * bent(rows, shared) + (1 - alike) * bent(rows, own)
        features.append(rows)
        scores.append(normal_scores(values + noise * values.std() * rng.normal(size=count)))
    of = np.repeat(np.arange(len(counts)), counts)
    return np.concatenate(features), of, np.concatenate(scores)


def slow_kernel(
    left: Array,
    left_of: npt.NDArray[np.intp],
    right: Array,
    right_of: npt.NDArray[np.intp],
    settings: Settings,
) -> Array:
    """One pair of trials at a time."""
    found = np.empty((len(left), len(right)))
    for i, j in product(range(len(left)), range(len(right))):
        alike = arc_cosine(left[[i]], right[[j]], settings.depth, sources.BIAS).item()
        same = 1.0 if left_of[i] == right_of[j] else settings.correlation
        found[i, j] = same * alike / (1 + sources.BIAS)
    return found


def slow_evidence(
    features: Array, of: npt.NDArray[np.intp], scores: Array, settings: Settings
) -> float:
    """The signal's variance v is integrated out numerically under its inverse gamma prior.

    With a and b half of WORTH and of WORTH times USUAL_VARIANCE: v ~ IG(a, b).
    """
    kernel = slow_kernel(features, of, features, of, settings)
    correlation = kernel + settings.noise * np.eye(len(scores))
    a, b = sources.WORTH / 2, sources.WORTH * sources.USUAL_VARIANCE / 2
    squares = float(scores @ np.linalg.solve(correlation, scores))
    at_one = multivariate_normal.logpdf(scores, cov=correlation)
    # In u = log v the prior's density is proportional to exp(-a u - b exp(-u)).
    u = np.linspace(-8, 8, 1601)
    density = at_one - 0.5 * (len(scores) * u + squares * (np.exp(-u) - 1))
    logs = density - a * u - b * np.exp(-u)
    prior = -0.5 * np.log(settings.noise / sources.USUAL_NOISE) ** 2
    return float(logs.max() + np.log(np.exp(logs - logs.max()).sum()) + prior)


def test_the_settings_are_those_of_the_largest_evidence_of_all() -> None:
    features, of, scores = tasks(0.7, (9, 8))
    grid = [
        Settings(*each) for each in product(sources.DEPTHS, sources.CORRELATIONS, sources.NOISES)
    ]
    evidence = [slow_evidence(features, of, scores, each) for each in grid]
    assert learn(["p", "q"], features, of, scores).settings == grid[int(np.argmax(evidence))]


@pytest.mark.parametrize("seed", range(3))
def test_expectations_are_those_of_the_whole_joint_gaussian(seed: int) -> None:
    features, of, scores = tasks(0.6, (14, 11, 6), seed)
    found = learn(["p", "q", "r"], features, of, scores)
    asked = described(np.random.default_rng(99), 5)
    own = slow_kernel(features, of, features, of, found.settings)
    noisy = own + found.settings.noise * np.eye(len(of))
    for task in range(3):
        across = slow_kernel(asked, np.full(5, task), features, of, found.settings)
        expected = across @ np.linalg.solve(noisy, scores)
        np.testing.assert_allclose(found.means(asked)[:, task], expected, atol=1e-8)


def test_what_is_predicted_of_those_left_out_is_what_is_learnt_without_them() -> None:
    features, of, scores = tasks(0.6, (14, 11))
    found = learn(["p", "q"], features, of, scores)
    own = slow_kernel(features, of, features, of, found.settings)
    noisy = own + found.settings.noise * np.eye(len(of))
    left_out = np.empty(len(of))
    for at in range(len(of)):
        others = np.arange(len(of)) != at
        pulls = np.linalg.solve(noisy[np.ix_(others, others)], scores[others])
        left_out[at] = own[at, others] @ pulls
    for task in range(2):
        mine = of == task
        expected = np.corrcoef(left_out[mine], scores[mine])[0, 1]
        assert found.predicted[task] == pytest.approx(expected, abs=1e-8)


def test_a_task_with_few_trials_is_known_better_beside_one_that_is_like_it() -> None:
    gains = []
    for seed in range(6):
        features, of, scores = tasks(1.0, (60, 8, 200), seed)
        few, many = of == 1, of == 2  # the third task's trials are the truth of the second's
        both = of <= 1
        alone = learn(["few"], features[few], np.zeros(8, dtype=np.intp), scores[few])
        beside = learn(["many", "few"], features[both], of[both], scores[both])
        truth = scores[many]
        mine = np.corrcoef(alone.means(features[many])[:, 0], truth)[0, 1]
        ours = np.corrcoef(beside.means(features[many])[:, 1], truth)[0, 1]
        gains.append(ours - mine)
    assert min(gains) > 0
    assert np.mean(gains) > 0.2


def test_tasks_that_are_alike_get_a_high_correlation_and_unlike_ones_a_low_one() -> None:
    same = [learn(["p", "q"], *tasks(1.0, (60, 60), s)).settings.correlation for s in range(4)]
    other = [learn(["p", "q"], *tasks(0.0, (60, 60), s)).settings.correlation for s in range(4)]
    assert min(same) >= 0.9
    assert np.mean(other) <= 0.45
    assert max(other) < min(same)


def test_unlike_tasks_do_not_spoil_each_other() -> None:
    for seed in range(4):
        features, of, scores = tasks(0.0, (60, 60), seed)
        found = learn(["p", "q"], features, of, scores)
        for task in range(2):
            mine = of == task
            alone = learn(["p"], features[mine], np.zeros(60, dtype=np.intp), scores[mine])
            assert found.predicted[task] > alone.predicted[0] - 0.1


def test_a_task_whose_results_are_noise_is_not_trusted_and_one_beside_it_is() -> None:
    wrong = 0
    for seed in range(10):
        features, of, scores = tasks(0.8, (80, 80), seed)
        rng = np.random.default_rng(seed)
        scores[of == 1] = rng.permutation(scores[of == 1])
        found = learn(["sound", "shuffled"], features, of, scores)
        assert found.trusted[0]
        wrong += int(found.trusted[1])
    assert wrong == 0


def test_when_all_is_noise_hardly_anything_is_trusted() -> None:
    trusted = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        features, of, scores = tasks(0.8, (60, 60), seed)
        found = learn(["p", "q"], features, of, rng.permutation(scores))
        trusted += [bool(each) for each in found.trusted]
    assert sum(trusted) <= 1


def test_one_task_alone_is_learnt_from() -> None:
    features, of, scores = tasks(1.0, (120,))
    found = learn(["only"], features[:80], of[:80], scores[:80])
    assert found.names == ("only",)
    assert found.trusted.tolist() == [True]
    expected = found.means(features[80:])
    assert expected.shape == (40, 1)
    assert np.corrcoef(expected[:, 0], scores[80:])[0, 1] > 0.8


def test_the_order_of_trials_and_of_tasks_changes_nothing() -> None:
    features, of, scores = tasks(0.5, (30, 20))
    asked = described(np.random.default_rng(1), 9)
    found = learn(["p", "q"], features, of, scores)
    order = np.random.default_rng(2).permutation(50)
    other = learn(["q", "p"], features[order], 1 - of[order], scores[order])
    assert other.settings == found.settings
    np.testing.assert_allclose(other.means(asked)[:, ::-1], found.means(asked), atol=1e-8)
    np.testing.assert_allclose(other.predicted[::-1], found.predicted, atol=1e-8)


def test_turned_scores_turn_what_is_expected() -> None:
    features, of, scores = tasks(0.5, (30, 20))
    asked = described(np.random.default_rng(1), 9)
    found, turned = (learn(["p", "q"], features, of, s) for s in (scores, -scores))
    assert turned.settings == found.settings
    np.testing.assert_allclose(turned.means(asked), -found.means(asked), atol=1e-10)


def test_far_from_all_trials_it_expects_the_average() -> None:
    features, of, scores = tasks(1.0, (40,))
    features[:, 0] = 0.0
    found = learn(["p"], features, of, scores)
    apart = np.zeros((1, WIDTH))
    apart[0, 0] = 1.0
    assert abs(found.means(apart)[0, 0]) < found.means(features).std()


def test_equal_results_teach_nothing_and_break_nothing() -> None:
    features, of, scores = tasks(0.5, (30, 5))
    scores[of == 1] = 0.0
    found = learn(["p", "equal"], features, of, scores)
    assert found.trusted.tolist() == [True, False]
    assert found.predicted[1] == 0.0
    assert np.isfinite(found.means(features)).all()


def test_the_same_architecture_many_times_breaks_nothing() -> None:
    features, of, scores = tasks(0.5, (20, 20))
    found = learn(
        ["p", "q"], np.repeat(features, 3, axis=0), np.repeat(of, 3), np.repeat(scores, 3)
    )
    assert isinstance(found, Sources)
    assert np.isfinite(found.means(features)).all()


def test_settings_of_many_trials_are_those_of_some_of_all_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, of, scores = tasks(1.0, (120, 120))
    whole = learn(["p", "q"], features, of, scores)
    monkeypatch.setattr(sources, "MOST_FOR_SETTINGS", 60)
    some = learn(["p", "q"], features, of, scores)
    assert some.settings.correlation >= 0.9
    assert whole.settings.correlation >= 0.9
    assert len(some.pulls) == 240  # all of them are learnt from all the same
