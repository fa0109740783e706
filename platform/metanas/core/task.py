"""Tasks: data in three disjoint parts, and how a network's outputs are judged on them.

A task is a value. What differs between kinds of task (the loss, the metrics, how a batch
is augmented) are functions that it carries, so estimators never ask which kind it is.

Shapes: an image is ``[channels, height, width]``, its batch ``[batch, channels, height,
width]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metanas.core.objective import Objective
from metanas.core.space import Values

if TYPE_CHECKING:
    import torch

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
Score = Callable[["torch.Tensor", "torch.Tensor"], Mapping[str, float]]
Records = Callable[[Values, bool], "Recorded | None"]
Augment = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]


@dataclass(frozen=True)
class Part:
    """Some rows of a task.

    Args:
        inputs: ``[n, *shape]``, uint8 for images.
        targets: ``[n, ...]``, for classification the class indices, int64.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def joined(self, other: Part) -> Part:
        """This part's rows, then the other's."""
        return Part(
            np.concatenate([self.inputs, other.inputs]),
            np.concatenate([self.targets, other.targets]),
        )


def moments(part: Part) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What brings a part's inputs to zero mean and unit deviation: both, a channel each.

    Args:
        part: Of inputs ``[n, channels, ...]``.

    Returns:
        Mean and deviation ``[channels]``; the deviation is at least 1 (of 255), so that a
        channel that is constant stays zero.
    """
    values = part.inputs.reshape(len(part), part.inputs.shape[1], -1)
    mean = values.mean(axis=(0, 2), dtype=np.float64)
    deviation = values.std(axis=(0, 2), dtype=np.float64)
    return mean, np.maximum(deviation, 1.0)


@dataclass(frozen=True)
class Data:
    """A task's rows: the search trains on `train` and sees `validation`; `test` is for the end."""

    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True)
class Recorded:
    """What is known of an architecture without training it.

    Args:
        metrics: Finite.
        cost_s: What its training took, in seconds; None where nobody wrote it down.
    """

    metrics: Mapping[str, float]
    cost_s: float | None = None


@dataclass(frozen=True)
class Task:
    """What a network is searched for.

    Args:
        name: Stored with every trial.
        kind: What sort of problem it is: "classification", ...
        shape: Of one input, without the batch.
        outputs: How many numbers a network gives for one input (classes).
        load: ``load(seed)`` gives the rows; the same seed gives the same parts.
        loss: ``loss(outputs, targets)``, a scalar tensor to minimise.
        score: ``score(outputs, targets)`` over a whole part, a number for each metric.
        metrics: What `score` gives, the deciding one first.
        augment: Varies a training batch, or None.
        facts: Small facts for records: number of rows a part, names of classes, ...
        recorded: ``recorded(values, final)`` gives what was measured of an architecture, on
            test where `final`, or None where nothing was; for a task that is a table of
            results and has no rows to train on.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    outputs: int
    load: Callable[[int], Data]
    loss: Loss
    score: Score
    metrics: tuple[Objective, ...]
    augment: Augment | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    recorded: Records | None = None
