"""Objectives that a node of the cluster with a certain resource measures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from metanas.core.errors import ConfigError
from metanas.core.trial import Job, Outcome, Report
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
    jobs = [Job(number, {"epochs": 1}, 0, final=final) for number in range(2)]
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
    with pytest.raises(ConfigError, match="no node of the Ray cluster has a resource 'tablet'"):
        outcomes(Tune(str(tmp_path)), "tablet")
