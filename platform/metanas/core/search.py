"""The search loop: propose, evaluate, journal, tell, and go on after any interruption.

The journal is the truth. A search is replayed from it: finished trials are told in their
order, proposals that were never finished run again *as proposed*, then the strategy is
asked for the rest. What this module does not know: where jobs run, where the journal
lies, and what a space or a strategy is beyond its protocol.

What a journal holds, and how it is read back, is in `metanas.core.history`.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metanas.core.errors import ConfigError
from metanas.core.history import FINALISTS, Final, Result, finalists, read_history, result_of
from metanas.core.objective import Objective, cost
from metanas.core.protocols import Context, Evaluate, Executor, Journal, Prior, Strategy, Tracker
from metanas.core.space import Space
from metanas.core.trial import (
    REPEATABLE,
    Job,
    Outcome,
    Proposal,
    Report,
    Trial,
    outcome_record,
    proposal_record,
    trial_record,
    trial_seed,
)

FINAL = -1
"""Stands for the number of a trial in the winner's training, which is no trial."""

FIRST_REPEAT = -2
"""The same for finalists that are trained again: -2, -3, ..."""

Keep = Callable[[bytes], str]
"""Stores the winner's weights, and gives their SHA-256."""


@dataclass(frozen=True)
class Search:
    """One search, completely described.

    Args:
        name: Of the search.
        space: What is searched.
        task: Name of what architectures are judged on.
        objectives: What decides: together, where there are several.
        strategy: Makes the strategy from its context.
        evaluate: Runs one job.
        trials: How many, cached and failed ones included.
        epochs: Of each training.
        repeats: How often each of the three best is trained again before the winner is named.
        final_epochs: Of the winner's, on train and validation together; 0 for none.
        seed: Decides all randomness.
        workers: How many jobs run at a time.
        max_seconds: For the search, the winner's training included.
        max_trial_seconds: For one trial.
        exact: As in `Context`: whether results belong to exact values, not to networks.
        kind: Of the task, for records.
        prior: What past tasks expect in the space, for strategies that start from it.

    Raises:
        ConfigError: If a number is below what it can be.
    """

    name: str
    space: Space
    task: str
    objectives: tuple[Objective, ...]
    strategy: Callable[[Context], Strategy]
    evaluate: Evaluate
    trials: int = 24
    epochs: int = 5
    repeats: int = 0
    final_epochs: int = 0
    seed: int = 0
    workers: int = 1
    max_seconds: float | None = None
    max_trial_seconds: float | None = None
    exact: bool = False
    kind: str = ""
    prior: Prior | None = None

    def __post_init__(self) -> None:
        lows = {"trials": 1, "epochs": 1, "final_epochs": 0, "seed": 0, "workers": 1, "repeats": 0}
        for key, low in lows.items():
            value = getattr(self, key)
            if value < low:
                raise ConfigError(f"search.{key} is {value}, expected at least {low}")
        for key in ("max_seconds", "max_trial_seconds"):
            limit = getattr(self, key)
            if limit is not None and limit <= 0:
                raise ConfigError(f"search.{key} is {limit}, expected more than 0")
        if not self.objectives:
            raise ConfigError("search.objectives is empty, expected at least one")


def run(
    search: Search,
    *,
    executor: Executor,
    journal: Journal,
    trackers: Sequence[Tracker] = (),
    keep: Keep | None = None,
) -> Result:
    """Run a search, or what its journal says is missing of it.

    Args:
        search: What to search. One that differs from the journal's only in `trials`
            extends it.
        executor: Where evaluations run.
        journal: Its past and its future. Empty for a new search.
        trackers: Told everything that happens from now on.
        keep: Called with the winner's weights before its training is journaled.

    Raises:
        JournalError: If the journal holds what this search did not write.
    """
    loop = _Loop(search, executor.isolated, journal, trackers)
    try:
        if loop.open():
            loop.explore(executor)
            loop.repeat(executor)
            loop.finish(executor, keep)
            loop.end()
    except KeyboardInterrupt:
        loop.interrupt()
        raise
    return loop.result()


INTERRUPTIONS = {False: 2, True: 5}
"""After how many deaths of the search a trial that ran each time is taken for the culprit.

Where trials share the driver's process two are evidence enough. Where they have their own
(`Executor.isolated`), a trial can hardly kill the driver, and two unlucky kills from
outside in the same trial are likelier.
"""


