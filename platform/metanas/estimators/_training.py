"""The work of the estimator `train`: torch is imported here, where trainings run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from metanas.core.errors import ConfigError, DivergedError, InfeasibleError
from metanas.core.space import Architecture, Space, Value
from metanas.core.task import Part, Task, moments

PROBE_BATCH = 2
SCORING_BATCH = 500
WARM_UP_SHARE = 0.1
LARGEST_GRADIENT = 5.0


def device_of(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigError(f"train.device is {name!r}, expected auto, cpu, cuda, ...") from None


def built(space: Space, architecture: Architecture, task: Task) -> nn.Module:
    """The module, shown to give outputs of the task's shape.

    Raises:
        InfeasibleError: If it cannot be built, or gives something else.
    """
    expected = (PROBE_BATCH, task.outputs)
    with _infeasible("build"):
        module = space.build(architecture.values, task.shape, task.outputs)
    with _infeasible("forward"), torch.no_grad():
        module.eval()
        outputs = module(torch.zeros(PROBE_BATCH, *task.shape))
    given = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if given != expected:
        raise InfeasibleError(f"the network gives {given}, expected {expected}")
    return module


class _infeasible(AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Turns what a user's build or forward raises into InfeasibleError; memory excepted."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, MemoryError):
            return
        text = " ".join(str(error).split())
        if "memory" in text.lower():
            return
        raise InfeasibleError(f"{self.step} fails: {type(error).__name__}: {text}") from error


class Scale:
    """Brings uint8 images to zero mean and unit deviation a channel, as tensors on the device."""

    def __init__(self, train: Part, device: torch.device) -> None:
        mean, deviation = moments(train)
        view = (1, -1, 1, 1)
        self.device = device
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device).view(view)
        self.deviation = torch.tensor(deviation, dtype=torch.float32, device=device).view(view)

    def inputs(self, rows: torch.Tensor) -> torch.Tensor:
        """``[batch, channels, height, width]``, uint8 to float32, channels last."""
        images = rows.to(self.device, dtype=torch.float32)
        scaled = (images - self.mean) / self.deviation
        return scaled.contiguous(memory_format=torch.channels_last)


class Fit:
    """A training under way; each `epoch` advances it."""

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        part: Part,
        scale: Scale,
        settings: Mapping[str, Value],
        epochs: int,
        seed: int,
    ) -> None:
        self.module, self.task, self.scale = module, task, scale
        self.inputs, self.targets = torch.from_numpy(part.inputs), torch.from_numpy(part.targets)
        self.batch = min(int(settings["batch_size"]), len(part))
        self.augment = task.augment if settings["augment"] else None
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = _optimizer(module, settings)
        steps = epochs * max(1, len(part) // self.batch)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _warm_cosine(steps))
        self.autocast = _autocast(scale.device)
        self.loss = math.inf

    def epoch(self) -> None:
        """One pass over the rows in a new order; the last rows that fill no batch are left out."""
        self.module.train()
        order = torch.randperm(len(self.inputs), generator=self.generator)
        total, steps = torch.zeros((), device=self.scale.device), len(order) // self.batch
        for rows in order[: steps * self.batch].view(steps, self.batch):
            total += self._step(rows)
        self.loss = float(total) / steps
        if not math.isfinite(self.loss):
            raise DivergedError(f"the training loss became {self.loss}")

    def _step(self, rows: torch.Tensor) -> torch.Tensor:
        images = self.scale.inputs(self.inputs[rows])
        if self.augment is not None:
            images = self.augment(images, self.generator)
        targets = self.targets[rows].to(self.scale.device)
        with self.autocast():
            loss = self.task.loss(self.module(images), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()


def _optimizer(module: nn.Module, settings: Mapping[str, Value]) -> torch.optim.Optimizer:
    matrices = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    if not matrices and not vectors:
        raise InfeasibleError("the network has nothing to train")
    groups = [
        {"params": matrices, "weight_decay": float(settings["weight_decay"])},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=float(settings["learning_rate"]))


def _warm_cosine(steps: int) -> Callable[[int], float]:
    """Factor on the learning rate at each step: up over the first tenth, then a half cosine."""
    warm = max(1, round(WARM_UP_SHARE * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return factor


def _autocast(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return lambda: torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext


@torch.no_grad()
def scores_of(module: nn.Module, task: Task, part: Part, scale: Scale) -> dict[str, float]:
    """The task's metrics over a whole part, in evaluation mode."""
    module.eval()
    inputs = torch.from_numpy(part.inputs)
    outputs = [
        module(scale.inputs(inputs[start : start + SCORING_BATCH])).float().cpu()
        for start in range(0, len(inputs), SCORING_BATCH)
    ]
    return dict(task.score(torch.cat(outputs), torch.from_numpy(part.targets)))


def weights_of(module: nn.Module, scale: Scale) -> bytes:
    """A safetensors file of the network's state and of how its inputs are scaled.

    Keys: ``model.<name>`` as in the module's state, ``input.mean`` and ``input.deviation``
    ``[channels]``.
    """
    from safetensors.torch import save

    state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    state |= {"input.mean": scale.mean.flatten(), "input.deviation": scale.deviation.flatten()}
    # Copies: tensors that share memory are refused.
    return save({name: t.detach().cpu().contiguous().clone() for name, t in state.items()})
