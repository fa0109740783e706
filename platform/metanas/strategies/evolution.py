"""Regularized evolution: mutate the best of a random few, forget the oldest.

Source: Real et al. 2019, "Regularized Evolution for Image Classifier Architecture
Search", algorithm 1. Networks that were proposed before are passed over, which is our
own extension: on small spaces a third of the budget is lost without it. So is that the
first population is drawn from what past tasks expect, where there is a prior.

With several objectives each child serves its own weighing of them, drawn at random, as in
ParEGO (Knowles 2006, "ParEGO: a hybrid algorithm with on-line landscape approximation for
expensive multiobjective optimization problems", equation 2): its parent is the best of
all trials told under it, which is always one of the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metanas.core.errors import ConfigError
from metanas.core.front import costs, dominates
from metanas.core.objective import cost, excess, weighed
from metanas.core.protocols import Context
from metanas.core.space import Architecture, mutate, sample
from metanas.core.trial import Proposal, Trial
from metanas.strategies._start import DRAWN, draw

SLOPE = 0.05
"""Weight of the sum beside the largest cost: with it only what nothing dominates can be least."""

TRIES = 50
"""How often a network is drawn again before one that was seen is proposed."""


class Evolution:
    """Regularized evolution; with several objectives, evolution on their front.

    There nobody dies of age. Trials that keep all limits come before those that do not.

    Args:
        context: Of the search.
        population: How many of the latest trials are alive.
        sample: How many of them compete to be the parent.

    Raises:
        ConfigError: If there is no population, or the sample is larger than it.
    """

    takes_prior = True

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
        self._low = np.full(len(context.objectives), np.inf)
        self._high = np.full(len(context.objectives), -np.inf)
        self._seen: set[str] = set()

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal:
        """A start until the population is filled, then a mutated one."""
        rng = np.random.default_rng([self._context.seed, number])
        running = {proposal.architecture.id for proposal in pending}
        if number < self._population or not self._alive:
            architecture, reason, notes = self._start(running, rng)
        else:
            architecture, reason = self._child(running, rng)
            notes = {}
        return Proposal(number, architecture, self._context.epochs, notes=notes, reason=reason)

    def _start(
        self, running: set[str], rng: np.random.Generator
    ) -> tuple[Architecture, str, Mapping[str, Any]]:
        space, prior = self._context.space, self._context.prior
        if prior is not None:
            seen = self._seen | running
            drawn, uniform = draw(space, prior, lambda each: each.id not in seen, rng)
            return drawn, f"{DRAWN}, to fill the population", {"prior": {"uniform": uniform}}
        for _ in range(TRIES):
            architecture = sample(space, rng)
            if architecture.id not in self._seen and architecture.id not in running:
                break
        return architecture, "random, to fill the population", {}

    def _child(self, running: set[str], rng: np.random.Generator) -> tuple[Architecture, str]:
        for _ in range(TRIES):
            parent = self._of_front(rng) if self._several else self._of_sample(rng)
            architecture = mutate(parent.proposal.architecture, rng)
            if architecture.id not in self._seen and architecture.id not in running:
                break
        return architecture, f"mutates trial {parent.number}"

    def _of_sample(self, rng: np.random.Generator) -> Trial:
        size = min(self._sample, len(self._alive))
        picks = rng.choice(len(self._alive), size=size, replace=False)
        return min((self._alive[int(pick)] for pick in sorted(picks)), key=self._cost)

    def _of_front(self, rng: np.random.Generator) -> Trial:
        objectives = self._context.objectives
        missed = np.array([sum(excess(o, t.metrics) for o in objectives) for t in self._alive])
        best: list[Trial] = [
            t for t, by in zip(self._alive, missed, strict=True) if by == missed.min()
        ]
        matrix = np.array([[weighed(o, trial.metrics) for o in objectives] for trial in best])
        scaled = (matrix - self._low) / np.where(self._high > self._low, self._high - self._low, 1)
        shares = rng.dirichlet(np.ones(len(objectives))) * scaled
        return best[int((shares.max(axis=1) + SLOPE * shares.sum(axis=1)).argmin())]

    def _cost(self, trial: Trial) -> float:
        return float("inf") if trial.failed else cost(self._context.objectives[0], trial.metrics)

    def tell(self, trial: Trial) -> None:
        """The trial joins the population, and the oldest or whom it dominates leaves."""
        self._seen.add(trial.proposal.architecture.id)
        if self._several:
            self._join_front(trial)
        else:
            self._alive.append(trial)
            del self._alive[: -self._population]

    def _join_front(self, trial: Trial) -> None:
        objectives = self._context.objectives
        mine = costs(objectives, trial)
        if trial.failed or not np.isfinite(mine).all():
            return
        scaled = [weighed(objective, trial.metrics) for objective in objectives]
        self._low, self._high = np.minimum(self._low, scaled), np.maximum(self._high, scaled)
        others = [(other, costs(objectives, other)) for other in self._alive]
        if any(theirs == mine or dominates(theirs, mine) for _, theirs in others):
            return
        self._alive = [other for other, theirs in others if not dominates(mine, theirs)]
        self._alive.append(trial)


STRATEGY = Evolution
