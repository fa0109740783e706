from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from metanas.models.gp import (
    Array,
    Kernel,
    Process,
    Setting,
    leave_one_out,
    log_expected_improvement,
    log_likelihood,
    matern32,
    matern52,
    rbf,
    settings,
    squared_distances,
)

RNG = np.random.default_rng(0)
C = RNG.normal(size=(40, 3))
OBSERVED = [3, 17, 5, 29, 8, 11, 22, 36]
Y = np.sin(C[OBSERVED].sum(axis=1))
SETTING = Setting(length=1.3, noise=0.05, variance=2.0)
WHOLE = (slice(0, 3),)
PEERS = [
    (rbf, RBF(1.3, "fixed")),
    (matern32, Matern(1.3, "fixed", nu=1.5)),
    (matern52, Matern(1.3, "fixed", nu=2.5)),
]


def peer(kernel: object) -> GaussianProcessRegressor:
    scaled = ConstantKernel(2.0, "fixed") * kernel + WhiteKernel(0.1, "fixed")
    return GaussianProcessRegressor(scaled, optimizer=None).fit(C[OBSERVED], Y)


@pytest.mark.parametrize(("shape", "kernel"), PEERS)
def test_predictions_are_those_of_scikit_learn(shape, kernel) -> None:
    mean, variance = Process(Kernel.of(shape, C, WHOLE), SETTING, OBSERVED).predict(Y)
    theirs, deviation = peer(kernel).predict(C, return_std=True)
    np.testing.assert_allclose(mean, theirs, atol=1e-9)
    # Theirs is of what would be observed, ours of the signal.
    np.testing.assert_allclose(variance + 0.1, deviation**2, atol=1e-9)


@pytest.mark.parametrize(("shape", "kernel"), PEERS)
def test_the_likelihood_is_that_of_scikit_learn(shape, kernel) -> None:
    correlation = Kernel.of(shape, C, WHOLE).among(OBSERVED, 1.3)
    ours = log_likelihood(correlation, Y, noise=0.05, variance=2.0)
    assert ours == pytest.approx(peer(kernel).log_marginal_likelihood_value_)


def test_a_kernel_of_blocks_is_the_mean_of_its_blocks() -> None:
    both = Kernel.of(matern52, C, (slice(0, 1), slice(1, 3)))(range(7), 0.8)
    parts = [
        matern52(squared_distances(C[:7, block], C[:, block]) / 0.64)
        for block in (slice(0, 1), slice(1, 3))
    ]
    np.testing.assert_allclose(both, (parts[0] + parts[1]) / 2)


def test_candidates_that_share_a_block_share_its_rows() -> None:
    candidates = np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    kernel = Kernel.of(rbf, candidates, (slice(0, 1), slice(1, 2)))
    assert [len(side.rows) for side in kernel.sides] == [2, 2]
    parts = [rbf(squared_distances(candidates[:, [i]], candidates[:, [i]])) for i in (0, 1)]
    np.testing.assert_allclose(kernel(range(4), 1.0), (parts[0] + parts[1]) / 2)
    np.testing.assert_allclose(kernel.among([2, 0], 1.0), kernel([2, 0], 1.0)[:, [2, 0]])


def test_a_block_counts_by_its_weight() -> None:
    blocks = (slice(0, 1), slice(1, 3))
    one, other = (Kernel.of(rbf, C, (block,))(range(40), 1.0) for block in blocks)
    both = Kernel.of(rbf, C, blocks, (1, 3))(range(40), 1.0)
    np.testing.assert_allclose(both, (one + 3 * other) / 4)


def slow(observed: list[int], y: Array) -> tuple[Array, Array]:
    across = matern32(squared_distances(C[observed], C) / 1.3**2)
    inverse = np.linalg.inv(across[:, observed] + 0.05 * np.eye(len(observed)))
    mean = across.T @ inverse @ y
    return mean, 2.0 * (1 - np.einsum("nm,nk,km->m", across, inverse, across))


def test_adding_one_by_one_is_conditioning_on_all() -> None:
    grown = Process(Kernel.of(matern32, C, WHOLE), SETTING, OBSERVED[:2])
    order = [*OBSERVED, *range(20), 3, 3]
    for number in order[2:]:
        grown.add(number)
    y = np.cos(np.arange(len(order), dtype=float))
    for got, expected in zip(grown.predict(y), slow(order, y), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-8)


def test_before_anything_is_observed_all_candidates_are_alike() -> None:
    process = Process(Kernel.of(rbf, C, WHOLE), SETTING)
    mean, variance = process.predict(np.array([]))
    np.testing.assert_array_equal(mean, np.zeros(40))
    np.testing.assert_array_equal(variance, np.full(40, 2.0))
    process.add(3)
    assert process.predict(np.array([1.0]))[0].argmax() == 3


def test_a_copy_leaves_the_original_alone() -> None:
    process = Process(Kernel.of(rbf, C, WHOLE), SETTING, OBSERVED)
    before = process.predict(Y)
    copy = process.copy()
    for number in range(30):
        copy.add(number)
    after = process.predict(Y)
    assert copy.count == 38
    assert process.count == 8
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_single_precision_changes_digits_that_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    candidates = rng.normal(size=(900, 5))
    observed = [*rng.integers(900, size=300), 7, 7]
    halves = (slice(0, 2), slice(2, 5))
    for noise in (1e-3, 0.3):
        y = np.sin(candidates[observed, 0]) + np.sqrt(noise) * rng.normal(size=len(observed))
        found = []
        for precision in (np.float64, np.float32):
            kernel = Kernel.of(matern52, candidates, halves, (1, 2), precision)
            process = Process(kernel, Setting(3.0, noise), observed[:250])
            for number in observed[250:]:
                process.add(number)
            found.append((process.predict(y), settings(kernel, observed, y)))
        (double, learnt), (single, same) = found
        deviation = np.sqrt(double[1] + noise)
        assert np.abs(single[0] - double[0]).max() < 0.02 * deviation.min()
        np.testing.assert_allclose(np.sqrt(single[1] + noise), deviation, rtol=1e-3)
        assert all(each.dtype == np.float64 for each in single)
        assert learnt == same


