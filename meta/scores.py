"""Zero-cost scores of architectures on a task's own rows, each computed once.

One architecture at a time, in this process, on the CPU, in one thread: whoever wants more
of the machine scores parts of the list in several processes, which may share a home.

A score belongs to the exact values of an architecture, not to the network that they make:
two writings of one network start from other weights, and the answer must not depend on
which of them was asked for first.

Shapes: ``n`` architectures, ``s`` scores.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metanas.core.space import Architecture, Space, sample
from metanas.core.task import Loss, Part, Task, moments
from metanas.measures.zero_cost import SCORES, VERSION, zero_cost
from metanas.meta import cache

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH = 64
"""Rows that a network is scored on."""
PART_SEED = 0
"""With it the task's rows are cut into parts: never with a search's."""
PRINTED_ROWS = 4_096
"""The most rows whose inputs tell two data sets apart; all targets do."""
PRINTED_NETWORKS = 4
"""Networks whose layers tell two spaces of one name apart."""

Scores = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a task as a network sees them in training, without augmentation.

    Args:
        inputs: ``[rows, *shape]``, float32, of zero mean and unit deviation a channel.
        targets: ``[rows, ...]``.
        loss: Of the task.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    loss: Loss


@dataclass(frozen=True, eq=False)
class Scoring:
    """What scores architectures on one task.

    Args:
        space: Of all architectures.
        task: With rows; the training part is used.
        seed: Of the initial weights, and of which rows make the batch.
        home: Scores are kept in its folder `scores`; None to keep none.
    """

    space: Space
    task: Task
    seed: int = 0
    home: Path | None = None

    def __call__(
        self,
        architectures: Sequence[Architecture],
        on_each: Callable[[int], bool | None] = lambda done: None,
    ) -> list[Scores]:
        """The scores of each, by name.

        Args:
            architectures: ``n`` of the space.
            on_each: Told how many are done, after each that had to be computed; it ends
                the work by answering False.

        Returns:
            In the order of `architectures`, as many as were done; NaN for a score that is
            not finite, and all NaN for a network that cannot be built or run.

        Raises:
            HomeError: If scores cannot be kept.
        """
        known = cache.read(self.path) if self.path else {}
        found: list[Scores] = []
        for architecture in architectures:
            key = self.key(architecture)
            if key in known:
                found.append(_restored(known[key]))
                continue
            scores = scored(architecture, self._batch, self.task.outputs, seed=self.seed)
            found.append(scores)
            known[key] = _stored(scores)
            # What failed is tried again: another machine may have the memory.
            if self.path and not all(map(math.isnan, scores.values())):
                cache.append(self.path, {key: known[key]})
            if on_each(len(found)) is False:
                break
        return found

    @cached_property
    def path(self) -> Path | None:
        """The file with the scores on this task's rows."""
        return self.home / "scores" / f"{self.data}.jsonl" if self.home else None

    @cached_property
    def data(self) -> str:
        """Of the task's name and rows, see `data_print`."""
        return cache.digest(self.task.name, data_print(self._part))

    def key(self, architecture: Architecture) -> str:
        """Under which the scores of an architecture are kept."""
        values = dict(architecture.values)
        return cache.digest(VERSION, self.data, self.seed, BATCH, self._network, values)

    @cached_property
    def _network(self) -> str:
        return space_print(self.space, self.task.shape, self.task.outputs)

    @cached_property
    def _part(self) -> Part:
        return self.task.load(PART_SEED).train

    @cached_property
    def _batch(self) -> Batch:
        return batch_of(self.task, self._part, seed=self.seed)


def scored(architecture: Architecture, batch: Batch, outputs: int, *, seed: int) -> Scores:
    """The scores of one network; all NaN where it cannot be built or run."""
    shape = tuple(batch.inputs.shape[1:])
    try:
        module = built(architecture, shape, outputs, seed=seed)
        return zero_cost(module, batch.inputs, batch.targets, batch.loss, seed=seed)
    except Exception:  # noqa: BLE001 - a user's network raises anything
        return dict.fromkeys(SCORES, math.nan)


def matrix(scores: Sequence[Scores]) -> npt.NDArray[np.float64]:
    """``[n, s]`` with a column for each of `SCORES`, NaN where there is no score."""
    rows = [[each[name] for name in SCORES] for each in scores]
    return np.array(rows, dtype=np.float64).reshape(len(scores), len(SCORES))


def built(
    architecture: Architecture, shape: tuple[int, ...], outputs: int, *, seed: int
) -> nn.Module:
    """The network with the weights that the seed gives; torch's own state stays as it is."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.space.build(architecture.values, shape, outputs)


def batch_of(task: Task, part: Part, *, seed: int, rows: int = BATCH) -> Batch:
    """Rows drawn without putting back, as many as there are at the most."""
    import torch

    drawn = np.random.default_rng(seed).permutation(len(part))[:rows]
    mean, deviation = moments(part)
    view = (1, -1) + (1,) * (part.inputs.ndim - 2)
    inputs = (part.inputs[drawn] - mean.reshape(view)) / deviation.reshape(view)
    targets = torch.from_numpy(part.targets[drawn])
    return Batch(torch.from_numpy(inputs.astype(np.float32)), targets, task.loss)


def data_print(part: Part) -> str:
    """Tells two sets of rows apart: by all targets, and the inputs of at most 4,096 rows."""
    found = hashlib.sha256(repr((part.inputs.shape, str(part.inputs.dtype))).encode())
    found.update(np.ascontiguousarray(part.targets).tobytes())
    step = max(1, -(-len(part) // PRINTED_ROWS))
    for row in part.inputs[::step]:
        found.update(np.ascontiguousarray(row).tobytes())
    return found.hexdigest()[:32]


def space_print(space: Space, shape: tuple[int, ...], outputs: int) -> str:
    """Tells what a space builds from what one of the same name and choices does.

    Options such as `channels` are no choices: the layers of some members show them.
    """
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(PRINTED_NETWORKS):
        member = sample(space, rng)
        try:
            texts.append(repr(built(member, shape, outputs, seed=0)))
        except Exception as error:  # noqa: BLE001 - a user's network raises anything
            texts.append(type(error).__name__)
    return cache.digest(space.name, list(shape), outputs, texts)


def _stored(scores: Scores) -> dict[str, float | None]:
    return {name: score if math.isfinite(score) else None for name, score in scores.items()}


def _restored(stored: Mapping[str, float | None]) -> Scores:
    return {name: math.nan if score is None else score for name, score in stored.items()}
