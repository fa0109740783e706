"""Stories for the report's tests: made up, but shaped like those of searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from metanas.core.front import front_of, pick
from metanas.core.history import Final, Result
from metanas.core.objective import Objective
from metanas.core.space import Architecture, Choice, Space, sample
from metanas.core.trial import Outcome, Proposal, Status, Trial
from metanas.measures.trace import Node
from metanas.report import Story

ACCURACY = Objective("accuracy", "", "max")
PARAMS = Objective("params", "parameters", "min")
CHOICES = (
    Choice("depth", (1, 2, 3), ordered=True),
    Choice("width", (8, 16, 32, 64), ordered=True),
    Choice("block", ("plain", "residual")),
    Choice("useless", (True, False)),
)
GRAPH = (
    Node("x", "input", (), (1, 8, 8), label="input"),
    Node("first", "Conv2d", ("x",), (16, 8, 8), 144, 18_432, "conv 3x3, 16"),
    Node("norm", "BatchNorm2d", ("first",), (16, 8, 8), 32, 0, "batch norm"),
    Node("relu", "ReLU", ("norm",), (16, 8, 8), 0, 0, "relu"),
    Node("second", "Conv2d", ("relu",), (16, 8, 8), 2304, 294_912, "conv 3x3, 16"),
    Node("add", "add", ("relu", "second"), (16, 8, 8), 0, 0, "add"),
    Node("pool", "AdaptiveAvgPool2d", ("add",), (16, 1, 1), 0, 0, "global average pool"),
    Node("flat", "flatten", ("pool",), (16,), 0, 0, "flatten"),
    Node("head", "Linear", ("flat",), (10,), 170, 320, "linear, 10"),
)


def space_of(choices: Sequence[Choice]) -> Space:
    return Space("made-up", tuple(choices), lambda values, shape, outputs: None)  # type: ignore[arg-type, return-value]


def trial(
    number: int, architecture: Architecture, status: Status = "completed", **changed: Any
) -> Trial:
    """Better the deeper and wider, with noise; nothing else matters."""
    values, rng = architecture.values, np.random.default_rng(number)
    depth, width = float(values.get("depth", 1)), float(values.get("width", 8))
    params = depth * width**2
    accuracy = 0.6 + 0.05 * depth + 0.03 * math.log2(width) + 0.01 * rng.normal()
    metrics = {"accuracy": accuracy, "params": params, "flops": 40 * params}
    failed = status not in ("completed", "stopped")
    given = {
        "status": status,
        "metrics": {} if failed else metrics,
        "seconds": float(1 + depth),
        "error": f"{status} on purpose" if failed else "",
    } | changed
    reason = "random, to fill the population" if number < 8 else f"mutates trial {number - 3}"
    return Trial(Proposal(number, architecture, 3, reason=reason), "made-up-task", 0, **given)


def trials(count: int, choices: Sequence[Choice] = CHOICES, every: int = 0) -> list[Trial]:
    """So many; with `every`, each of that number fails."""
    space, kinds = space_of(choices), ("crashed", "out_of_memory", "infeasible")
    found = []
    for number in range(count):
        architecture = sample(space, np.random.default_rng([number, 7]))
        fails = every and number % every == every - 1
        status: Any = kinds[number // every % 3] if fails else "completed"
        found.append(trial(number, architecture, status))
    return found


def story(
    ended: Sequence[Trial] = (),
    objectives: tuple[Objective, ...] = (ACCURACY,),
    final: bool = True,
    **changed: Any,
) -> Story:
    front = front_of(ended, objectives)
    best, why = pick(front, objectives)
    last = None
    if best is not None and final:
        scores = {"accuracy": 0.987, "loss": 0.04}
        last = Final(best.number, 9, Outcome("completed", scores, 12.5))
    given: dict[str, Any] = {
        "name": "made-up-0",
        "task": "made-up-task",
        "space": "made-up",
        "strategy": "evolution",
        "seed": 0,
        "epochs": 3,
        "objectives": objectives,
        "result": Result(tuple(ended), front, best, last, why),
        "aim": max(1, len(ended)),
        "seconds": 199.2,
        "tracking_uri": "sqlite:///mlflow.db",
        "choices": CHOICES,
        "graph": GRAPH if best is not None else (),
        "task_facts": {"rows": 5000, "classes": list("0123456789")},
    }
    return Story(**given | changed)
