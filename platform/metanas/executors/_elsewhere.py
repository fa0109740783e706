"""Objectives that are measured on another resource of the cluster than the one that trains."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from metanas.core.errors import ConfigError
from metanas.core.protocols import Evaluate
from metanas.core.trial import Job, Outcome, Report
from metanas.executors._ray import HARD_LIMIT_GRACE_S, hard_s

WHOLE = 1
"""Of a resource for one measurement: two at a time on one device would time each other."""

WAIT_S = 300.0
"""For measurements after a training: others may be ahead, and a node may never answer."""

SHORTEST_WAIT_S = 0.1


def check_resources(evaluate: Evaluate) -> None:
    """Show that the cluster has what an evaluation measures on.

    Raises:
        ConfigError: If it has not: a task for it would wait for ever.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name in _resources(evaluate):
        if not any(node.get(name, 0) >= WHOLE for node in nodes):
            raise ConfigError(
                f"no node of the Ray cluster has a resource '{name}' of at least {WHOLE}; "
                f"there are {', '.join(sorted(ray.cluster_resources()))}"
            )


def evaluated(evaluate: Evaluate, job: Job) -> Iterator[Report | Outcome]:
    """The events of a job; what is measured elsewhere meanwhile joins its outcome."""
    resources = () if job.final else _resources(evaluate)
    if not resources:
        yield from evaluate(job)
        return
    import ray

    began = time.monotonic()
    measure: Any = ray.remote(_measured)
    # Not in the placement group of a Tune trial, which holds a CPU here and nothing else.
    anywhere = {"num_cpus": 0, "scheduling_strategy": "DEFAULT"}
    waiting = [
        (name, measure.options(**anywhere, resources={name: WHOLE}).remote(evaluate, job, name))
        for name in resources
    ]
    for event in evaluate(job):
        if isinstance(event, Outcome):
            if event.status == "completed":
                event = _joined(event, waiting, _patience_s(job, time.monotonic() - began))
            for _, reference in waiting:  # one that is still measuring would keep the device
                ray.cancel(reference, force=True)
        yield event


def _patience_s(job: Job, seconds: float) -> float:
    """How long to wait for measurements once a training is over, `seconds` after its begin."""
    if job.limit_s is None:
        return WAIT_S
    # A worker that is past its hard limit is ended, with another reason than the true one.
    left_s = hard_s(job.limit_s) - HARD_LIMIT_GRACE_S / 2 - seconds
    return max(SHORTEST_WAIT_S, min(WAIT_S, left_s))


def _joined(outcome: Outcome, waiting: Sequence[tuple[str, Any]], patience_s: float) -> Outcome:
    import ray

    metrics = dict(outcome.metrics)
    until = time.monotonic() + patience_s
    for name, reference in waiting:
        try:
            metrics |= ray.get(reference, timeout=max(0.0, until - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            return replace(
                outcome,
                status="crashed",
                error=f"measuring elsewhere failed: no answer from resource '{name}' "
                f"{patience_s:.3g} s after the training",
            )
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
