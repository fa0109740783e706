"""Objectives that a node of the cluster with a certain resource measures."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metanas.core.errors import ConfigError
from metanas.core.trial import Job, Outcome, Report
from metanas.executors._elsewhere import WAIT_S, _patience_s
from metanas.executors.pool import Pool
from metanas.executors.tune import Tune

pytestmark = pytest.mark.ray


@dataclass(frozen=True)
class Measuring:
    """Trains here, and is measured on a resource."""

    resources: tuple[str, ...]

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        yield Report(1, {"accuracy": 0.5}, time.time())
        yield Outcome("completed", {"accuracy": 0.5}, 0.0)

    def measured_on(self, resource: str, job: Job) -> dict[str, float]:
        import ray

        assigned = ray.get_runtime_context().get_assigned_resources()
        began = time.monotonic()
        if "measure_s" in job.proposal:
            time.sleep(job.proposal["measure_s"])
            return {"began": began, "ended": time.monotonic()}
        if job.number == 1:
            raise ValueError("the phone is off")
        return {f"{resource}_ms": 7.0 + job.number, "assigned": float(resource in assigned)}


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def outcomes(executor: Any, resource: str, final: bool = False) -> dict[int, Outcome]:
    return ran(executor, resource, [Job(n, {"epochs": 1}, 0, final=final) for n in range(2)])


def ran(executor: Any, resource: str, jobs: list[Job]) -> dict[int, Outcome]:
    said: dict[int, Outcome] = {}

    def on_event(job: Job, event: Report | Outcome) -> None:
        if isinstance(event, Outcome):
            said[job.number] = event

    evaluate = Measuring((resource,))
    executor(evaluate, lambda: jobs.pop(0) if jobs else None, on_event, workers=2)
    return said


@pytest.mark.parametrize("executor", [Tune, Pool])
def test_what_the_resource_measures_joins_the_outcome(
    executor: Any, ray_address: str, tmp_path: Path
) -> None:
    said = outcomes(executor(str(tmp_path)), "phone")
    assert said[0].metrics == {"accuracy": 0.5, "phone_ms": 7.0, "assigned": 1.0}
    assert said[1].status == "crashed"
    assert "measuring elsewhere failed: ValueError: the phone is off" in said[1].error


def test_a_winners_training_is_not_measured(ray_address: str, tmp_path: Path) -> None:
    said = outcomes(Pool(str(tmp_path)), "phone", final=True)
    assert said[0].metrics == {"accuracy": 0.5}


def test_a_resource_that_no_node_has_is_refused(ray_address: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="no node of the Ray cluster has a resource 'tablet' of at least 1"
    ):
        outcomes(Tune(str(tmp_path)), "tablet")


def test_one_device_measures_one_network_at_a_time(ray_address: str, tmp_path: Path) -> None:
    jobs = [Job(number, {"epochs": 1, "measure_s": 0.4}, 0) for number in range(3)]
    said = ran(Pool(str(tmp_path)), "phone", jobs)
    spans = sorted((o.metrics["began"], o.metrics["ended"]) for o in said.values())
    assert len(spans) == 3
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


@pytest.mark.parametrize("executor", [Tune, Pool])
def test_a_device_that_never_answers_ends_its_trial_and_not_the_search(
    executor: Any, ray_address: str, tmp_path: Path
) -> None:
    jobs = [
        Job(0, {"epochs": 1, "measure_s": 600.0}, 0, limit_s=0.1),
        Job(1, {"epochs": 1, "measure_s": 0.0}, 0),
    ]
    said = ran(executor(str(tmp_path)), "phone", jobs)
    assert said[0].status == "crashed"
    assert "measuring elsewhere failed: no answer from resource 'phone'" in said[0].error
    assert said[1].status == "completed"  # the device is free again


def test_a_measurement_is_waited_for_as_long_as_the_trial_may_take() -> None:
    assert _patience_s(Job(0, {}, 0), 1000.0) == WAIT_S
    assert _patience_s(Job(0, {}, 0, limit_s=100.0), 60.0) == pytest.approx(92.5)
    assert 0 < _patience_s(Job(0, {}, 0, limit_s=1.0), 60.0) < 1
