"""Priors that tests make: past tasks whose results are known to be like, or unlike, a new one's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from metanas.core.objective import Objective
from metanas.core.space import Architecture, Space, sample
from metanas.meta.prior import Expectations, Prior, Source
from metanas.models.copula import normal_scores

ACCURACY = Objective("accuracy", "", "max")
Judge = Callable[[Architecture], float]


def source(
    space: Space,
    judge: Judge,
    *,
    task: str = "past",
    trials: int = 60,
    seed: int = 0,
    objective: Objective = ACCURACY,
    labels: str = "true",
) -> Source:
    """A past task on which `judge` said how good an architecture was, larger is better."""
    rng = np.random.default_rng(seed)
    drawn = [sample(space, rng) for _ in range(trials)]
    scores = normal_scores([judge(each) for each in drawn])
    if labels == "negated":
        scores = -scores
    elif labels == "shuffled":
        scores = rng.permutation(scores)
    return Source(
        task=task,
        kind="made",
        space=space.name,
        objective=objective.name,
        goal=objective.goal,
        architectures=tuple(dict(each.values) for each in drawn),
        scores=scores,
        trials=trials,
    )


def expectations(space: Space, judges: Sequence[Judge], **options: object) -> Expectations:
    """What past tasks, one a judge, expect in a space."""
    made = [
        source(space, judge, task=f"past{at}", seed=at, **options)  # type: ignore[arg-type]
        for at, judge in enumerate(judges)
    ]
    found = Prior(tuple(made), "made").on(space, ACCURACY)
    assert not isinstance(found, str), found
    return found


def added(seed: int, options: int = 10, choices: int = 32) -> Judge:
    """A landscape to which each option of each choice adds its part."""
    parts = np.random.default_rng(seed).normal(size=(choices, options))

    def judge(architecture: Architecture) -> float:
        return float(
            sum(
                parts[at, choice.index(architecture.values[choice.name])]
                for at, choice in enumerate(architecture.space.choices)
            )
        )

    return judge
