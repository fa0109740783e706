"""The seams: what a strategy, estimator, executor, tracker and journal must do.

Nothing inherits from these; anything of the right shape is one. The laws that types
cannot say are in the docstrings, and `metanas.testing` checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metanas.core.objective import Objective
from metanas.core.space import Architecture, Space, Value
from metanas.core.task import Task
from metanas.core.trial import Job, Outcome, Proposal, Report, Trial


class Prior(Protocol):
    """What past tasks expect in the space of a search."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The past tasks, ``S`` of them, at least one."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What JSON holds: where it comes from, and what was left out of it and why."""

    def means(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        """What each past task expects of architectures.

        Returns:
            Normal scores ``[n, S]``, larger is better, 0 where a task tells nothing.
        """


@dataclass(frozen=True)
class Context:
    """What a strategy may know of its search before it starts.

    The number of trials is not part of it: a search that is extended must go on as one
    that was longer from the start.

    Args:
        space: What is searched.
        objectives: What decides.
        epochs: Of each training.
        seed: Decides all randomness.
        exact: Whether each combination of values has a result of its own, even where
            several are the same network, as the rows of a table have. Otherwise a network
            that was evaluated is answered from memory.
        prior: What past tasks expect; None for a search that starts from nothing.
    """

    space: Space
    objectives: tuple[Objective, ...]
    epochs: int
    seed: int
    exact: bool = False
    prior: Prior | None = None


class Strategy(Protocol):
    """Chooses which architecture to evaluate next.

    1. `ask` changes no answer of a later `ask`. Its randomness comes from ``(seed,
       number)`` alone; it may memoise whatever the told trials determine.
    2. Its state is its constructor arguments and the trials told, in order. So a new
       instance told the stored trials continues exactly where the old one was.

    A plug-in is a callable ``STRATEGY(context, **options)`` that gives one, and raises
    `ConfigError` where it cannot work with the context.
    """

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        """Propose trial `number`, knowing which proposals are being evaluated.

        None means "ask again after the next tell" while any are pending, and "the search
        is over" while none are.
        """

    def tell(self, trial: Trial) -> None:
        """Take in a finished trial, whatever its status."""


class Estimator(Protocol):
    """Judges an architecture on a task: trains it, looks it up, ...

    Yields a report an epoch, `epochs` in all, the last one with all metrics of the task
    (of validation; of test where `final`). The same arguments give the same metrics. The
    last report of a final training carries the network's weights, where there are any.

    Raises:
        InfeasibleError: The network cannot be built or run.
        DivergedError: Training gave NaN or infinity.
    """

    def __call__(
        self,
        space: Space,
        architecture: Architecture,
        task: Task,
        *,
        epochs: int,
        settings: Mapping[str, Value],
        seed: int,
        objectives: Sequence[Objective] = (),
        final: bool = False,
    ) -> Iterator[Report]:
        """Yield a report an epoch."""


Evaluate = Callable[[Job], Iterator[Report | Outcome]]
"""Runs a job: its reports, then its outcome. Never raises an Exception."""

NextJob = Callable[[], Job | None]
"""The next job; None while some run: ask again when one has ended; None else: no more."""

OnEvent = Callable[[Job, Report | Outcome], None]


class Executor(Protocol):
    """Runs jobs, `workers` at a time, and hands on what they say, in the caller's thread.

    Every job that it took gets exactly one outcome, also one whose process died.
    """

    @property
    def isolated(self) -> bool:
        """Whether an evaluation runs in another process.

        Then several run at a time, and none can take the search down.
        """

    def open(self, workers: int) -> None:
        """Start or join what it needs, so that what is missing shows before anything runs.

        Raises:
            ConfigError: If it cannot run here; one line says why.
        """

    def __call__(
        self, evaluate: Evaluate, next_job: NextJob, on_event: OnEvent, *, workers: int
    ) -> None:
        """Run jobs until there are no more."""

    def close(self) -> None:
        """Release what it holds; it is not called again."""


class Tracker(Protocol):
    """Shows or stores what happens; may drop what it cannot, never raises, never waits."""

    def started(self, proposal: Proposal) -> None:
        """A trial begins."""

    def progress(self, number: int, report: Report) -> None:
        """A running trial has finished an epoch."""

    def log(self, trial: Trial) -> None:
        """A trial has ended."""

    def close(self) -> None:
        """The search has ended, or is interrupted."""


class Journal(Protocol):
    """The events of one search, in order, on disk before their effects."""

    def events(self) -> Sequence[Mapping[str, Any]]:
        """Everything appended so far, by earlier processes too."""

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event; it survives the death of this process once this returns."""
