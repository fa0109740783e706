"""Kernels of Gaussian processes over candidates that are known beforehand.

What two candidates have in common in a block of their columns is worked out once for all
that share it. Correlations of some candidates with all are in the precision that is wanted,
those of some with each other in double precision.

Letters: ``a`` of ``m`` candidates, ``u`` distinct rows, ``d`` features; R the correlations
that the kernel gives, l its length-scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
"""Of single or double precision."""
Numbers = npt.NDArray[np.intp]
SLICE = 131_072
"""So many correlations are worked on at a time."""

Shape = Callable[[Floats], Floats]
"""Correlations from squared distances that are already divided by the length-scale's square."""


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
        """A side's part in slices of ``[a, m]``, in one go where few rows are shared."""
        distinct, of = np.unique(mine, return_inverse=True)
        if 2 * len(distinct) >= len(mine):
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
