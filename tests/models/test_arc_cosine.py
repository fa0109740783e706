"""The kernel of wide networks, against its integral and against networks that are wide."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from metanas.models.arc_cosine import arc_cosine

Array = npt.NDArray[np.float64]

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 4)), RNG.normal(size=(5, 4))
UNITS = 40_000


def with_bias(rows: Array, bias: float) -> Array:
    """A bias of variance `bias` is the weight of one more feature, of its root."""
    return np.column_stack([rows, np.full(len(rows), np.sqrt(bias))])


def layer(rows: Array, rng: np.random.Generator) -> Array:
    """Random rectified units, with equation 1's factor 2."""
    return np.sqrt(2 / UNITS) * np.maximum(rows @ rng.normal(size=(rows.shape[1], UNITS)), 0)


def by_formula(left: Array, right: Array, depth: int) -> float:
    """Equations 3, 6 and 11 one pair at a time: J(t) = sin t + (pi - t) cos t."""

    def kernel(a: Array, b: Array, layers: int) -> float:
        if layers == 0:
            return float(a @ b)
        norms = np.sqrt(kernel(a, a, layers - 1) * kernel(b, b, layers - 1))
        t = np.arccos(np.clip(kernel(a, b, layers - 1) / norms, -1, 1))
        return float(norms * (np.sin(t) + (np.pi - t) * np.cos(t)) / np.pi)

    return kernel(left, right, depth)


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_no_layer_is_the_linear_kernel(bias: float) -> None:
    np.testing.assert_allclose(arc_cosine(X, Y, 0, bias), X @ Y.T + bias, atol=1e-12)


@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_one_layer_is_the_integral_over_rectified_units(bias: float) -> None:
    drawn = [
        (left @ right.T)
        for seed in range(10)
        for left, right in [
            np.split(layer(with_bias(np.vstack([X, Y]), bias), np.random.default_rng(seed)), [7])
        ]
    ]
    scatter = np.std(drawn, axis=0, ddof=1) / np.sqrt(len(drawn))
    assert (np.abs(np.mean(drawn, axis=0) - arc_cosine(X, Y, 1, bias)) < 5 * scatter).all()
    assert scatter.max() < 0.05


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_deeper_kernels_are_the_published_recursion(depth: int, bias: float) -> None:
    left, right = with_bias(X, bias), with_bias(Y, bias)
    expected = [[by_formula(a, b, depth) for b in right] for a in left]
    np.testing.assert_allclose(arc_cosine(X, Y, depth, bias), expected, rtol=1e-6, atol=1e-6)


def test_values_that_can_be_worked_out_by_hand() -> None:
    east, north, west = np.eye(2)[[0]], np.eye(2)[[1]], -np.eye(2)[[0]]
    assert arc_cosine(east, north, 1, 0.0).item() == pytest.approx(1 / np.pi)
    assert arc_cosine(east, west, 1, 0.0).item() == pytest.approx(0.0, abs=1e-12)
    assert arc_cosine(east, west, 2, 0.0).item() == pytest.approx(1 / np.pi)
    assert arc_cosine(2 * east, 3 * east, 1, 0.0).item() == pytest.approx(6.0)
    sixty = np.array([[0.5, np.sqrt(3) / 2]])
    third = (np.sqrt(3) / 2 + (2 * np.pi / 3) * 0.5) / np.pi
    assert arc_cosine(east, sixty, 1, 0.0).item() == pytest.approx(third)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 8])
def test_the_diagonal_is_the_squared_length_at_every_depth(depth: int) -> None:
    np.testing.assert_allclose(
        np.diag(arc_cosine(X, X, depth, 0.3)), (X * X).sum(axis=1) + 0.3, rtol=1e-6
    )


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_it_is_symmetric_and_positive_semidefinite(depth: int) -> None:
    rows = np.random.default_rng(1).normal(size=(60, 3))
    rows = np.vstack([rows, rows[:5], -rows[:5], np.zeros((1, 3))])  # equal, opposite, nothing
    kernel = arc_cosine(rows, rows, depth, 0.3)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-9)
    assert np.linalg.eigvalsh(kernel).min() > -1e-6 * kernel.max()


def test_doubled_features_double_it_where_there_is_no_bias() -> None:
    np.testing.assert_allclose(arc_cosine(2 * X, Y, 2, 0.0), 2 * arc_cosine(X, Y, 2, 0.0))


def test_of_no_rows_or_no_features_it_is_as_large_as_asked_for() -> None:
    assert arc_cosine(X[:0], Y, 2, 0.3).shape == (0, 5)
    np.testing.assert_allclose(arc_cosine(np.empty((2, 0)), np.empty((3, 0)), 2, 0.3), 0.3)
