"""The pool of actors on a real Ray."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from metanas.core.evaluation import Evaluation
from metanas.core.protocols import Evaluate
from metanas.core.space import Choice, Space
from metanas.core.task import Task
from metanas.core.trial import Job, Outcome, Report
from metanas.executors import _ray
from metanas.executors.inline import Inline
from metanas.executors.pool import Pool

pytestmark = pytest.mark.ray

Said = dict[int, list[Report | Outcome]]


@dataclass(frozen=True)
class Scripted:
    """Does what a job's proposal says."""

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        ACTIONS[job.proposal.get("do", "nothing")](job)
        for epoch in range(1, job.proposal["epochs"] + 1):
            began_s = time.time()
            time.sleep(job.proposal.get("sleep", 0.0))
            metrics = {"accuracy": epoch / 10, "pid": float(os.getpid()), "began_s": began_s}
            yield Report(epoch, metrics, time.time())
        weights = b"\x00\xff" if job.final else None
        yield Outcome("completed", {"accuracy": 1.0}, 0.0, weights=weights)


def meet(job: Job) -> None:
    """Wait until another job is here too."""
    mine, other = (Path(job.proposal[key]) for key in ("mine", "other"))
    mine.touch()
    until_s = time.monotonic() + 20
    while not other.exists():
        if time.monotonic() > until_s:
            raise TimeoutError("nobody came")
        time.sleep(0.005)


def fail(job: Job) -> None:
    raise ValueError("no such thing\nas this")


def die(job: Job) -> None:
    time.sleep(job.proposal.get("sleep", 0.0))
    os.kill(os.getpid(), signal.SIGKILL)


