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

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, get_blas_funcs, solve_triangular
from scipy.special import erfcx, ndtr

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
"""Of single or double precision."""
Numbers = npt.NDArray[np.intp]
SLICE = 131_072
"""So many correlations are worked on at a time."""

SPARE = 16
"""A process has room for so many more observations before it moves."""

Shape = Callable[[Floats], Floats]
"""Correlations from squared distances that are already divided by the length-scale's square."""

LENGTHS = (0.6, 0.9, 1.3, 2.0, 3.0, 4.5, 7.0)
NOISES = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)

USUAL_LENGTH, LENGTH_SPREAD = 3.0, 1.0
USUAL_NOISE, NOISE_SPREAD = 0.3, 1.0
"""The log-normal priors of length-scale and noise: their medians, and spreads in e-folds."""
USUAL_VARIANCE, WORTH = 0.8, 2.0
"""The signal's variance before anything is observed, and how many observations that is worth."""


def rbf(r2: Floats) -> Floats:
    """Squared exponential: samples are smooth."""
    return np.asarray(np.exp(-0.5 * r2))


def matern32(r2: Floats) -> Floats:
    """Matern with nu = 3/2: samples have one derivative."""
    r = np.sqrt(3.0 * r2)
    return np.asarray((1.0 + r) * np.exp(-r))


def matern52(r2: Floats) -> Floats:
    """Matern with nu = 5/2: samples have two derivatives."""
    r = np.sqrt(5.0 * r2)
    decay = np.exp(-r)
    r *= 1.0 + r / 3.0
    r += 1.0
    r *= decay
    return np.asarray(r)


def squared_distances(left: Array, right: Array) -> Array:
    """Sums over columns of squared differences: ``[a, d]`` and ``[b, d]`` give ``[a, b]``."""
    squares = _left(left) @ _right(right)
    return np.asarray(np.maximum(squares, 0.0, out=squares))


def _left(rows: Array) -> Array:
    """``[a, d + 2]``; its product with `_right` of ``[b, d]`` is the squared distances."""
    squares = np.einsum("ad,ad->a", rows, rows)
    return np.column_stack([rows, squares, np.ones(len(rows))])


def _right(rows: Array) -> Array:
    squares = np.einsum("bd,bd->b", rows, rows)
    return np.vstack([-2.0 * rows.T, np.ones(len(rows)), squares])


