"""The laws of a task."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import numpy as np

from metanas.core.task import Data, Part, Task
from metanas.testing._require import require

PARTS = ("train", "validation", "test")
BATCH = 4


def check_task(task: Task) -> None:
    """Check a task's rows, loss, score and augmentation.

    The same seed gives the same parts; every seed gives the same test part, and the same
    rows to train and validate on, so no row is in two parts; inputs have the task's shape
    and no part is empty; the score of any outputs is a finite number for each metric.

    Args:
        task: To check.

    Raises:
        AssertionError: If a law is broken.
    """
    data = task.load(0)
    for name in PARTS:
        _check_part(task, name, getattr(data, name))
    _check_same(data, task.load(0), PARTS, "seed 0 twice")
    other = task.load(1)
    _check_same(data, other, ("test",), "seeds 0 and 1")
    require(
        _rows(data) == _rows(other),
        "train and validation of seeds 0 and 1 are not the same rows taken together",
    )
    count = len(data.train) + len(data.validation) + len(data.test)
    rows = task.facts.get("rows", count)
    require(rows == count, f"the parts hold {count} rows in all, the task has {rows}")
    _check_outputs(task, data.validation)
    _check_augment(task, data.train)


def _check_part(task: Task, name: str, part: Part) -> None:
    require(len(part) > 0, f"{name} is empty")
    found = part.inputs.shape[1:]
    require(found == task.shape, f"inputs of {name} have shape {found}, expected {task.shape}")
    require(
        len(part.targets) == len(part.inputs),
        f"{name} has {len(part.inputs)} inputs and {len(part.targets)} targets",
    )
    kind = part.inputs.dtype
    require(
        task.kind != "classification" or len(task.shape) != 3 or kind == np.uint8,
        f"images of {name} are {kind}, expected uint8",
    )
    if task.kind == "classification":
        targets = part.targets
        require(targets.dtype == np.int64, f"targets of {name} are {targets.dtype}, expected int64")
        low, high = int(targets.min()), int(targets.max())
        require(
            low >= 0 and high < task.outputs,
            f"targets of {name} run from {low} to {high}, expected 0 to {task.outputs - 1}",
        )


def _check_same(left: Data, right: Data, parts: tuple[str, ...], what: str) -> None:
    for name in parts:
        one, two = getattr(left, name), getattr(right, name)
        same = np.array_equal(one.inputs, two.inputs) and np.array_equal(one.targets, two.targets)
        require(same, f"{what} gave two different parts '{name}'")


def _rows(data: Data) -> Counter[bytes]:
    """How often each row, with its target, is in train or validation."""
    part = data.train.joined(data.validation)
    return Counter(
        hashlib.sha256(row.tobytes() + target.tobytes()).digest()
        for row, target in zip(part.inputs, np.asarray(part.targets), strict=True)
    )


def _check_outputs(task: Task, part: Part) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(len(part), task.outputs, generator=generator, requires_grad=True)
    targets = torch.from_numpy(part.targets)
    loss = task.loss(outputs, targets)
    require(
        loss.ndim == 0 and bool(torch.isfinite(loss)) and loss.requires_grad,
        f"the loss is {loss}, expected a finite scalar with a gradient",
    )
    scores = task.score(outputs.detach(), targets)
    names = {metric.name for metric in task.metrics}
    require(set(scores) == names, f"the score gives {sorted(scores)}, expected {sorted(names)}")
    wrong = {name: value for name, value in scores.items() if not math.isfinite(value)}
    require(not wrong, f"the score gives {wrong}, expected finite numbers")


def _check_augment(task: Task, part: Part) -> None:
    import torch

    if task.augment is None:
        return
    batch = torch.from_numpy(part.inputs[:BATCH]).float()
    first, second = (
        task.augment(batch.clone(), torch.Generator().manual_seed(3)) for _ in range(2)
    )
    require(
        first.shape == batch.shape and first.dtype == batch.dtype,
        f"augmenting {tuple(batch.shape)} {batch.dtype} gives {tuple(first.shape)} {first.dtype}",
    )
    require(torch.equal(first, second), "augmenting twice with one seed gives different batches")
