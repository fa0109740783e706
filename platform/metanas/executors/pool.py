"""Jobs on Ray actors, one call each: for evaluations of milliseconds.

What costs on Ray is asking and answering, so a job is a single call that brings back all
its events at once, and behind a short job the next one already waits at the same actor.
Nobody sees an epoch before its job has ended: trainings of minutes are better off on
Ray Tune.

An actor that dies takes down the job that it ran, and no other. Which one that was is
certain only where it was alone: the answer of the job before may have died on its way. So
several jobs of a dead actor all run again, each alone, and the one that kills again is told
as crashed.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from metanas.core.protocols import Evaluate, NextJob, OnEvent
from metanas.core.trial import Job, Outcome
from metanas.executors._elsewhere import check_resources, evaluated
from metanas.executors._ray import (
    Session,
    died,
    hard_s,
    last_line,
    places,
    read_events,
    share,
    written_events,
)

DEPTH = 2
"""Jobs at one actor, where they are short: one runs, the others wait."""

SHORT_S = 0.1
"""Behind a longer job none waits: the actor gains nothing, and another one may be free first."""


@dataclass
class Pool:
    """Runs jobs on actors of its own; one Ray session lasts until `close`.

    Args:
        folder: Where a local Ray may write; a temporary one by default.
        gpus: Share of a GPU a worker; by default the GPUs divided among the workers.
    """

    folder: str = ""
    gpus: float | None = None
    isolated: bool = field(default=True, init=False)
    _session: Session = field(init=False)

    def __post_init__(self) -> None:
        self._session = Session(self.folder)

    def open(self, workers: int) -> None:
        """Join the cluster, or start a local one of so many CPUs.

        Raises:
            ConfigError: If there is no cluster at RAY_ADDRESS.
        """
        self._session.open(workers)

    def __call__(
        self, evaluate: Evaluate, next_job: NextJob, on_event: OnEvent, *, workers: int
    ) -> None:
        """Run jobs until there are no more, `workers` at a time."""
        self.open(workers)
        import ray

        check_resources(evaluate)
        workers = places(workers)
        shares = {
            f"num_{name.lower()}s": amount for name, amount in share(self.gpus, workers).items()
        }
        actor = ray.remote(Worker).options(**shares)
        plan = ray.put(evaluate)
        lanes = [_Lane(lambda: actor.remote(plan)) for _ in range(workers)]
        try:
            _Run(lanes, next_job, on_event)()
        finally:
            for lane in lanes:
                lane.kill()

    def close(self) -> None:
        """Stop the local Ray that this executor started, and remove what it wrote."""
        self._session.close()


class Worker:
    """Runs jobs in an actor's main thread, where a job's limit can interrupt it."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    def ready(self) -> None:
        """Answers once the process has started."""

    def run(self, job: str) -> tuple[str, bytes | None]:
        """All events of a job."""
        return written_events(list(evaluated(self._evaluate, Job(**json.loads(job)))))