ACTIONS: dict[str, Callable[[Job], object]] = {
    "nothing": lambda job: None,
    "meet": meet,
    "raise": fail,
    "die": die,
    "hang in C": lambda job: ctypes.CDLL(None).sleep(60),
}


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    """Workers cannot import this module: what it defines travels as it is."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def pool(ray_address: str, tmp_path: Path) -> Pool:
    return Pool(str(tmp_path))


def executed(
    executor: Pool | Inline, jobs: list[Job], workers: int = 2, evaluate: Evaluate | None = None
) -> Said:
    said: Said = {job.number: [] for job in jobs}
    left = list(jobs)
    executor(
        evaluate or Scripted(),
        lambda: left.pop(0) if left else None,
        lambda job, event: said[job.number].append(event),
        workers=workers,
    )
    return said


def statuses(said: Said) -> list[str]:
    """Of jobs that all have one outcome, which came last."""
    for events in said.values():
        assert [isinstance(event, Outcome) for event in events] == [False] * (len(events) - 1) + [
            True
        ]
    return [events[-1].status for _, events in sorted(said.items())]


def reports(said: Said) -> list[Report]:
    return [event for events in said.values() for event in events if isinstance(event, Report)]


def test_every_job_gets_its_reports_and_one_outcome_as_inline(pool: Pool) -> None:
    jobs = [Job(number, {"epochs": 1 + number % 3}, 0, final=number == 5) for number in range(40)]

    def plain(said: Said) -> list[list[object]]:
        return [
            [(e.epoch, e.metrics["accuracy"]) if isinstance(e, Report) else e for e in events]
            for _, events in sorted(said.items())
        ]

    on_actors, here = executed(pool, jobs), executed(Inline(), jobs)
    assert plain(on_actors) == plain(here)
    assert on_actors[5][-1].weights == b"\x00\xff"


def test_two_jobs_run_at_the_same_time_each_actor_one_after_the_other(
    pool: Pool, tmp_path: Path
) -> None:
    places = [str(tmp_path / name) for name in ("here", "there")]
    meeting = [
        Job(n, {"epochs": 1, "do": "meet", "mine": places[n], "other": places[1 - n]}, 0)
        for n in range(2)
    ]
    said = executed(
        pool, [*meeting, *[Job(n, {"epochs": 1, "sleep": 0.01}, 0) for n in range(2, 20)]]
    )
    assert statuses(said) == ["completed"] * 20
    spans: dict[float, list[tuple[float, float]]] = {}
    for report in reports(said):
        span = (report.metrics["began_s"], report.time_s)
        spans.setdefault(report.metrics["pid"], []).append(span)
    assert len(spans) == 2
    for of_one in spans.values():
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(of_one)))


def test_what_workers_say_is_handed_on_in_the_callers_thread(pool: Pool) -> None:
    threads: set[int] = set()
    jobs = [Job(n, {"epochs": 1}, 0) for n in range(4)]

    def next_job() -> Job | None:
        threads.add(threading.get_ident())
        return jobs.pop() if jobs else None

    pool(Scripted(), next_job, lambda *_: threads.add(threading.get_ident()), workers=2)
    assert threads == {threading.get_ident()}


def test_a_job_waits_behind_a_short_one_and_never_behind_a_long_one(pool: Pool) -> None:
    def most_at_once(sleep_s: float) -> int:
        running: set[int] = set()
        most = 0

        def next_job() -> Job | None:
            nonlocal most, number
            number += 1
            if number > 8:
                return None
            running.add(number)
            most = max(most, len(running))
            return Job(number, {"epochs": 1, "sleep": sleep_s}, 0)

        def on_event(job: Job, event: Report | Outcome) -> None:
            if isinstance(event, Outcome):
                running.remove(job.number)

        number = 0
        pool(Scripted(), next_job, on_event, workers=1)
        return most

    assert most_at_once(0.0) == 2
    assert most_at_once(0.15) == 1


def test_a_killed_worker_is_told_as_crashed_and_the_rest_goes_on(pool: Pool) -> None:
    jobs = [Job(n, {"epochs": 1, "do": "die" if n == 9 else "nothing"}, 0) for n in range(20)]
    said = executed(pool, jobs)
    assert statuses(said) == ["crashed" if n == 9 else "completed" for n in range(20)]
    assert said[9][-1].error.startswith("the worker process died")


def test_jobs_behind_a_death_run_elsewhere(pool: Pool) -> None:
    late = {"epochs": 1, "do": "die", "sleep": 0.2}
    jobs = [Job(n, late if n in (3, 6) else {"epochs": 1}, 0) for n in range(10)]
    said = executed(pool, jobs, workers=1)
    assert statuses(said) == ["crashed" if n in (3, 6) else "completed" for n in range(10)]
    assert len({report.metrics["pid"] for report in reports(said)}) == 3


def test_a_worker_that_cannot_start_costs_one_job_each_time(pool: Pool) -> None:
    said = executed(pool, [Job(n, {"epochs": 1}, 0) for n in range(2)], 1, Unreadable())
    assert statuses(said) == ["crashed", "crashed"]
    assert "cannot be read back" in said[0][-1].error


class Unreadable:
    """Travels to a worker and breaks there."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return _broken, ()

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        raise AssertionError


def _broken() -> None:
    raise ImportError("cannot be read back")


def test_a_job_past_its_limit_is_interrupted_in_its_worker(pool: Pool) -> None:
    def sleeps(*_: object, settings: dict[str, float], **__: object) -> Iterator[Report]:
        time.sleep(settings["sleep"])
        yield Report(1, {"accuracy": 0.5})

    space = Space("one", (Choice("a", (1, 2)),), lambda *_: None)
    task = Task("none", "none", (1,), 2, *[lambda *_: None] * 3, ())
    jobs = [
        Job(
            n,
            {"number": n, "values": {"a": 1}, "epochs": 1, "settings": {"sleep": seconds}},
            0,
            limit_s=0.5,
        )
        for n, seconds in enumerate([0.0, 30.0, 0.0])
    ]
    started = time.monotonic()
    said = executed(pool, jobs, 1, Evaluation(space, task, sleeps))
    assert statuses(said) == ["completed", "timed_out", "completed"]
    assert said[1][-1].error == "ran past its limit of 0.5 s"
    assert said[1][-1].seconds < 2
    assert time.monotonic() - started < 30


