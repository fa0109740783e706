"""The two laws of a strategy, and that it takes in whatever can happen to a trial."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metanas.core.errors import SpaceError
from metanas.core.objective import Objective
from metanas.core.protocols import Context, Strategy
from metanas.core.space import Architecture, Choice, Space, Values, check
from metanas.core.trial import (
    STATUSES,
    Proposal,
    Report,
    Status,
    Trial,
    proposal_record,
    trial_seed,
)
from metanas.testing._require import require

if TYPE_CHECKING:
    from torch import nn

Factory = Callable[[Context], Strategy]

TRIALS = 30
"""Length of the searches that are played through."""
PENDING = 3
"""Proposals under evaluation at a time."""
CHOICES, OPTIONS = 6, 4

Statuses = tuple[Status, ...]


@dataclass(frozen=True)
class _Step:
    """A question that a strategy was asked, and its answer."""

    told: int
    number: int
    pending: tuple[Proposal, ...]
    answer: Proposal | None


def additive_context(seed: int = 0, epochs: int = 2) -> Context:
    """A small search: six choices of four options, of which each adds its index to `accuracy`.

    Its networks can be built: a linear layer each.
    """
    choices = tuple(
        Choice(f"choice_{i}", tuple(range(OPTIONS)), ordered=True) for i in range(CHOICES)
    )
    return Context(
        Space("additive", choices, _build), (Objective("accuracy", "", "max"),), epochs, seed
    )


def _build(values: Values, shape: tuple[int, ...], outputs: int) -> nn.Module:
    from torch import nn

    width = 1 + sum(int(value) for value in values.values())
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), width), nn.ReLU(), nn.Linear(width, outputs)
    )


def check_strategy(strategy_factory: Factory, context: Context | None = None) -> None:
    """Check a strategy on searches that are played through, with good and bad endings.

    1. `ask` changes no answer of a later `ask`: asking twice, or for other numbers in
       between, or with other proposals pending, changes nothing.
    2. A new instance that is told the same trials answers the same from there on.
    3. A proposal has the number asked for, a member of the space and epochs, and is plain
       JSON; None is answered only as "wait" while proposals are pending, or as the end.
    4. Every status can be told, and cached trials, and nothing but failures.

    Args:
        strategy_factory: Makes the strategy from a context.
        context: Of the search; `additive_context` without it.

    Raises:
        AssertionError: If a law is broken.
    """
    context = additive_context() if context is None else context
    mixed: Statuses = ("completed", "completed", *STATUSES)
    for statuses in (mixed, ("completed",), ("infeasible",), ("crashed", "timed_out")):
        steps, trials = _play(strategy_factory(context), context, statuses)
        _check_undisturbed(strategy_factory(context), steps, trials)
        for cut in (len(trials) // 3, 2 * len(trials) // 3):
            _check_continues(strategy_factory(context), steps, trials, cut)


def _play(
    strategy: Strategy, context: Context, statuses: Statuses
) -> tuple[list[_Step], list[Trial]]:
    """Search with several proposals pending; every question and answer, and the trials."""
    steps: list[_Step] = []
    trials: list[Trial] = []
    pending: list[Proposal] = []
    number = 0
    while number < TRIALS:
        answer = strategy.ask(number, tuple(pending))
        steps.append(_Step(len(trials), number, tuple(pending), answer))
        if answer is not None:
            _check_proposal(answer, number, context)
            pending.append(answer)
            number += 1
        elif not pending:
            break
        if answer is None or len(pending) > PENDING:
            # Not always the oldest: trials end in another order than they began.
            ended = pending.pop(len(trials) % len(pending))
            trials.append(_trial(ended, context, statuses))
            strategy.tell(trials[-1])
    return steps, trials


def _check_proposal(proposal: Proposal, number: int, context: Context) -> None:
    require(
        proposal.number == number, f"asked for trial {number}, it proposes number {proposal.number}"
    )
    require(proposal.epochs >= 1, f"proposal {number} has {proposal.epochs} epochs")
    parent = proposal.parent
    require(
        parent is None or 0 <= parent < number,
        f"proposal {number} has parent {parent}, expected an earlier trial",
    )
    try:
        check(context.space, proposal.architecture.values)
    except SpaceError as error:
        raise AssertionError(f"proposal {number} is no member of the space: {error}") from error
    try:
        record = json.dumps(proposal_record(proposal), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"proposal {number} is no plain JSON: {error}") from error
    require(
        json.loads(record) == proposal_record(proposal),
        f"proposal {number} comes back from JSON as another one: {record}",
    )


def _trial(proposal: Proposal, context: Context, statuses: Statuses) -> Trial:
    number = proposal.number
    status = statuses[number % len(statuses)]
    whole = status in ("completed", "stopped")
    metrics = _metrics(proposal.architecture, context) if whole else {}
    curve = tuple(Report(epoch, metrics) for epoch in range(1, proposal.epochs + 1))
    return Trial(
        proposal=proposal,
        task="synthetic",
        seed=trial_seed(context.seed, number),
        status=status,
        metrics=metrics,
        curve=curve if whole else (),
        seconds=1.0,
        cached=status == "completed" and number % 4 == 1,
        error="" if whole else f"told as {status}",
    )


def _metrics(architecture: Architecture, context: Context) -> dict[str, float]:
    """A value in 0 to 1 for each objective, additive over choices, each with its own weights."""
    values: dict[str, float] = {}
    for position, objective in enumerate(context.objectives):
        weights = np.random.default_rng(position).uniform(size=len(architecture.space.choices))
        shares = [
            choice.index(architecture.values[choice.name]) / max(1, len(choice.options) - 1)
            for choice in architecture.space.choices
        ]
        values[objective.name] = float(np.dot(weights, shares) / weights.sum())
    return values


def _check_undisturbed(strategy: Strategy, steps: Sequence[_Step], trials: Sequence[Trial]) -> None:
    """Law 1, on an instance that is asked far more than the one before."""
    told = 0
    for step in steps:
        while told < step.told:
            strategy.tell(trials[told])
            told += 1
        strategy.ask(step.number + 1, step.pending)
        strategy.ask(step.number + 5, ())
        for occasion in ("after it was asked for other numbers", "when it is asked again"):
            answer = strategy.ask(step.number, step.pending)
            _same(step, answer, f"law 1: {occasion}")


def _check_continues(
    strategy: Strategy, steps: Sequence[_Step], trials: Sequence[Trial], cut: int
) -> None:
    """Law 2: told the first `cut` trials at once, it goes on as the one that was asked for them."""
    for trial in trials[:cut]:
        strategy.tell(trial)
    told = cut
    for step in steps:
        if step.told < cut:
            continue
        while told < step.told:
            strategy.tell(trials[told])
            told += 1
        answer = strategy.ask(step.number, step.pending)
        _same(step, answer, f"law 2: a new instance that was told {cut} trials")


def _same(step: _Step, answer: Proposal | None, law: str) -> None:
    before = None if step.answer is None else proposal_record(step.answer)
    now = None if answer is None else proposal_record(answer)
    require(
        before == now,
        f"{law}: trial {step.number} with {step.told} told is {now}, it was {before}",
    )
