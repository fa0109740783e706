"""Local search: try the neighbours of the best so far, move to the first that is better.

Source: White, Nolen and Savani 2021, "Exploring the Loss Landscape in Neural Architecture
Search", in the variant that starts from the best of a few random draws and leaves a
neighbourhood as soon as something better is found. Starting again at a local optimum, and
what happens with several proposals pending, is our own.

A run is one descent: random draws, then neighbours of the best of them, until none is
better. A run never looks at the trials of another one. Which run a trial belongs to
travels in its proposal's notes. While the last neighbours of a run are being evaluated,
draws for the next run are proposed, so that nothing waits. A trial that ends late can
reopen a run that was over: the earliest open run goes on first. Draws are uniform, or from
what past tasks expect, where there is a prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metanas.core.errors import ConfigError
from metanas.core.objective import cost
from metanas.core.protocols import Context
from metanas.core.space import Architecture, neighbours, sample
from metanas.core.trial import Proposal, Trial
from metanas.strategies._start import DRAWN, draw

TRIES = 50
"""How often a network is drawn again before one that was seen is proposed."""


class Local:
    """Local search on one objective, with restarts.

    Args:
        context: Of the search.
        initial: How many random architectures the first run starts from.

    Raises:
        ConfigError: If there are none, or several objectives.
    """

    takes_prior = True

    def __init__(self, context: Context, *, initial: int = 5) -> None:
        if len(context.objectives) > 1:
            names = ", ".join(objective.name for objective in context.objectives)
            raise ConfigError(
                f"local works on one objective and is given {names}; use evolution, or keep one"
            )
        if initial < 1:
            raise ConfigError(f"local's initial is {initial}, expected at least 1")
        self._context = context
        self._initial = initial
        self._how = "random" if context.prior is None else DRAWN
        self._first = "random start" if context.prior is None else f"start, {DRAWN}"
        self._seen: set[str] = set()
        self._centres: dict[int, Trial] = {}
        self._open: dict[int, dict[str, Architecture]] = {}
        self._latest_over = -1

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal:
        """A neighbour of the current run's best trial, or a random draw for the next run."""
        rng = np.random.default_rng([self._context.seed, number])
        running = {proposal.architecture.id for proposal in pending}
        current = min(self._open, default=None)
        if number < self._initial:
            return self._draw(number, rng, running, 0, self._first)
        if current is None:
            return self._draw(number, rng, running, self._latest_over + 1, self._why_restart())
        centre = self._centres[current].number
        left = [near for key, near in self._open[current].items() if key not in running]
        if not left:
            reason = f"{self._how}, while the last neighbours of trial {centre} run"
            return self._draw(number, rng, running, max(current, self._latest_over) + 1, reason)
        architecture = left[rng.integers(len(left))]
        return self._proposal(
            number, architecture, {"run": current}, f"neighbour of trial {centre}"
        )

    def tell(self, trial: Trial) -> None:
        """One neighbour less; the trial is its run's centre if it is better than all before it."""
        architecture = trial.proposal.architecture
        self._seen.add(architecture.id)
        for left in self._open.values():
            left.pop(architecture.id, None)
        run = int(trial.proposal.notes.get("run", 0))
        if self._cost(trial) < self._cost(self._centres.get(run)):
            self._centres[run] = trial
            near = {each.id: each for each in neighbours(architecture)}
            self._open[run] = {key: near[key] for key in near if key not in self._seen}
        for run in [run for run, left in self._open.items() if not left]:
            del self._open[run]
            self._latest_over = max(self._latest_over, run)

    def _cost(self, trial: Trial | None) -> float:
        if trial is None or trial.failed:
            return float("inf")
        return cost(self._context.objectives[0], trial.metrics)

    def _why_restart(self) -> str:
        if self._latest_over < 0:
            return self._first
        centre = self._centres[self._latest_over].number
        how = "" if self._context.prior is None else f", {self._how}"
        return f"restart: no neighbour of trial {centre} is better{how}"

    def _draw(
        self, number: int, rng: np.random.Generator, running: set[str], run: int, reason: str
    ) -> Proposal:
        space, prior = self._context.space, self._context.prior
        notes: dict[str, Any] = {"run": run}
        if prior is not None:
            seen = self._seen | running
            architecture, uniform = draw(space, prior, lambda each: each.id not in seen, rng)
            notes["prior"] = {"uniform": uniform}
            return self._proposal(number, architecture, notes, reason)
        for _ in range(TRIES):
            architecture = sample(space, rng)
            if architecture.id not in self._seen and architecture.id not in running:
                break
        return self._proposal(number, architecture, notes, reason)

    def _proposal(
        self, number: int, architecture: Architecture, notes: Mapping[str, Any], reason: str
    ) -> Proposal:
        return Proposal(number, architecture, self._context.epochs, notes=notes, reason=reason)


STRATEGY = Local