def test_a_worker_stuck_in_c_is_ended_as_timed_out(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ray, "HARD_LIMIT_GRACE_S", 0.2)
    jobs = [
        Job(0, {"epochs": 1}, 0),
        Job(1, {"epochs": 1, "do": "hang in C"}, 0, limit_s=0.2),
        *[Job(n, {"epochs": 1}, 0, limit_s=60.0) for n in range(2, 5)],
    ]
    said = executed(pool, jobs, workers=1)
    assert statuses(said) == ["completed", "timed_out", *["completed"] * 3]
    assert said[1][-1].error == "ignored its limit of 0.2 s"


def test_a_search_that_takes_its_time_ends_no_worker_that_has_answered(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ray, "HARD_LIMIT_GRACE_S", 0.05)
    jobs = [Job(n, {"epochs": 1}, 0, limit_s=0.2) for n in range(6)]
    ends: list[str] = []

    def on_event(job: Job, event: Report | Outcome) -> None:
        if isinstance(event, Outcome):
            time.sleep(0.4)
            ends.append(event.status)

    pool(Scripted(), lambda: jobs.pop() if jobs else None, on_event, workers=2)
    assert ends == ["completed"] * 6


def test_an_exception_out_of_a_job_is_its_crash_and_the_worker_lives_on(pool: Pool) -> None:
    jobs = [Job(n, {"epochs": 1, "do": "raise" if n == 1 else "nothing"}, 0) for n in range(4)]
    said = executed(pool, jobs, workers=1)
    assert statuses(said) == ["completed", "crashed", "completed", "completed"]
    assert said[1][-1].error == "as this"
    assert len({report.metrics["pid"] for report in reports(said)}) == 1


@pytest.mark.parametrize("at", ["next_job", "on_event"])
def test_what_the_search_raises_comes_out_and_no_more_jobs_start(pool: Pool, at: str) -> None:
    asked: list[int] = []

    def next_job() -> Job | None:
        asked.append(1)
        if at == "next_job" and len(asked) == 3:
            raise OSError("the disk is full")
        return Job(len(asked), {"epochs": 1}, 0)

    def on_event(job: Job, event: Report | Outcome) -> None:
        if at == "on_event":
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        pool(Scripted(), next_job, on_event, workers=2)
    assert len(asked) <= 3


def test_none_while_jobs_run_means_to_ask_again_when_one_has_ended(pool: Pool) -> None:
    heard: list[str] = []

    def next_job() -> Job | None:
        ended, handed = heard.count("ended"), heard.count("handed")
        if handed == 5 or handed > ended:  # one at a time, although two could run
            heard.append("none")
            return None
        heard.append("handed")
        return Job(handed, {"epochs": 1}, 0)

    def on_event(job: Job, event: Report | Outcome) -> None:
        if isinstance(event, Outcome):
            heard.append("ended")

    pool(Scripted(), next_job, on_event, workers=2)
    assert heard == ["handed", "none", "ended"] * 5 + ["none"]


def test_all_workers_are_gone_and_nothing_is_left_afterwards(pool: Pool, tmp_path: Path) -> None:
    said = executed(pool, [Job(n, {"epochs": 1, "sleep": 0.02}, 0) for n in range(6)])
    pids = {int(report.metrics["pid"]) for report in reports(said)}
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_alive(pid) for pid in pids)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_workers_are_no_more_than_cpus_and_divide_the_gpus(
    ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    assert [_ray.places(workers) for workers in (1, 2, 9)] == [1, 2, 2]
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
    assert _ray.share(None, 2) == {"CPU": 1.0}
    assert _ray.share(0.25, 2) == {"CPU": 1.0, "GPU": 0.25}
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 1.0})
    assert _ray.share(None, 2) == {"CPU": 1.0, "GPU": 0.5}
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 5.0})
    assert _ray.share(None, 2) == {"CPU": 1.0, "GPU": 1.0}
