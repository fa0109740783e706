"""How well a strategy did on a table, from the rows that it evaluated.

The top 0.1 % of ``n`` rows are the ``ceil(n / 1000)`` best, with what equals the last of
them. Regret is the best value less the best so far, over the best less the median of the
table. The rank of a row is the number of strictly better ones plus one. Every proposal is
an evaluation, also of a row that was proposed before.

Shapes: ``s`` seeds, ``t`` evaluations.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.objective import Objective

Floats = npt.NDArray[np.float64]

TOP = 1_000
REGRETS, RANKS, BY_SEED = (5, 10, 25, 50, 100), (10, 25, 50, 100), (10, 50, 100)
"""After how many evaluations each figure is taken."""


@dataclass(frozen=True)
class Standing:
    """What the values of a table are worth.

    Args:
        values: ``[rows]``, larger is better; NaN where nothing was measured.
        ordered: ``[n]``, those that were measured, ascending.
        test: ``[rows]``, test values; None where there are none.
    """

    values: Floats
    ordered: Floats
    test: Floats | None

    @property
    def best(self) -> float:
        """The largest value."""
        return float(self.ordered[-1])

    @property
    def top(self) -> float:
        """The value from which on a row is among the top 0.1 %."""
        return float(self.ordered[-math.ceil(len(self.ordered) / TOP)])

    def regret(self, values: Floats) -> Floats:
        """Normalised regret of values, of any shape; 0 where the median is as good as the best."""
        spread = self.best - float(np.median(self.ordered))
        return (self.best - values) / spread if spread > 0 else np.zeros_like(values)

    def rank(self, values: Floats) -> npt.NDArray[np.intp]:
        """How many rows are strictly better, plus one."""
        return len(self.ordered) - np.searchsorted(self.ordered, values, side="right") + 1


def standing(values: Floats, objective: Objective, test: Floats | None) -> Standing:
    """Of a column, by the goal of its objective."""
    signed = values if objective.goal == "max" else -values
    return Standing(signed, np.sort(signed[np.isfinite(signed)]), test)


def scores(of: Standing, rows: Sequence[Sequence[int]], trials: int) -> dict[str, Any]:
    """The figures of a strategy, as the bench prints them.

    Args:
        of: The table's standing.
        rows: For each seed the rows that it evaluated, in order; fewer than `trials` where
            the strategy had nothing more to propose.
        trials: How many evaluations each had.
    """
    found = so_far(of, rows, trials)
    picks = [_pick(of, seed) for seed in rows]
    regret, rank = of.regret(found), of.rank(found)
    test = None if of.test is None else [float(of.test[pick]) for pick in picks]
    return {
        "evaluations_to_top_0.1pct": _reached(found, of.top),
        "evaluations_to_best": _reached(found, of.best),
        "normalized_regret": {
            str(k): _mean(regret[:, k - 1]) if k <= trials else None for k in REGRETS
        },
        "normalized_regret_by_seed": {
            str(k): [float(r) for r in regret[:, k - 1]] if k <= trials else None for k in BY_SEED
        },
        "mean_rank": {str(k): _mean(rank[:, k - 1]) if k <= trials else None for k in RANKS},
        "test_of_pick": None if test is None or not np.isfinite(test).all() else _mean(test),
    }


def so_far(of: Standing, rows: Sequence[Sequence[int]], trials: int) -> Floats:
    """``[s, t]``: the best value after each evaluation."""
    found = np.empty((len(rows), trials))
    for at, seed in enumerate(rows):
        best = np.maximum.accumulate(of.values[np.asarray(seed)])
        found[at, : len(best)] = best
        found[at, len(best) :] = best[-1]
    return found


def _pick(of: Standing, rows: Sequence[int]) -> int:
    return rows[int(np.argmax(of.values[np.asarray(rows)]))]


def _reached(found: Floats, value: float) -> dict[str, float | None]:
    """Evaluations until a value was reached: trials + 1 in the mean where it was not."""
    reached: npt.NDArray[np.bool_] = np.any(found >= value, axis=1)
    first = np.where(reached, (found >= value).argmax(axis=1) + 1, found.shape[1] + 1)
    median = statistics.median(
        [int(n) if r else math.inf for n, r in zip(first, reached, strict=True)]
    )
    return {
        "median": None if math.isinf(median) else float(median),
        "mean": _mean(first),
        "reached": _mean(reached),
    }


def _mean(values: npt.ArrayLike) -> float:
    return float(np.mean(np.asarray(values, dtype=float)))