@dataclass(frozen=True)
class Side:
    """A block of the candidates' columns.

    Args:
        rows: The distinct ones ``[u, d]``.
        of: Which of them each candidate has, ``[m]``.
        weight: The block's share in the kernel.
        precision: Of R of some candidates and all.
    """

    rows: Array
    of: Numbers
    weight: float
    precision: type[np.floating[Any]] = np.float64

    @cached_property
    def _right(self) -> Floats:
        return _right(self.rows).astype(self.precision)

    def correlations(
        self, shape: Shape, mine: Numbers, length: float
    ) -> Iterator[tuple[slice, Floats]]:
        """Its part of R of some of its rows and all candidates, in slices of ``[a, m]``."""
        left = (_left(self.rows[mine]) / length**2).astype(self.precision)
        step = max(1, SLICE // max(1, len(self.of)))  # stays in the processor's cache
        for start in range(0, len(left), step):
            r2 = left[start : start + step] @ self._right
            part = shape(np.maximum(r2, 0.0, out=r2))
            part *= self.weight
            every = len(self.rows) == len(self.of)
            yield slice(start, start + step), part if every else part.take(self.of, axis=1)


@dataclass(frozen=True)
class Kernel:
    """The weighted mean of one kernel a block of columns: a sum of functions, each of its block.

    Args:
        shape: Of every block's kernel.
        sides: Of the candidates, their weights adding up to 1.
    """

    shape: Shape
    sides: tuple[Side, ...]

    @classmethod
    def of(
        cls,
        shape: Shape,
        candidates: Array,
        blocks: Sequence[slice],
        weights: Sequence[float] = (),
        precision: type[np.floating[Any]] = np.float64,
    ) -> Kernel:
        """The kernel of candidates C ``[m, d]``; without weights all blocks count the same."""
        shares = np.array(weights or (1.0,) * len(blocks), dtype=np.float64)
        sides = []
        for block, share in zip(blocks, shares / shares.sum(), strict=True):
            rows = np.ascontiguousarray(candidates[:, block])
            known: dict[bytes, int] = {}
            of = np.array([known.setdefault(row.tobytes(), len(known)) for row in rows], np.intp)
            first = np.unique(of, return_index=True)[1]
            sides.append(Side(rows[first], of, float(share), precision))
        return cls(shape, tuple(sides))

    @property
    def count(self) -> int:
        """How many candidates there are, m."""
        return len(self.sides[0].of)

    @property
    def precision(self) -> type[np.floating[Any]]:
        """Of R of some candidates and all."""
        return self.sides[0].precision

    def __call__(
        self, left: Sequence[int] | Numbers, length: float, out: Floats | None = None
    ) -> Floats:
        """R of some candidates, by their numbers, and all, with length-scale l: ``[a, m]``."""
        numbers = np.asarray(left, dtype=np.intp)
        total = np.empty((len(numbers), self.count), self.precision) if out is None else out
        for place, side in enumerate(self.sides):
            for rows, part in self._part(side, side.of[numbers], length):
                total[rows] = total[rows] + part if place else part
        return total

    def _part(self, side: Side, mine: Numbers, length: float) -> Iterable[tuple[slice, Floats]]:
        distinct, of = np.unique(mine, return_inverse=True)
        if 2 * len(distinct) > len(mine):
            return side.correlations(self.shape, mine, length)
        once = np.concatenate([part for _, part in side.correlations(self.shape, distinct, length)])
        step = max(1, SLICE // max(1, self.count))
        slices = (slice(start, start + step) for start in range(0, len(mine), step))
        return ((rows, once[of[rows]]) for rows in slices)

    def among(self, left: Sequence[int] | Numbers, length: float) -> Array:
        """R of some candidates with each other, ``[a, a]``, in double precision."""
        return self.mixed(self.distances(left), length)

    def distances(self, left: Sequence[int] | Numbers) -> list[Array]:
        """Squared distances of some candidates from each other, ``[a, a]`` a side."""
        numbers = np.asarray(left, dtype=np.intp)
        mine = (side.rows[side.of[numbers]] for side in self.sides)
        return [squared_distances(rows, rows) for rows in mine]

    def mixed(self, distances: Sequence[Array], length: float) -> Array:
        """R from squared distances a side."""
        parts = zip(self.sides, distances, strict=True)
        return np.asarray(sum(side.weight * self.shape(r2 / length**2) for side, r2 in parts))


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
    """

    def __init__(self, kernel: Kernel, setting: Setting, observed: Sequence[int] = ()) -> None:
        self.setting = setting
        self._kernel = kernel
        numbers = np.asarray(observed, dtype=np.intp)
        self.count = n = len(numbers)
        room = n + SPARE + n // 4
        self._lower = np.zeros((room, room))
        self._rows = np.empty((room, kernel.count), kernel.precision)
        across = kernel(numbers, setting.length, self._rows[:n])
        noisy = across[:, numbers].astype(np.float64)
        noisy[np.diag_indices(n)] += setting.noise
        lower = cholesky(noisy, lower=True, overwrite_a=True)
        self._lower[:n, :n] = lower
        # V' = R(C, X) L'^-1, in place: the transposes of rows are columns, as BLAS wants them.
        trsm = get_blas_funcs("trsm", (across,))
        trsm(1.0, lower.T.astype(across.dtype), across.T, side=1, lower=0, overwrite_b=1)
        self._explained = np.zeros(kernel.count)
        for start in range(0, n, SPARE):  # each sum is short, and so keeps its digits
            rows = across[start : start + SPARE]
            self._explained += np.einsum("nm,nm->m", rows, rows)

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
