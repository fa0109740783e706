"""Whether a user's own space can be built at all, found out before anything runs."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import numpy as np

from metanas.core.errors import ConfigError
from metanas.core.space import sample

if TYPE_CHECKING:
    from metanas.core.space import Architecture, Space
    from metanas.core.task import Task

PROBES = 3
BATCH = 2


def probe(space: Space, task: Task, name: str) -> None:
    """Build a few architectures and run each on a small batch; one that works is enough.

    Args:
        space: The space.
        task: What its networks must fit.
        name: As the user gave it, for the message.

    Raises:
        ConfigError: If none can be built, or none gives the task's number of outputs.
    """
    rng = np.random.default_rng(0)
    problems = []
    for _ in range(PROBES):
        problem = _problem(sample(space, rng), task, name.rpartition(":")[0])
        if not problem:
            return
        problems.append(problem)
    raise ConfigError(f"space '{name}' on task '{task.name}': {problems[0]}")


def _problem(architecture: Architecture, task: Task, file: str) -> str:
    import torch

    step = "build"
    try:
        module = architecture.space.build(architecture.values, task.shape, task.outputs)
        step = "forward"
        with torch.no_grad():
            given = module.eval()(torch.zeros(BATCH, *task.shape))
    except Exception as error:  # noqa: BLE001 - a user's code can fail in any way
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        place = f" ({file}:{lines[-1]})" if lines else ""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{step} fails: {text}{place}"
    found = list(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
    expected = [BATCH, task.outputs]
    if found == expected:
        return ""
    return (
        f"the network gives {found} for {BATCH} inputs of {list(task.shape)}, expected {expected}"
    )
