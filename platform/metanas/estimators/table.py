"""Reads what a table recorded of an architecture: no training, and the same every time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metanas.core.errors import ConfigError, InfeasibleError
from metanas.core.objective import Objective
from metanas.core.space import Architecture, Space, Value
from metanas.core.task import Task
from metanas.core.trial import Report


@dataclass(frozen=True)
class Recall:
    """Judges by the record: one epoch, whatever its training took.

    Raises:
        ConfigError: If the task is no table, settings or more than one epoch are asked for.
        InfeasibleError: If nothing was recorded of the architecture.
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
        """Yield the one report; see `metanas.core.protocols.Estimator`."""
        if task.recorded is None:
            raise ConfigError(f"task '{task.name}' is no table of results; use --estimator train")
        if settings:
            raise ConfigError(f"a table knows no setting '{next(iter(settings))}': nothing trains")
        if epochs != 1:
            raise ConfigError(f"search.epochs is {epochs}, expected 1: a table has no epochs")
        found = task.recorded(architecture.values, final)
        if found is None:
            raise InfeasibleError("the table has no such row, or nothing was measured of it")
        yield Report(1, dict(found.metrics), time.time(), cost_s=found.cost_s)


ESTIMATOR = Recall
