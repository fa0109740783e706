"""One evaluation on a worker: the estimator, its limits, and how it can end.

A bad architecture ends here as a status and never as an exception: a network that cannot
be built, memory that runs out, NaN, a training that hangs or raises. What this module
does not know: how jobs reach a worker, and what became of a process that died.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import FrameType

from metanas.core.errors import DivergedError, InfeasibleError, TrialError
from metanas.core.objective import Objective
from metanas.core.protocols import Estimator
from metanas.core.space import Space
from metanas.core.task import Task
from metanas.core.trial import Job, Outcome, Report, Status, proposal_from

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")


class _TimeUp(BaseException):
    """Raised in the middle of a training; no `except Exception` of a user swallows it."""


@dataclass(frozen=True)
class Evaluation:
    """Runs jobs of one search, in this process.

    Args:
        space: Where the architectures come from.
        task: What they are judged on.
        estimator: How.
        objectives: What is measured of every one beside the task's metrics.
    """

    space: Space
    task: Task
    estimator: Estimator
    objectives: tuple[Objective, ...] = ()

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        """Run a job: its reports, then its outcome."""
        started = time.monotonic()
        metrics: Mapping[str, float] = {}
        status: Status = "completed"
        error = ""
        weights: bytes | None = None
        cost_s: float | None = None
        try:
            for report in self._reports(job, started):
                metrics, weights = report.metrics, report.weights
                cost_s = report.cost_s if cost_s is None else cost_s + (report.cost_s or 0.0)
                yield replace(report, weights=None, cost_s=None)
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as caught:  # noqa: BLE001 - however a training ends, the search goes on
            status, error = _status(caught, job)
        seconds = time.monotonic() - started if cost_s is None else cost_s
        yield Outcome(status, metrics, seconds, error, weights)

    def _reports(self, job: Job, started: float) -> Iterator[Report]:
        proposal = proposal_from(job.proposal, self.space)
        reports = self.estimator(
            self.space,
            proposal.architecture,
            self.task,
            epochs=proposal.epochs,
            settings=proposal.settings,
            seed=job.seed,
            objectives=self.objectives,
            final=job.final,
        )
        while True:
            with _limit(job.limit_s, started):
                report = next(reports, None)
            if report is None:
                return
            for name, value in report.metrics.items():
                if not math.isfinite(value):
                    raise DivergedError(f"{name} is {value} after epoch {report.epoch}")
            yield replace(report, metrics=dict(report.metrics), time_s=time.time())


@contextlib.contextmanager
def _limit(limit_s: float | None, started: float) -> Iterator[None]:
    """Interrupt this thread, if it is the main one, when the job's time is up.

    Elsewhere, where there are no signals, the limit takes effect at the next report.
    """
    left = math.inf if limit_s is None else limit_s - (time.monotonic() - started)
    if left <= 0:
        raise _TimeUp
    if limit_s is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise _TimeUp

    def disarm() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)

    before = signal.signal(signal.SIGALRM, ring)
    # It rings again every second, in case that a bare `except` swallowed it.
    signal.setitimer(signal.ITIMER_REAL, left, 1.0)
    try:
        yield
    finally:
        try:
            disarm()
        except _TimeUp:
            disarm()
            raise


def _status(error: BaseException, job: Job) -> tuple[Status, str]:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    lowered = text.lower()
    if isinstance(error, _TimeUp):
        return "timed_out", f"ran past its limit of {job.limit_s:.3g} s"
    if isinstance(error, MemoryError) or any(sign in lowered for sign in _OUT_OF_MEMORY):
        return "out_of_memory", text
    if isinstance(error, InfeasibleError):
        return "infeasible", str(error)
    if isinstance(error, DivergedError):
        return "diverged", str(error)
    if isinstance(error, TrialError):
        return "crashed", str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "crashed", f"{text} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})"
