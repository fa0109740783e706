"""Objectives that are measured on another resource of the cluster than the one that trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from metanas.core.errors import ConfigError
from metanas.core.protocols import Evaluate
from metanas.core.trial import Job, Outcome, Report


def check_resources(evaluate: Evaluate) -> None:
    """Show that the cluster has what an evaluation measures on.

    Raises:
        ConfigError: If it has not: a task for it would wait for ever.
    """
    import ray

    known = ray.cluster_resources()
    for name in _resources(evaluate):
        if not known.get(name):
            raise ConfigError(
                f"no node of the Ray cluster has a resource '{name}'; there are "
                f"{', '.join(sorted(known))}"
            )


def evaluated(evaluate: Evaluate, job: Job) -> Iterator[Report | Outcome]:
    """The events of a job; what is measured elsewhere meanwhile joins its outcome."""
    resources = () if job.final else _resources(evaluate)
    if not resources:
        yield from evaluate(job)
        return
    import ray

    measure: Any = ray.remote(_measured)
    # Not in the placement group of a Tune trial, which holds a CPU here and nothing else.
    anywhere = {"num_cpus": 0, "scheduling_strategy": "DEFAULT"}
    waiting = [
        measure.options(**anywhere, resources={name: 1e-4}).remote(evaluate, job, name)
        for name in resources
    ]
    for event in evaluate(job):
        if isinstance(event, Outcome) and event.status == "completed":
            yield _joined(event, waiting)
        else:
            yield event


def _joined(outcome: Outcome, waiting: list[Any]) -> Outcome:
    import ray

    metrics = dict(outcome.metrics)
    for reference in waiting:
        try:
            metrics |= ray.get(reference)
        except ray.exceptions.RayError as error:
            last = str(error).strip().rpartition("\n")[2][:300]
            return replace(outcome, status="crashed", error=f"measuring elsewhere failed: {last}")
    return replace(outcome, metrics=metrics)


def _measured(evaluate: Any, job: Job, resource: str) -> dict[str, float]:
    measured: dict[str, float] = evaluate.measured_on(resource, job)
    return measured


def _resources(evaluate: Evaluate) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(evaluate, "resources", ())
    return found
