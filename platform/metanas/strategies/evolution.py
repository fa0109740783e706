"""Regularized evolution: mutate the best of a random few, forget the oldest.

Source: Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
Search", algorithm 1; for several objectives Deb et al. 2002, "A Fast and Elitist
Multiobjective Genetic Algorithm: NSGA-II", one child at a time. Networks that were
proposed before are passed over, which is our own extension: on small spaces a third of
the budget is lost without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metanas.core.errors import ConfigError
from metanas.core.front import costs, crowding, ranks
from metanas.core.objective import cost, excess
from metanas.core.protocols import Context
from metanas.core.space import Architecture, mutate, sample
from metanas.core.trial import Proposal, Trial

TRIES = 50
"""How often a network is drawn again before one that was seen is proposed."""


class Evolution:
    """Regularized evolution on one objective, NSGA-II's selection on several.

    With several objectives nobody dies of age: the population is what non-dominated
    sorting and crowding keep of all trials told, and of two drawn from it the one on the
    better front, then with more room, is the parent. Trials that keep all limits come
    before those that do not (Deb's constrained domination).

    Args:
        context: Of the search.
        population: How many of the latest trials are alive.
        sample: How many of them compete to be the parent.

    Raises:
        ConfigError: If there is no population, or the sample is larger than it.
    """

    def __init__(self, context: Context, *, population: int = 10, sample: int = 5) -> None:
        if population < 2:
            raise ConfigError(f"evolution's population is {population}, expected at least 2")
        if not 1 <= sample <= population:
            raise ConfigError(
                f"evolution's sample is {sample}, expected 1 to its population, {population}"
            )
        self._context = context
        self._population = population
        self._sample = sample
        self._several = len(context.objectives) > 1
        self._alive: list[Trial] = []
        self._seen: set[str] = set()

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal:
        """A random architecture until the population is filled, then a mutated one."""
        context = self._context
        rng = np.random.default_rng([context.seed, number])
        running = {proposal.architecture.id for proposal in pending}
        for _ in range(TRIES):
            architecture, reason = self._candidate(number, rng)
            if architecture.id not in self._seen and architecture.id not in running:
                break
        return Proposal(number, architecture, context.epochs, reason=reason)

    def _candidate(self, number: int, rng: np.random.Generator) -> tuple[Architecture, str]:
        if number < self._population or not self._alive:
            return sample(self._context.space, rng), "random, to fill the population"
        size = 2 if self._several else self._sample
        picks = rng.choice(len(self._alive), size=min(size, len(self._alive)), replace=False)
        if self._several:
            parent = self._alive[min(picks)]  # kept in their order, the best first
        else:
            parent = min((self._alive[pick] for pick in sorted(picks)), key=self._cost)
        return mutate(parent.proposal.architecture, rng), f"mutates trial {parent.number}"

    def _cost(self, trial: Trial) -> float:
        return float("inf") if trial.failed else cost(self._context.objectives[0], trial.metrics)

    def tell(self, trial: Trial) -> None:
        """The trial joins the population; the oldest or, of several objectives, the last leaves."""
        self._seen.add(trial.proposal.architecture.id)
        self._alive.append(trial)
        if self._several:
            self._alive = _sorted([t for t in self._alive if not t.failed], self._context)
            del self._alive[self._population :]
        else:
            del self._alive[: -self._population]


def _sorted(trials: Sequence[Trial], context: Context) -> list[Trial]:
    """By limits missed, then by front, then by room on it, then by number."""
    objectives = context.objectives
    if not trials:
        return []
    matrix = np.array([costs(objectives, trial) for trial in trials])
    missed = [sum(excess(o, t.metrics) for o in objectives) for t in trials]
    found = ranks(matrix)
    room = np.zeros(len(trials))
    for rank in range(int(found.max()) + 1):
        room[found == rank] = crowding(matrix[found == rank])
    order = sorted(
        range(len(trials)), key=lambda i: (missed[i], found[i], -room[i], trials[i].number)
    )
    return [trials[i] for i in order]


STRATEGY = Evolution