class _Loop:
    """The state of one running search; `explore`, then `finish`, then `result`."""

    def __init__(
        self, search: Search, isolated: bool, journal: Journal, trackers: Sequence[Tracker]
    ) -> None:
        self.search = search
        self.journal = journal
        self.trackers = trackers
        history = read_history(journal.events(), search.space)
        self.history = history
        self.trials = history.trials
        self.next_number = history.next_number
        self.best_cost = math.inf
        self.epoch_s = 0.0
        self.pending: dict[int, Proposal] = {}
        self.curves: dict[int, list[Report]] = {}
        self.known: dict[tuple[Any, ...], Trial] = {}
        self.used = 0.0 if history.ended else history.used_seconds
        self.began = time.monotonic()
        self.interrupted = deque(history.open[number] for number in sorted(history.open))
        self.suspects = {
            number for number in history.open if history.starts[number] >= INTERRUPTIONS[isolated]
        }
        self.strategy = search.strategy(
            Context(
                search.space,
                search.objectives,
                search.epochs,
                search.seed,
                search.exact,
                search.prior,
            )
        )
        for trial in self.trials:
            self._learn(trial)

    def open(self) -> bool:
        """Whether anything is missing; if so, an attempt begins."""
        history = self.history
        if history.ended and self.search.trials <= history.aim:
            return False
        objectives = [
            {"name": o.name, "unit": o.unit, "goal": o.goal, "scale": o.scale, "limit": o.limit}
            for o in self.search.objectives
        ]
        self._append(
            "attempt",
            number=history.attempts,
            trials=self.search.trials,
            objectives=objectives,
            space=self.search.space.name,
            kind=self.search.kind,
        )
        return True

    def end(self) -> None:
        """Nothing is left to do; a winner's training that failed is tried again on resuming."""
        final = self.history.final
        if final is None or final.outcome.status == "completed":
            self._append("ended", trials=len(self.trials))

    def interrupt(self) -> None:
        """A person stops the search: what runs now is not to blame for its end."""
        self._append("interrupted", trials=len(self.trials))

    # -- exploring ---------------------------------------------------------------

    def explore(self, executor: Executor) -> None:
        """Run the trials that are missing."""
        executor(self.search.evaluate, self.ask, self.on_event, workers=self.search.workers)
        if self.pending:
            raise RuntimeError(f"the executor left trials {sorted(self.pending)} without outcome")

    def ask(self) -> Job | None:
        """The next job for the executor; tells known and hopeless trials on the way."""
        while True:
            proposal = self._next_proposal()
            if proposal is None:
                return None
            record = proposal_record(proposal)
            self._append("proposed", proposal=record, id=proposal.architecture.id)
            for tracker in self.trackers:
                tracker.started(proposal)
            known = self.known.get(self._network(proposal))
            if proposal.number in self.suspects:
                self._end(proposal, Outcome("crashed", {}, 0.0, "took the search down each time"))
            elif known is not None:
                self._end(proposal, Outcome(known.status, known.metrics, 0.0, known.error), known)
            else:
                self.pending[proposal.number] = proposal
                self.curves[proposal.number] = []
                return Job(
                    proposal.number,
                    record,
                    trial_seed(self.search.seed, proposal.number),
                    limit_s=self._limit(self._left()),
                )

    def _next_proposal(self) -> Proposal | None:
        if self.interrupted:
            return self.interrupted.popleft()
        if self.next_number >= self.search.trials or self._left() <= 0:
            return None
        proposal = self.strategy.ask(self.next_number, tuple(self.pending.values()))
        if proposal is not None:
            self.next_number += 1
        return proposal

    def on_event(self, job: Job, event: Report | Outcome) -> None:
        """Take in what a worker says of a trial."""
        if isinstance(event, Outcome):
            self._end(self.pending.pop(job.number), event)
            return
        self.curves[job.number].append(event)
        for tracker in self.trackers:
            tracker.progress(job.number, event)

    def _end(self, proposal: Proposal, outcome: Outcome, cached: Trial | None = None) -> None:
        number = proposal.number
        curve = self.curves.pop(number, [])
        trial = Trial(
            proposal=proposal,
            task=self.search.task,
            seed=trial_seed(self.search.seed, number) if cached is None else cached.seed,
            status=outcome.status,
            metrics=outcome.metrics or (curve[-1].metrics if curve else {}),
            curve=tuple(curve) if cached is None else cached.curve,
            seconds=outcome.seconds,
            cached=cached is not None,
            error=outcome.error,
            time_s=time.time(),
        )
        self._append("finished", trial=trial_record(trial))
        self.trials.append(trial)
        self._learn(trial)
        for tracker in self.trackers:
            tracker.log(trial)

    def _learn(self, trial: Trial) -> None:
        self.strategy.tell(trial)
        if trial.status in REPEATABLE:
            self.known.setdefault(self._network(trial.proposal), trial)
        value = cost(self.search.objectives[0], trial.metrics)
        timed = not self.search.exact  # a table tells what trainings took elsewhere
        if timed and not trial.failed and trial.curve and value < self.best_cost:
            self.best_cost, self.epoch_s = value, trial.seconds / len(trial.curve)

    def _network(self, proposal: Proposal) -> tuple[Any, ...]:
        """Equal for proposals that would get the same result."""
        architecture = proposal.architecture
        settings = json.dumps(dict(proposal.settings), sort_keys=True)
        what = architecture if self.search.exact else architecture.id
        return what, proposal.epochs, settings, proposal.parent

    # -- the time limit ----------------------------------------------------------

    def _left(self) -> float:
        """Seconds for exploring: what remains, less what follows it will take."""
        search = self.search
        rounds = math.ceil(FINALISTS * search.repeats / search.workers)
        return self._left_to_repeat() - self.epoch_s * search.epochs * rounds

    def _left_to_repeat(self) -> float:
        """Seconds for repeats: what remains, less what the winner's training will take."""
        if self.search.max_seconds is None:
            return float("inf")
        return self._remaining() - self.epoch_s * self.search.final_epochs

    def _remaining(self) -> float:
        assert self.search.max_seconds is not None
        return self.search.max_seconds - self.used - (time.monotonic() - self.began)

    def _limit(self, left: float) -> float | None:
        limits = [self.search.max_trial_seconds, left]
        limit = min(x for x in limits if x is not None)
        return None if limit == float("inf") else max(limit, 0.001)

    # -- the winner --------------------------------------------------------------

    def repeat(self, executor: Executor) -> None:
        """Train the finalists again with other seeds, as often as the journal lacks, in time."""
        search, repeats = self.search, self.history.repeats
        best = finalists(self.trials, search.objectives) if search.repeats else []
        missing = [
            (trial, index)
            for index in range(1, search.repeats + 1)
            for trial in best
            if index not in repeats.get(trial.number, {})
        ]
        if not missing:
            return
        places = itertools.count()

        def next_job() -> Job | None:
            place = next(places)
            if place >= len(missing) or self._left_to_repeat() <= 0:
                return None
            trial, index = missing[place]
            reason = f"trains trial {trial.number} again, {index} of {search.repeats}"
            proposal = replace(trial.proposal, number=FIRST_REPEAT - place, reason=reason)
            for tracker in self.trackers:
                tracker.started(proposal)
            seed = trial_seed(search.seed, trial.number, index)
            limit_s = self._limit(self._left_to_repeat())
            return Job(proposal.number, proposal_record(proposal), seed, limit_s=limit_s)

        def on_event(job: Job, event: Report | Outcome) -> None:
            if isinstance(event, Outcome):
                if event.status == "timed_out" and self._left_to_repeat() <= 0:
                    return  # the search ran out of time, which says nothing of the network
                trial, index = missing[FIRST_REPEAT - job.number]
                record = outcome_record(event)
                self._append("repeat", number=trial.number, index=index, outcome=record)
                repeats.setdefault(trial.number, {})[index] = event

        executor(search.evaluate, next_job, on_event, workers=search.workers)

    def finish(self, executor: Executor, keep: Keep | None) -> None:
        """Train the winner afresh and score it on test, unless the journal has it."""
        best = self.result().best
        epochs = self.search.final_epochs
        if best is None or epochs == 0 or self._has_final(best):
            return
        if self.search.max_seconds is not None and self.epoch_s > 0:
            epochs = max(1, min(epochs, int(self._remaining() / self.epoch_s)))
        proposal = replace(best.proposal, number=FINAL, epochs=epochs)
        seed = trial_seed(self.search.seed, best.number)
        limit_s = self._final_limit(epochs)
        jobs = [Job(FINAL, proposal_record(proposal), seed, final=True, limit_s=limit_s)]
        outcomes: list[Outcome] = []
        for tracker in self.trackers:
            tracker.started(proposal)

        def on_event(job: Job, event: Report | Outcome) -> None:
            if isinstance(event, Outcome):
                outcomes.append(event)
                return
            for tracker in self.trackers:
                tracker.progress(FINAL, event)

        executor(self.search.evaluate, lambda: jobs.pop() if jobs else None, on_event, workers=1)
        if not outcomes:
            raise RuntimeError("the executor left the winner's training without outcome")
        weights = outcomes[0].weights
        digest = keep(weights) if keep is not None and weights is not None else ""
        outcome = replace(outcomes[0], weights=None)
        self.history.final = Final(best.number, epochs, outcome, digest)
        record = outcome_record(outcome)
        self._append("final", number=best.number, epochs=epochs, outcome=record, weights=digest)

    def _final_limit(self, epochs: int) -> float | None:
        """What ends a winner's training that hangs: twice what it may be expected to take."""
        limits = []
        if self.search.max_trial_seconds is not None:
            limits.append(self.search.max_trial_seconds * max(1.0, epochs / self.search.epochs))
        if self.search.max_seconds is not None:
            limits.append(max(self._remaining(), self.epoch_s * epochs, 1.0))
        return 2 * min(limits) if limits else None

    def _has_final(self, best: Trial) -> bool:
        final = self.history.final
        return (
            final is not None
            and final.number == best.number
            and final.outcome.status == "completed"
        )

    # ----------------------------------------------------------------------------

    def result(self) -> Result:
        """What was found."""
        return result_of(self.history, self.search.objectives)

    def _append(self, event: str, **content: Any) -> None:
        self.journal.append({"event": event, "time_s": time.time(), **content})
