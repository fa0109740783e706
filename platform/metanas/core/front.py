"""Several objectives at once: what dominates what, the front, and the one that is picked.

A trial dominates another if it costs no more in any objective and less in one (Pareto).
Limits do not decide who is on the front: a limit is a wish about the pick, and the front
shows what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from metanas.core.objective import Objective, cost, excess, weighed
from metanas.core.trial import Trial

Costs = tuple[float, ...]


class Measured(Protocol):
    """What is compared: a trial, or what is left of one."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Final value of everything measured."""


M = TypeVar("M", bound=Measured)


def costs(objectives: Sequence[Objective], trial: Measured) -> Costs:
    """The trial's cost in each objective; infinite where it was not measured."""
    return tuple(cost(objective, trial.metrics) for objective in objectives)


def dominates(left: Costs, right: Costs) -> bool:
    """Whether `left` is nowhere worse and somewhere better."""
    return all(a <= b for a, b in zip(left, right, strict=True)) and left != right


def candidates(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The trials that a winner can be chosen from: those that succeeded.

    Where none has, those that ran out of time: they were measured up to there.
    """
    whole = [trial for trial in trials if not trial.failed]
    partial = [trial for trial in trials if trial.status == "timed_out"]
    return [t for t in whole or partial if all(o.name in t.metrics for o in objectives)]


def front_of(trials: Sequence[Trial], objectives: Sequence[Objective]) -> tuple[Trial, ...]:
    """The trials that none dominates, the best in the first objective first.

    Of trials with equal costs the earliest stands for all.
    """
    ranked = sorted(
        ((costs(objectives, t), t.number, t) for t in candidates(trials, objectives)),
        key=lambda item: item[:2],
    )
    front: list[tuple[Costs, Trial]] = []
    for found, _, trial in ranked:
        # Sorted, so nothing later can dominate what is there already.
        if not any(held == found or dominates(held, found) for held, _ in front):
            front.append((found, trial))
    return tuple(trial for _, trial in front)


def pick(front: Sequence[M], objectives: Sequence[Objective]) -> tuple[M | None, str]:
    """The one of a front that is named the winner, and why.

    With limits: of those that keep them all, the best in the objectives that have none.
    Where nothing keeps them: the one that misses them by the least. Several objectives
    without a limit: the knee.
    """
    if not front:
        return None, "no trial succeeded"
    limited = [objective for objective in objectives if objective.limit is not None]
    free = [objective for objective in objectives if objective.limit is None] or objectives[:1]
    wishes = " and ".join(wish(objective) for objective in limited)
    keeping = [t for t in front if not any(excess(o, t.metrics) for o in limited)]
    if limited and not keeping:
        nearest = min(front, key=lambda t: sum(excess(o, t.metrics) for o in limited))
        given = ", ".join(f"{o.name} {nearest.metrics[o.name]:.4g}" for o in limited)
        return nearest, f"nothing keeps {wishes}; this comes nearest ({given})"
    if len(free) == 1:
        best = min(keeping, key=lambda t: (cost(free[0], t.metrics), costs(objectives, t)))
        why = f"best {free[0].name}"
    else:
        best = knee(keeping, free)
        why = "knee of the front of " + " and ".join(o.name for o in free)
    return best, why + (f" that keeps {wishes}" if limited else "")


def wish(objective: Objective) -> str:
    """An objective's limit as it is written on the command line: ``latency_ms<5``."""
    assert objective.limit is not None
    return f"{objective.name}{'>' if objective.goal == 'max' else '<'}{objective.limit:g}"


def knee(front: Sequence[M], objectives: Sequence[Objective]) -> M:
    """Where the front bends most: the furthest from the plane through its extremes.

    Costs are brought to 0 (best) to 1 (worst on the front); in these units that plane is
    where they sum to 1, so the knee is the trial of the least sum (Das 1999, "On
    characterizing the knee of the Pareto curve").
    """
    matrix = np.array([[weighed(o, trial.metrics) for o in objectives] for trial in front])
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return front[int(((matrix - low) / width).sum(axis=1).argmin())]
