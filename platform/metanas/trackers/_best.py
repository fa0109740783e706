"""Which trial would be named the winner now: kept up to date trial by trial.

The answer is that of `pick` on the front of all trials so far. What one more trial costs
depends on the length of the front, not on how many trials there were.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metanas.core.front import Costs, costs, dominates, pick, wish
from metanas.core.objective import Objective, excess


@dataclass(frozen=True, slots=True)
class _Point:
    """A trial of the front: what is needed to compare it."""

    number: int
    metrics: Mapping[str, float]


class Best:
    """The best of the trials that were added.

    Args:
        objectives: What decides, with their limits.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = tuple(objectives)
        self._limited = [each for each in self._objectives if each.limit is not None]
        self._front: list[tuple[Costs, int, _Point]] = []
        self._pick: _Point | None = None

    def add(self, number: int, metrics: Mapping[str, float]) -> bool:
        """Take in a trial that succeeded; whether it would be named the winner now."""
        if not all(objective.name in metrics for objective in self._objectives):
            return False
        point = _Point(number, metrics)
        found = costs(self._objectives, point)
        place = bisect.bisect_right(self._front, (found, number), key=lambda held: held[:2])
        # Sorted by costs, so only those before can dominate it, and it only those after.
        before, after = self._front[:place], self._front[place:]
        if any(held == found or dominates(held, found) for held, _, _ in before):
            return False
        left = [each for each in after if found != each[0] and not dominates(found, each[0])]
        self._front = [*before, (found, number, point), *left]
        self._pick, _ = pick([each for _, _, each in self._front], self._objectives)
        return self._pick is point

    @property
    def number(self) -> int | None:
        """Of the trial that would be named the winner; None where none has succeeded."""
        return None if self._pick is None else self._pick.number

    def kept(self) -> dict[str, float]:
        """The objectives' values of the best of those that keep all limits; empty without one."""
        held = self._pick
        if held is None or any(excess(each, held.metrics) for each in self._limited):
            return {}
        return {each.name: held.metrics[each.name] for each in self._objectives}

    def wishes(self) -> str:
        """The limits, as they are written on the command line; "" without any."""
        return " and ".join(wish(each) for each in self._limited)
