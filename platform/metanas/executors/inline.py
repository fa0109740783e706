"""One job after the other in this process: for tests, debugging and evaluations of microseconds."""

from __future__ import annotations

from dataclasses import dataclass

from metanas.core.protocols import Evaluate, NextJob, OnEvent


@dataclass(frozen=True)
class Inline:
    """Runs jobs here; `workers` has no effect, and nothing is written to `folder`."""

    folder: str = ""
    isolated: bool = False

    def open(self, workers: int) -> None:
        """Nothing to start."""

    def __call__(
        self, evaluate: Evaluate, next_job: NextJob, on_event: OnEvent, *, workers: int
    ) -> None:
        """Run jobs until there are no more."""
        while (job := next_job()) is not None:
            for event in evaluate(job):
                on_event(job, event)

    def close(self) -> None:
        """Nothing to release."""


EXECUTOR = Inline
