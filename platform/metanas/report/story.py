"""What a report tells of: a search's description and what it has found, as plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metanas.core.front import candidates
from metanas.core.history import Result
from metanas.core.objective import Objective
from metanas.core.space import Choice
from metanas.core.trial import Trial
from metanas.measures.trace import Node


@dataclass(frozen=True)
class Story:
    """A search, over or running, for a report.

    Args:
        name: Of the search.
        task, space, strategy: Their names.
        seed: Of the search.
        epochs: Of a trial.
        objectives: What decides, the first one most prominently.
        result: What it has found.
        aim: How many trials are wanted.
        seconds: From the search's start to its end, or to now.
        tracking_uri: Where its runs are tracked.
        choices: The space's.
        graph: Of the winner's network; none where it is not known.
        task_facts: As a task states them: ``rows`` (a number), ``classes`` (their names).
    """

    name: str
    task: str
    space: str
    strategy: str
    seed: int
    epochs: int
    objectives: tuple[Objective, ...]
    result: Result
    aim: int
    seconds: float
    tracking_uri: str
    choices: tuple[Choice, ...]
    graph: tuple[Node, ...] = ()
    task_facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Those that have ended, in that order."""
        return self.result.trials

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.result.final is not None or len(self.trials) >= self.aim

    @property
    def deciding(self) -> Objective:
        """The first objective."""
        return self.objectives[0] if self.objectives else Objective("quality", "", "max")

    @property
    def measured(self) -> tuple[Trial, ...]:
        """The trials that a winner can be chosen from."""
        name = self.deciding.name
        return tuple(t for t in candidates(self.trials, self.objectives) if name in t.metrics)

    @property
    def failures(self) -> Counter[str]:
        """How many trials ended in each way that is a failure, the most frequent first."""
        counts = Counter(trial.status for trial in self.trials if trial.failed)
        return Counter(dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))

    @property
    def tested(self) -> Mapping[str, float]:
        """The winner's scores on test; none before it has been trained afresh."""
        final, best = self.result.final, self.result.best
        if final is None or best is None or final.number != best.number:
            return {}
        return final.outcome.metrics if final.outcome.status == "completed" else {}


def values_of(trials: tuple[Trial, ...], name: str) -> list[float]:
    """The finite values of a metric, of the trials that have it."""
    found = (trial.metrics.get(name) for trial in trials)
    return [value for value in found if value is not None and math.isfinite(value)]
