"""Exact Gaussian process regression over candidates that are known beforehand.

The observed are among the candidates, so what an observation teaches about every candidate
is one row of numbers, kept from then on: adding one costs O(n m), and no solve. A kernel may
want what is n m large in single precision, which halves its cost; the rest stays in double.

Letters: ``n`` observations, ``m`` candidates, ``d`` features; X ``[n, d]`` observed, C
``[m, d]`` candidates, y ``[n]`` targets, larger is better; R the correlations that the
kernel gives, l its length-scale, s the noise's variance as a share of the signal's, v the
signal's variance; L the lower Cholesky factor of R(X, X) + s I, and V = L^-1 R(X, C).

Sources: Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", algorithm
2.1, and equations 5.10 to 5.12 for leaving one out; Ament et al. 2023, "Unexpected
Improvements to Expected Improvement for Bayesian Optimization", section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, get_blas_funcs, solve_triangular
from scipy.special import erfcx, ndtr

from metanas.models.kernels import (
    Array,
    Floats,
    Kernel,
    Numbers,
    matern32,
    matern52,
    rbf,
    squared_distances,
)

__all__ = [
    "Array",
    "Kernel",
    "Process",
    "Setting",
    "leave_one_out",
    "log_expected_improvement",
    "log_likelihood",
    "matern32",
    "matern52",
    "rbf",
    "settings",
    "squared_distances",
]

SPARE = 16
"""A process has room for so many more observations before it moves."""

LENGTHS = (0.6, 0.9, 1.3, 2.0, 3.0, 4.5, 7.0)
NOISES = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)

USUAL_LENGTH, LENGTH_SPREAD = 3.0, 1.0
USUAL_NOISE, NOISE_SPREAD = 0.3, 1.0
"""The log-normal priors of length-scale and noise: their medians, and spreads in e-folds."""
USUAL_VARIANCE, WORTH = 0.8, 2.0
"""The signal's variance before anything is observed, and how many observations that is worth."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a process assumes.

    Args:
        length: l.
        noise: s.
        variance: v.
        evidence: The logarithm of the targets' density, and of its priors', up to a constant.
    """

    length: float
    noise: float
    variance: float = 1.0
    evidence: float = 0.0


def log_likelihood(correlation: Array, y: Array, noise: float, variance: float) -> float:
    """The logarithm of the targets' density.

    Args:
        correlation: R(X, X) ``[n, n]``.
        y: ``[n]``, of mean 0.
        noise: s.
        variance: v.
    """
    lower, white = _whitened(correlation, y, noise)
    log_determinant = 2.0 * np.log(np.diag(lower)).sum() + len(y) * np.log(variance)
    return float(-0.5 * (white @ white / variance + log_determinant + len(y) * np.log(2 * np.pi)))


def settings(kernel: Kernel, observed: Sequence[int] | Numbers, y: Array) -> list[Setting]:
    """All settings of the grid, with their evidence; the signal's variance follows from each.

    Its prior is an inverse gamma, integrated out; `Setting.variance` is then its estimate.

    Args:
        kernel: Of the candidates.
        observed: Numbers of those that were observed, ``[n]``.
        y: ``[n]``.
    """
    worth = len(y) + WORTH
    distances = kernel.distances(observed)
    found: list[Setting] = []
    for length in LENGTHS:
        correlation = kernel.mixed(distances, length)
        for noise in NOISES:
            lower, white = _whitened(correlation, y, noise)
            variance = (white @ white + WORTH * USUAL_VARIANCE) / worth
            evidence = (
                -np.log(np.diag(lower)).sum()
                - 0.5 * worth * np.log(variance)
                - 0.5 * (np.log(length / USUAL_LENGTH) / LENGTH_SPREAD) ** 2
                - 0.5 * (np.log(noise / USUAL_NOISE) / NOISE_SPREAD) ** 2
            )
            found.append(Setting(length, noise, float(variance), float(evidence)))
    return found


def _whitened(correlation: Array, y: Array, noise: float) -> tuple[Array, Array]:
    """L, and L^-1 y."""
    noisy = correlation.copy()
    noisy[np.diag_indices_from(noisy)] += noise
    lower = cholesky(noisy, lower=True, overwrite_a=True, check_finite=False)
    return lower, solve_triangular(lower, y, lower=True, check_finite=False)


def leave_one_out(correlation: Array, y: Array, setting: Setting) -> tuple[Array, Array, Array]:
    """Predictions of each target from all others, in closed form.

    Args:
        correlation: R(X, X) ``[n, n]``.
        y: ``[n]``.
        setting: Its length is not used again.

    Returns:
        Mean and variance of what would be observed, and the log density of what was, ``[n]``
        each.
    """
    inverse = np.linalg.inv(correlation + setting.noise * np.eye(len(y)))
    precision = np.diag(inverse)
    mean = y - (inverse @ y) / precision
    variance = setting.variance / precision
    log_density = -0.5 * (np.log(2 * np.pi * variance) + (y - mean) ** 2 / variance)
    return np.asarray(mean), np.asarray(variance), np.asarray(log_density)


class Process:
    """A Gaussian process of mean 0 on fixed candidates, to which observations are added.

    Args:
        kernel: Of the candidates.
        setting: What it assumes.
        observed: Numbers of the candidates that were observed first; a number may be there
            more than once.
        instead: Another process that nobody needs any more. Its memory is used again: with
            a thousand observations, fresh memory can cost as much as the solve.
    """

    def __init__(
        self,
        kernel: Kernel,
        setting: Setting,
        observed: Sequence[int] = (),
        instead: Process | None = None,
    ) -> None:
        self.setting = setting
        self._kernel = kernel
        numbers = np.asarray(observed, dtype=np.intp)
        self.count = n = len(numbers)
        room = n + SPARE + n // 4
        if instead is None or not instead._fits(n, kernel):
            self._lower = np.zeros((room, room))
            self._rows: Floats = np.empty((room, kernel.count), kernel.precision)
        else:
            self._lower, self._rows = instead._lower, instead._rows
        across = kernel(numbers, setting.length, self._rows[:n])
        noisy = across[:, numbers].astype(np.float64)
        noisy[np.diag_indices(n)] += setting.noise
        lower = cholesky(noisy.T, lower=True, overwrite_a=True)  # symmetric, and in BLAS's order
        self._lower[:n, :n] = lower
        # V' = R(C, X) L'^-1, in place: the transposes of rows are columns, as BLAS wants them.
        trsm = get_blas_funcs("trsm", (across,))
        trsm(1.0, lower.T.astype(across.dtype), across.T, side=1, lower=0, overwrite_b=1)
        self._explained = np.zeros(kernel.count)
        for start in range(0, n, SPARE):  # each sum is short, and so keeps its digits
            rows = across[start : start + SPARE]
            self._explained += np.einsum("nm,nm->m", rows, rows)

    def _fits(self, n: int, kernel: Kernel) -> bool:
        """Whether so many observations have room in its memory."""
        room, count = self._rows.shape
        return n <= room and count == kernel.count and bool(self._rows.dtype == kernel.precision)

    def add(self, number: int) -> None:
        """Observe candidate `number`; what was observed there comes with `predict`."""
        n = self.count
        if n == len(self._lower):
            self._move(n + SPARE + n // 4)
        shared = self._rows[:n, number].copy()
        noise, known = self.setting.noise, float(self._explained[number])
        # What was observed already leaves the noise; rounding cannot take more than half of it.
        pivot = float(np.sqrt(max(1.0 + noise - known, noise / 2)))
        row = (self._kernel([number], self.setting.length)[0] - shared @ self._rows[:n]) / pivot
        self._lower[n, :n], self._lower[n, n] = shared, pivot
        self._rows[n] = row
        self._explained = self._explained + row * row
        self.count += 1

    def _move(self, room: int) -> None:
        """Into arrays of its own, with room for so many observations."""
        n, lower, rows = self.count, self._lower, self._rows
        self._lower = np.zeros((room, room))
        self._rows = np.empty((room, rows.shape[1]), rows.dtype)
        self._lower[:n, :n], self._rows[:n] = lower[:n, :n], rows[:n]

    def copy(self) -> Process:
        """One that goes on alone."""
        other = copy(self)
        other._move(self.count + SPARE)
        return other

    def scaled(self, variance: float) -> Process:
        """The same with another variance of the signal; not to be added to."""
        other = copy(self)
        other.setting = replace(self.setting, variance=variance)
        return other

    def predict(self, y: Array) -> tuple[Array, Array]:
        """Mean and variance of the signal, without the noise, at all candidates.

        Args:
            y: ``[n]``, in the order in which they were observed.

        Returns:
            Two arrays ``[m]``.
        """
        n = self.count
        white = solve_triangular(self._lower[:n, :n], y, lower=True)
        mean = white.astype(self._rows.dtype) @ self._rows[:n]
        variance = self.setting.variance * np.maximum(1.0 - self._explained, 1e-9)
        return mean.astype(np.float64), variance


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of E max(0, f - best) for f normal; finite however hopeless a candidate is.

    Args:
        mean: Of f, ``[m]``.
        deviation: Of f, above 0, ``[m]``.
        best: What is to be exceeded.
    """
    z = (mean - best) / deviation
    log_normal = -0.5 * (z * z + np.log(2 * np.pi))
    near = np.maximum(z, -1.0)
    direct = np.log(np.exp(-0.5 * near * near) / np.sqrt(2 * np.pi) + near * ndtr(near))
    # phi(z) + z Phi(z) = phi(z) (1 - |z| M(|z|)) with Mills' ratio M; far out that is 1 / z^2.
    far = np.minimum(z, -1.0)
    mills = np.sqrt(np.pi / 2) * erfcx(-far / np.sqrt(2))
    share = np.where(far > -1e3, 1.0 + np.maximum(far, -1e3) * mills, 1.0 / far**2)
    return np.asarray(np.log(deviation) + np.where(z > -1.0, direct, log_normal + np.log(share)))
