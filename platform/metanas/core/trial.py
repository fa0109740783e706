"""Proposals, reports and trials, and their JSON records.

A record is what the journal, MLflow and workers see: plain JSON, read back by the
functions here, so that nothing is ever pickled. Metrics are finite: NaN and infinity
end a trial as diverged before they get here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from metanas.core.space import Architecture, Space, Value, check

Status = Literal[
    "completed",  # trained to the end
    "stopped",  # ended early by a rule
    "infeasible",  # cannot be built, or cannot run on the task
    "out_of_memory",
    "diverged",  # NaN or infinity
    "timed_out",  # ran past its limit
    "crashed",  # an exception in training, or its process was killed
]
STATUSES: tuple[Status, ...] = get_args(Status)
REPEATABLE: frozenset[Status] = frozenset({"completed", "infeasible"})
"""Statuses that the same architecture would get again, so that they can be answered from memory."""


@dataclass(frozen=True)
class Proposal:
    """What to evaluate.

    Args:
        number: Of the trial in its search, from 0.
        architecture: What to build.
        epochs: How long to train it.
        settings: Training hyperparameters, by name, over the estimator's own.
        parent: The number of the trial whose weights it inherits.
        notes: Small JSON that the strategy wants back when it is told.
        reason: Why, in words.
    """

    number: int
    architecture: Architecture
    epochs: int
    settings: Mapping[str, Value] = field(default_factory=dict)
    parent: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How a trial stands after an epoch.

    Args:
        epoch: From 1.
        metrics: Finite.
        time_s: When, in seconds since 1970.
        weights: A safetensors file's content, in the last report of a winner's training.
        cost_s: What it cost, where that is not the time that passed: a record is read in no
            time, and tells what its training took.
    """

    epoch: int
    metrics: Mapping[str, float]
    time_s: float = 0.0
    weights: bytes | None = None
    cost_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an evaluation ended: all a worker says of it, beside its reports.

    Records leave `weights` out: they are kept in a file of their own.
    """

    status: Status
    metrics: Mapping[str, float]
    seconds: float
    error: str = ""
    weights: bytes | None = None


@dataclass(frozen=True)
class Job:
    """One evaluation for an executor to run: plain data.

    Args:
        number: Identifies the job among those that run now.
        proposal: The proposal's record.
        seed: Decides all randomness of the evaluation.
        final: Train on train and validation, and score test, once.
        limit_s: Seconds after which it ends as timed out.
    """

    number: int
    proposal: Mapping[str, Any]
    seed: int
    final: bool = False
    limit_s: float | None = None


@dataclass(frozen=True)
class Trial:
    """A finished proposal.

    Args:
        proposal: What was asked for.
        task: Name of the task.
        seed: What its evaluation drew its randomness from.
        status: How it ended.
        metrics: Final value of everything measured; what a failed trial had measured.
        curve: Its reports, by epoch.
        seconds: It took on its worker.
        cached: Whether it was answered from an earlier trial of the same network.
        error: One line on why it failed.
        time_s: When it ended, seconds since the epoch.
    """

    proposal: Proposal
    task: str
    seed: int
    status: Status
    metrics: Mapping[str, float]
    curve: tuple[Report, ...] = ()
    seconds: float = 0.0
    cached: bool = False
    error: str = ""
    time_s: float = 0.0

    @property
    def number(self) -> int:
        """Of the trial in its search."""
        return self.proposal.number

    @property
    def failed(self) -> bool:
        """Whether it ended as anything but completed or stopped."""
        return self.status not in ("completed", "stopped")


def trial_seed(seed: int, number: int, repeat: int = 0) -> int:
    """The seed of trial `number` in a search seeded with `seed`: 32 bits, well mixed.

    Args:
        seed: Of the search.
        number: Of the trial.
        repeat: 0 for the trial itself, 1, 2, ... where it is trained again.
    """
    entropy = [seed, number, repeat] if repeat else [seed, number]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def proposal_record(proposal: Proposal) -> dict[str, Any]:
    """The proposal as JSON; empty fields are left out."""
    record: dict[str, Any] = {
        "number": proposal.number,
        "values": dict(proposal.architecture.values),
        "epochs": proposal.epochs,
    }
    if proposal.settings:
        record["settings"] = dict(proposal.settings)
    if proposal.parent is not None:
        record["parent"] = proposal.parent
    if proposal.notes:
        record["notes"] = dict(proposal.notes)
    if proposal.reason:
        record["reason"] = proposal.reason
    return record


def proposal_from(record: Mapping[str, Any], space: Space) -> Proposal:
    """Read `proposal_record` back.

    Raises:
        SpaceError: If its architecture is no member of `space`.
        KeyError, TypeError, ValueError: If it is no such record.
    """
    parent = record.get("parent")
    return Proposal(
        number=int(record["number"]),
        architecture=check(space, record["values"]),
        epochs=int(record["epochs"]),
        settings=dict(record.get("settings", {})),
        parent=None if parent is None else int(parent),
        notes=dict(record.get("notes", {})),
        reason=str(record.get("reason", "")),
    )


def report_record(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return {"epoch": report.epoch, "metrics": dict(report.metrics), "time_s": report.time_s}


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON."""
    names = ("status", "metrics", "seconds", "error")
    return {name: getattr(outcome, name) for name in names}


def outcome_from(record: Mapping[str, Any]) -> Outcome:
    """Read `outcome_record` back.

    Raises:
        KeyError, TypeError, ValueError: If it is no such record.
    """
    return Outcome(
        _status(record["status"]),
        _finite(record["metrics"]),
        float(record["seconds"]),
        str(record["error"]),
    )


def trial_record(trial: Trial) -> dict[str, Any]:
    """What a trial adds to its proposal, as JSON."""
    return {
        "number": trial.number,
        "task": trial.task,
        "seed": trial.seed,
        "status": trial.status,
        "metrics": dict(trial.metrics),
        "curve": [report_record(report) for report in trial.curve],
        "seconds": trial.seconds,
        "cached": trial.cached,
        "error": trial.error,
        "time_s": trial.time_s,
    }


def trial_from(record: Mapping[str, Any], proposal: Proposal) -> Trial:
    """Read `trial_record` back.

    Raises:
        KeyError, TypeError, ValueError: If it is no such record.
    """
    return Trial(
        proposal=proposal,
        task=str(record["task"]),
        seed=int(record["seed"]),
        status=_status(record["status"]),
        metrics=_finite(record["metrics"]),
        curve=tuple(
            Report(int(point["epoch"]), _finite(point["metrics"]), float(point["time_s"]))
            for point in record["curve"]
        ),
        seconds=float(record["seconds"]),
        cached=bool(record["cached"]),
        error=str(record["error"]),
        time_s=float(record["time_s"]),
    )


def _status(given: Any) -> Status:
    if given not in STATUSES:
        raise ValueError(f"status {given!r}, expected one of {', '.join(STATUSES)}")
    status: Status = given
    return status


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    values = {str(name): float(value) for name, value in metrics.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"metric {name} is {value}")
    return values
