"""The executor on a real Ray."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from metanas.core.trial import Job, Outcome, Report
from metanas.executors.inline import Inline
from metanas.executors.tune import Tune

pytestmark = pytest.mark.ray


@dataclass(frozen=True)
class Scripted:
    """Does what a job's proposal says."""

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        what = job.proposal.get("do")
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang in C":
            ctypes.CDLL(None).sleep(60)
        for epoch in range(1, job.proposal["epochs"] + 1):
            time.sleep(job.proposal.get("sleep", 0.0))
            yield Report(epoch, {"accuracy": epoch / 10, "pid": float(os.getpid())}, time.time())
        yield Outcome("completed", {"accuracy": 1.0}, 0.0)


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    """Workers cannot import this module: what it defines travels as it is."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def executed(executor, jobs: list[Job], workers: int = 2) -> dict[int, list[Report | Outcome]]:
    said: dict[int, list[Report | Outcome]] = {job.number: [] for job in jobs}
    left = list(jobs)
    executor(
        Scripted(),
        lambda: left.pop(0) if left else None,
        lambda job, event: said[job.number].append(event),
        workers=workers,
    )
    return said


def test_every_job_gets_its_reports_and_one_outcome_as_inline(
    ray_address: str, tmp_path: Path
) -> None:
    jobs = [Job(number, {"epochs": 3}, 0) for number in range(6)]
    tune = executed(Tune(str(tmp_path)), jobs)
    inline = executed(Inline(), jobs)

    def plain(said: dict[int, list[Report | Outcome]]) -> list[list[object]]:
        return [
            [(e.epoch, e.metrics["accuracy"]) if isinstance(e, Report) else e for e in events]
            for _, events in sorted(said.items())
        ]

    assert plain(tune) == plain(inline)


def test_workers_run_at_the_same_time_and_are_reused(ray_address: str, tmp_path: Path) -> None:
    jobs = [Job(number, {"epochs": 1, "sleep": 0.4}, 0) for number in range(6)]
    said = executed(Tune(str(tmp_path)), jobs)
    pids = {e.metrics["pid"] for events in said.values() for e in events if isinstance(e, Report)}
    assert len(pids) == 2
    ends = sorted(e.time_s for events in said.values() for e in events if isinstance(e, Report))
    assert ends[-1] - ends[0] < 5 * 0.4  # one after the other would take five sleeps


def test_a_worker_that_dies_is_a_crash_and_the_rest_goes_on(
    ray_address: str, tmp_path: Path
) -> None:
    jobs = [Job(n, {"epochs": 1, "do": "die" if n == 1 else ""}, 0) for n in range(4)]
    said = executed(Tune(str(tmp_path)), jobs)
    assert [said[n][-1].status for n in range(4)] == ["completed", "crashed", *["completed"] * 2]


def test_a_worker_stuck_in_c_is_ended_as_timed_out(ray_address: str, tmp_path: Path) -> None:
    jobs = [Job(0, {"epochs": 1, "do": "hang in C"}, 0, limit_s=0.5), Job(1, {"epochs": 1}, 0)]
    said = executed(Tune(str(tmp_path)), jobs)
    assert [said[n][-1].status for n in range(2)] == ["timed_out", "completed"]


def test_what_the_search_raises_comes_out_and_no_more_jobs_start(
    ray_address: str, tmp_path: Path
) -> None:
    asked = []

    def next_job() -> Job | None:
        asked.append(1)
        return Job(len(asked), {"epochs": 1}, 0)

    def on_event(job: Job, event: Report | Outcome) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        Tune(str(tmp_path))(Scripted(), next_job, on_event, workers=2)
    assert len(asked) <= 3


def test_tune_leaves_nothing_behind(ray_address: str, tmp_path: Path) -> None:
    executed(Tune(str(tmp_path)), [Job(0, {"epochs": 1}, 0)])
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
