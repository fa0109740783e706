"""What Ray Tune runs for the executor: a searcher and a scheduler here, a trainable on workers."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from metanas.core.protocols import Evaluate, NextJob, OnEvent
from metanas.core.trial import Job, Outcome, Report
from metanas.executors._elsewhere import evaluated
from metanas.executors._ray import died, hard_s, read_events, written_events


class Jobs(Searcher):  # type: ignore[misc]
    """Hands out jobs, and hands on what workers say of them.

    Args:
        next_job: Gives the next one.
        on_event: Takes what is said.
        causes: Why a worker died, by Tune's name of the trial.
    """

    def __init__(self, next_job: NextJob, on_event: OnEvent, causes: dict[str, str]) -> None:
        super().__init__()
        self._next_job, self._on_event, self._causes = next_job, on_event, causes
        self._running: dict[str, tuple[Job, float]] = {}
        self._failure: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        """A job as a trial's config; None while others run."""
        with self._kept():
            job = None if self._failure else self._next_job()
            if job is not None:
                self._running[trial_id] = (job, time.monotonic())
                return {"job": json.dumps(asdict(job))}
        return None if self._running else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Reports of a job that goes on."""
        with self._kept():
            for event in read_events(result["events"], result["weights"]):
                self._on_event(self._running[trial_id][0], event)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The last reports and the outcome; a worker that died sends none."""
        job, started = self._running.pop(trial_id)
        with self._kept():
            if error or not result:
                seconds = time.monotonic() - started
                self._on_event(job, died(job, seconds, self._causes.pop(trial_id, "")))
                return
            for event in read_events(result["events"], result["weights"]):
                self._on_event(job, event)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep what the search raises: no more jobs start, and `check` raises it after the run."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again by `check`
            self._failure = self._failure or error

    def check(self) -> None:
        """Raise what the search has raised while Tune ran."""
        if self._failure is not None:
            raise self._failure

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles what it is given, to restore from it, which never happens."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the truth."""


class Noting(FIFOScheduler):  # type: ignore[misc]
    """Stops nothing, and notes why a trial's worker died."""

    def __init__(self, causes: dict[str, str]) -> None:
        super().__init__()
        self._causes = causes

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Keep the error's text; the searcher is called next, without it."""
        with contextlib.suppress(OSError, TypeError):
            self._causes[trial.trial_id] = Path(trial.error_file).read_text(
                encoding="utf-8", errors="replace"
            )


class Worker(tune.Trainable):  # type: ignore[misc]
    """Runs one job after the other; a step is an epoch."""

    def setup(self, config: dict[str, Any], evaluate: Evaluate) -> None:
        """Keep what runs jobs, and begin the first."""
        self._evaluate = evaluate
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another job in this process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._job = Job(**json.loads(config["job"]))
        self._events = evaluated(self._evaluate, self._job)
        if self._job.limit_s is not None:
            faulthandler.dump_traceback_later(hard_s(self._job.limit_s), exit=True)

    def step(self) -> dict[str, Any]:
        """The next report; with the last one the outcome, which saves a round trip."""
        events = [next(self._events)]
        last = self._job.proposal["epochs"]
        if isinstance(events[0], Report) and events[0].epoch >= last:
            events.append(next(self._events))
        done = isinstance(events[-1], Outcome)
        if done:
            faulthandler.cancel_dump_traceback_later()
        written, weights = written_events(events)
        return {"events": written, "weights": weights, "done": done}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""