def test_correlations_are_the_same_however_many_are_asked_for_at_once(monkeypatch) -> None:
    candidates = np.random.default_rng(3).integers(3, size=(60, 4)).astype(float)
    for blocks in ((slice(0, 1), slice(1, 4)), (slice(0, 4),)):
        kernel = Kernel.of(matern52, candidates, blocks)
        numbers = [5, 9, 5, 0, 59, 30, 2]
        whole = kernel(numbers, 1.1)
        monkeypatch.setattr("metanas.models.kernels.SLICE", 120)
        np.testing.assert_allclose(kernel(numbers, 1.1), whole, rtol=1e-12)
        np.testing.assert_allclose([kernel([each], 1.1)[0] for each in numbers], whole, rtol=1e-12)
        np.testing.assert_allclose(kernel.among(numbers, 1.1), whole[:, numbers], rtol=1e-12)
        monkeypatch.undo()


@pytest.mark.parametrize("observed", [range(9), range(30)])
def test_in_the_memory_of_another_it_is_as_in_its_own(observed: range) -> None:
    kernel = Kernel.of(matern52, C, WHOLE)
    old = Process(kernel, SETTING, OBSERVED)
    old.add(4)
    new = Process(kernel, SETTING, observed, old)
    y = np.cos(np.arange(len(observed) + 1.0))
    new.add(3)
    own = Process(kernel, SETTING, observed)
    own.add(3)
    assert all(np.array_equal(*pair) for pair in zip(new.predict(y), own.predict(y), strict=True))


def test_scaled_it_has_another_variance_and_stays_as_it_is_when_the_original_goes_on() -> None:
    process = Process(Kernel.of(rbf, C, WHOLE), SETTING, OBSERVED)
    other = process.scaled(6.0)
    (mean, variance), (same, threefold) = process.predict(Y), other.predict(Y)
    np.testing.assert_array_equal(mean, same)
    np.testing.assert_allclose(3 * variance, threefold)
    process.add(1)
    np.testing.assert_array_equal(other.predict(Y)[1], threefold)


def test_leaving_one_out_is_predicting_it_from_the_others() -> None:
    correlation = Kernel.of(matern32, C, WHOLE).among(OBSERVED, 1.3)
    mean, variance, log_density = leave_one_out(correlation, Y, SETTING)
    for left in range(len(OBSERVED)):
        others = [number for place, number in enumerate(OBSERVED) if place != left]
        means, variances = slow(others, np.delete(Y, left))
        assert mean[left] == pytest.approx(means[OBSERVED[left]])
        assert variance[left] == pytest.approx(variances[OBSERVED[left]] + 0.1)
        expected = -0.5 * np.log(2 * np.pi * variance[left])
        expected -= 0.5 * (Y[left] - mean[left]) ** 2 / variance[left]
        assert log_density[left] == pytest.approx(expected)


def drawn(length: float, noise: float, count: int = 120) -> tuple[Kernel, Array]:
    rng = np.random.default_rng(1)
    kernel = Kernel.of(matern52, rng.normal(size=(count, 2)), (slice(0, 2),))
    correlation = kernel(range(count), length)
    return kernel, rng.multivariate_normal(np.zeros(count), correlation + noise * np.eye(count))


@pytest.mark.parametrize(("length", "noise"), [(0.5, 0.01), (2.7, 0.01), (1.2, 0.3), (1.2, 1.0)])
def test_evidence_finds_the_setting_that_the_targets_were_drawn_with(length, noise) -> None:
    kernel, y = drawn(length, noise)
    found = max(settings(kernel, range(120), y), key=lambda each: each.evidence)
    assert 0.6 < found.length / length < 1.7
    assert 0.25 < found.noise / noise < 4


def test_evidence_orders_noises_as_the_likelihood_does_with_many_targets() -> None:
    kernel, y = drawn(1.3, 0.1)
    found = [each for each in settings(kernel, range(120), y) if each.length == 1.3]
    likelihoods = [
        log_likelihood(kernel(range(120), 1.3), y, each.noise, each.variance) for each in found
    ]
    assert np.argmax(likelihoods) == np.argmax([each.evidence for each in found])


@pytest.mark.parametrize("z", [-30.0, -5.0, -1.5, -1.0, -0.5, 0.0, 2.0, 8.0])
def test_expected_improvement_is_its_integral(z: float) -> None:
    deviation = 0.3
    mean = 0.7 + z * deviation
    scale = np.exp(-0.5 * min(z, 0.0) ** 2)
    whole, _ = quad(
        lambda t: t * np.exp(-0.5 * (t - z) ** 2 + 0.5 * min(z, 0.0) ** 2), 0, max(z, 0) + 12
    )
    expected = np.log(deviation * whole / np.sqrt(2 * np.pi)) + np.log(scale)
    got = log_expected_improvement(np.array([mean]), np.array([deviation]), 0.7)
    assert got[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_hopeless_candidates_still_have_an_order() -> None:
    means = -np.geomspace(1.0, 1e6, 200)
    logarithms = log_expected_improvement(means, np.full(200, 0.1), 0.0)
    assert np.isfinite(logarithms).all()
    assert (np.diff(logarithms) < 0).all()