class _Lane:
    """A place for one actor at a time, and the calls that it has not answered, in order.

    Args:
        start: Starts an actor; called when the lane's first job comes, and after a death.
    """

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._actor: Any = None
        self._calls: deque[tuple[Any, Job | None]] = deque()
        self._since_s = 0.0
        self._depth = 1

    @property
    def head(self) -> Any:
        """The reference of the call that runs."""
        return self._calls[0][0]

    @property
    def jobs(self) -> int:
        """How many jobs are here, running or waiting."""
        return sum(job is not None for _, job in self._calls)

    @property
    def has_room(self) -> bool:
        """Whether another job may come: behind the one that runs, if the latest was short."""
        return self.jobs < self._depth

    @property
    def seconds(self) -> float:
        """For how long the call that runs has done so."""
        return time.monotonic() - self._since_s

    @property
    def left_s(self) -> float:
        """Seconds until the job that runs has ignored its limit for too long."""
        job = self._calls[0][1] if self._calls else None
        if job is None or job.limit_s is None:
            return float("inf")
        return hard_s(job.limit_s) - self.seconds

    def put(self, job: Job, alone: bool) -> None:
        """Send a job, behind the start of an actor where there is none.

        Args:
            job: What to run.
            alone: Whether none may come behind it.
        """
        if alone:
            self._depth = 1
        if not self._calls:
            self._since_s = time.monotonic()
        if self._actor is None:
            self._actor = self._start()
            self._calls.append((self._actor.ready.remote(), None))
        self._calls.append((self._actor.run.remote(json.dumps(asdict(job))), job))

    def pop(self) -> Job | None:
        """The call that has ended; None stands for an actor's start."""
        job = self._calls.popleft()[1]
        if job is not None:
            self._depth = DEPTH if self.seconds < SHORT_S else 1
        self._since_s = time.monotonic()
        return job

    def kill(self) -> list[Job]:
        """End the actor; the jobs that it had, the one that ran first."""
        import ray

        if self._actor is not None:
            # Its process may be gone, and with it the cluster: there is nothing left to end.
            with contextlib.suppress(Exception):
                ray.kill(self._actor)
        jobs = [job for _, job in self._calls if job is not None]
        self._actor, self._depth = None, 1
        self._calls.clear()
        return jobs


class _Run:
    """Hands out jobs and takes in their ends, until there are no more of either."""

    def __init__(self, lanes: Sequence[_Lane], next_job: NextJob, on_event: OnEvent) -> None:
        self._lanes, self._next_job, self._on_event = list(lanes), next_job, on_event
        self._again: deque[Job] = deque()

    def __call__(self) -> None:
        while self._hand_out():
            while not self._take_in():
                pass

    def _hand_out(self) -> bool:
        """Fill the lanes, emptiest first; whether any has something to do."""
        while free := [lane for lane in self._lanes if lane.has_room]:
            lane = min(free, key=lambda lane: lane.jobs)
            again = bool(self._again)
            if again and lane.jobs:
                break  # it has to be alone: let a lane run empty
            job = self._again.popleft() if again else self._next_job()
            if job is None:
                break
            lane.put(job, alone=again)
        return any(lane.jobs for lane in self._lanes)

    def _take_in(self) -> bool:
        """Wait until a call ends or a worker has to be ended; whether a job has ended."""
        import ray

        heads = {lane.head: lane for lane in self._lanes if lane.jobs}
        left_s = min(lane.left_s for lane in heads.values())
        timeout = None if left_s == float("inf") else max(0.0, left_s)
        ended, _ = ray.wait(list(heads), num_returns=1, timeout=timeout)
        told = [self._end(heads[head]) for head in ended]
        for lane in [lane for lane in self._lanes if lane.left_s <= 0]:
            # Perhaps it has answered long ago, and it was the search that took its time.
            answered, _ = ray.wait([lane.head], timeout=0)
            told.append(self._end(lane) if answered else self._bury(lane, ""))
        return any(told)

    def _end(self, lane: _Lane) -> bool:
        """Take in the answer of the call that ran; whether it was a job."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        # Whoever is served waits behind the others, however fast it is.
        self._lanes.remove(lane)
        self._lanes.append(lane)
        try:
            answer = ray.get(lane.head)
        except RayTaskError as error:
            answer = written_events([Outcome("crashed", {}, lane.seconds, last_line(str(error)))])
        except RayError as error:
            return self._bury(lane, str(error))
        job = lane.pop()
        if job is None:
            return False
        for event in read_events(*answer):
            self._on_event(job, event)
        return True

    def _bury(self, lane: _Lane, cause: str) -> bool:
        """A worker is gone or stuck: the job that it surely ran has ended, others run again."""
        seconds, stuck = lane.seconds, lane.left_s <= 0
        jobs = lane.kill()
        culprits = 1 if stuck or len(jobs) == 1 else 0
        self._again.extend(jobs[culprits:])
        for job in jobs[:culprits]:
            self._on_event(job, died(job, seconds, cause))
        return True


EXECUTOR = Pool
