"""The processes that a strategy keeps while trials come in, and when they learn anew.

What they predict is decided by the trials alone: told one by one or at once, it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from metanas.models.gp import Kernel, Process, Setting, settings
from metanas.strategies._candidates import Candidates

Array = npt.NDArray[np.float64]

PATIENCE = 25
"""Settings are learnt anew when a trial in so many is new."""
MOST = 200
"""From how many trials settings are learnt: half the best, half the latest."""


class Processes:
    """Processes on candidates, one a target, shared where they assume the same.

    Args:
        most: So many are kept, the latest used.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._learnt: dict[str, tuple[int, Setting]] = {}
        self._held: dict[tuple[int, float, float], Process] = {}

    def believed(
        self,
        key: str,
        pool: Candidates,
        observed: Sequence[int],
        busy: Sequence[int],
        target: Callable[[int], Array],
    ) -> tuple[Array, Array]:
        """Mean and deviation of what would be measured at all candidates, ``[m]`` each.

        The noise is part of it: an improvement by luck is one in the result as well.

        Args:
            key: Of the target; "" for one that is asked for only once.
            pool: The ``m`` candidates.
            observed: Their numbers, of those with a result, ``[n]``.
            busy: Of those whose result is awaited: it counts as what is expected.
            target: Gives the first so many results.
        """
        process = self._process(key if pool.whole else "", pool, observed, target)
        y = target(len(observed))
        mean, variance = process.predict(y)
        if busy:
            process = process.copy()
            for number in busy:
                process.add(number)
            _, variance = process.predict(np.append(y, mean[list(busy)]))
        return mean, np.sqrt(variance + process.setting.noise * process.setting.variance)

    def _process(
        self,
        key: str,
        pool: Candidates,
        observed: Sequence[int],
        target: Callable[[int], Array],
    ) -> Process:
        """The process of a target. What was learnt is kept under its key; without one it is not.

        Processes are kept for all targets that assume the same, where the pool is always the
        same, and made of the same trials however these came: their last digits depend on it.
        """
        at = _learnt_at(len(observed))
        count = at if key else len(observed)
        learnt, setting = self._learnt.get(key, (-1, None))
        if setting is None or learnt != count or not key:
            setting = _setting(pool.kernel, observed[:count], target(count))
            self._learnt[key] = (count, setting)
        if not pool.whole:
            return Process(pool.kernel, setting, observed)
        slot = (at, setting.length, setting.noise)
        process = self._held.pop(slot, None)
        if process is None:
            process = Process(pool.kernel, setting, observed[:at], self._unneeded(at))
        self._held[slot] = process
        for number in observed[process.count :]:
            process.add(number)
        return process.scaled(setting.variance)

    def _unneeded(self, at: int) -> Process | None:
        """A process that another one may take the place of: of fewer trials, or one too many."""
        old = [slot for slot in self._held if slot[0] != at]
        if not old and len(self._held) >= self._most:
            old = list(self._held)
        return self._held.pop(old[0]) if old else None


def _learnt_at(count: int) -> int:
    """When settings were last learnt: the same however the trials came, one by one or at once."""
    at = 0
    while at + 1 + at // PATIENCE <= count:
        at += 1 + at // PATIENCE
    return at


def _setting(kernel: Kernel, observed: Sequence[int], y: Array) -> Setting:
    """The most evident setting."""
    numbers = np.asarray(observed)
    if len(y) > MOST:
        chosen = np.argsort(-y, kind="stable")[: MOST // 2]
        latest = np.setdiff1d(np.arange(len(y)), chosen)[-(MOST - len(chosen)) :]
        chosen = np.concatenate([chosen, latest])
        numbers, y = numbers[chosen], y[chosen]
    return max(settings(kernel, numbers, y), key=lambda setting: setting.evidence)
