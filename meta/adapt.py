"""Fitting a predictor to a few examples by gradient steps, and learning what the steps start from.

What is adapted is everything (`maml`), the head alone (`anil`), or everything with a rate of
its own for each weight (`meta_sgd`); `meta_train` learns what they begin with from past
tasks. Squared error has a closed form on a linear head and needs none of this: gradient
steps are for losses that have none, such as the order alone, or trials that were stopped
(`metanas.meta.losses`).

The one file that imports learn2learn, which takes seconds (so it is done late), prints a
notice of gym's (kept silent), and goes on with a printed warning where weights and gradients
do not match (an error here).

Sources: Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
Networks", algorithm 1; Raghu et al. 2020, "Rapid Learning or Feature Reuse? Towards
Understanding the Effectiveness of MAML", section 4 (ANIL); Li et al. 2017, "Meta-SGD:
Learning to Learn Quickly for Few-Shot Learning", algorithm 1.

Shapes: ``n`` examples, ``d`` features, ``h`` outputs of the encoder. An encoder maps ``[n, d]``
to ``[n, h]``, a head ``[n, h]`` to ``[n, 1]``. Larger scores and values are better.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from metanas.core.errors import ConfigError
from metanas.measures.latency import on_threads
from metanas.meta.losses import outer_loss

Examples = tuple[Tensor, Tensor]
"""Features ``[n, d]`` and values ``[n]``."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(scores, values)``, both ``[n]``, gives a scalar."""
Adapt = Callable[[Examples], nn.Module]
"""From some examples of a task, a network of its own that maps ``[m, d]`` to ``[m, 1]``."""
Update = Callable[[nn.Module, Sequence[Tensor]], nn.Module]
"""Moves the weights of a copy by their gradients, in place, and gives it back."""

NEEDS = "needs the extra 'meta': pip install 'metanas[meta]'"
SUPPORT, QUERY = (2, 24), (40, 60)
"""How many examples of a task an episode adapts to, and how many it is judged by."""
STEEP = 3.0
"""The largest norm of the outer loop's gradients: what is steeper is cut to it.

On tables nine in ten are below 2 and a cut changes nothing; steps with a large rate bring
single ones of thousands, after which nothing is learnt any more.
"""
LEAST = 4
"""The fewest examples of a task that make an episode: two and two."""


def missing() -> str:
    """What to install before anything here can adapt; "" where it is there. Imports nothing."""
    there = importlib.util.find_spec("learn2learn") is not None
    return "" if there else f"learn2learn is not installed: adapting by gradient steps {NEEDS}"


@cache
def _learn2learn() -> Any:
    """The package's algorithms.

    Raises:
        ConfigError: If it is not installed, or lacks what it imports.
    """
    line = missing()
    if line:
        raise ConfigError(line)
    with contextlib.suppress(ImportError):
        # Emptied rather than redirected: what other threads print meanwhile is theirs.
        import gym_notices.notices

        gym_notices.notices.notices.clear()
    try:
        from learn2learn import algorithms
    except ImportError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"learn2learn cannot be imported ({reason}): {NEEDS}") from None
    return algorithms


@contextlib.contextmanager
def _working() -> Iterator[None]:
    """With gradients, also where the caller only predicts, and in one thread.

    With more, last bits depend on the machine, and threads of steps as small as these wait
    for each other: on two busy CPUs they took seventeen times as long, once.
    """
    with on_threads(1), torch.enable_grad():
        yield


# -- adapting to the examples of one task --------------------------------------------------


@_working()
def maml(
    encoder: nn.Module,
    head: nn.Module,
    support: Examples,
    loss: Loss,
    *,
    steps: int,
    rate: float,
    first_order: bool = False,
) -> nn.Module:
    """Move all weights downhill on the examples.

    Args:
        encoder: From ``[n, d]`` to ``[n, h]``; stays as it is.
        head: From ``[n, h]`` to ``[n, 1]``; stays as it is.
        support: The examples.
        loss: Of the scores on them.
        steps: How many, each with the gradient over all examples; 0 for none.
        rate: Of the steps.
        first_order: Take the gradients for constants, so that what is learnt through the
            adapted network ignores how they depend on where they began. What is adapted
            comes out the same, for less: the right choice where nothing is learnt from it.

    Returns:
        A copy from ``[m, d]`` to ``[m, 1]``, through which gradients reach the weights of
        `encoder` and `head`. It shares their buffers.

    Raises:
        ConfigError: If an argument is not allowed, a weight is frozen or has no part in the
            loss, the loss is not finite, or learn2learn is missing.
    """
    network = nn.Sequential(encoder, head)
    copy, update = _maml(network, rate)
    return _adapted(copy, update, support, loss, steps, first_order)


@_working()
def anil(
    encoder: nn.Module,
    head: nn.Module,
    support: Examples,
    loss: Loss,
    *,
    steps: int,
    rate: float,
    first_order: bool = False,
) -> nn.Module:
    """Move the weights of the head alone; as `maml` in all else.

    The encoder runs once. With its last layers given as part of the head, these move too.
    """
    copy, update = _maml(head, rate)
    features, values = support
    encoded = (encoder(features), values)
    return nn.Sequential(encoder, _adapted(copy, update, encoded, loss, steps, first_order))


@_working()
def meta_sgd(
    encoder: nn.Module,
    head: nn.Module,
    rates: nn.ParameterList,
    support: Examples,
    loss: Loss,
    *,
    steps: int,
    first_order: bool = False,
) -> nn.Module:
    """Move all weights, each at its own rate; as `maml` in all else.

    Args:
        encoder: As in `maml`; with nn.Identity, `head` is all there is and all that moves.
        head: As in `maml`.
        rates: Of each weight, see `learning_rates`; gradients reach them too.
        support: The examples.
        loss: Of the scores on them.
        steps: How many.
        first_order: As in `maml`; the rates are learnt all the same.
    """
    network = nn.Sequential(encoder, head)
    wanted = [list(weight.shape) for weight in network.parameters()]
    given = [list(each.shape) for each in rates]
    if given != wanted:
        raise ConfigError(f"meta_sgd: rates have shapes {given}, the weights {wanted}")
    algorithms = _learn2learn()
    learner = algorithms.MetaSGD(network, lrs=rates).clone()

    def update(module: nn.Module, gradients: Sequence[Tensor]) -> nn.Module:
        moved: nn.Module = algorithms.meta_sgd_update(module, learner.lrs, gradients)
        return moved

    return _adapted(learner.module, update, support, loss, steps, first_order)


def learning_rates(encoder: nn.Module, head: nn.Module, rate: float) -> nn.ParameterList:
    """For `meta_sgd`: one rate for every weight, all equal to begin with."""
    weights = nn.Sequential(encoder, head).parameters()
    return nn.ParameterList([nn.Parameter(torch.full_like(each, rate)) for each in weights])


def _maml(module: nn.Module, rate: float) -> tuple[nn.Module, Update]:
    if not rate > 0:
        raise ConfigError(f"adapt: rate is {rate}, expected more than 0")
    algorithms = _learn2learn()
    learner = algorithms.MAML(module, lr=rate).clone()

    def update(module: nn.Module, gradients: Sequence[Tensor]) -> nn.Module:
        moved: nn.Module = algorithms.maml_update(module, rate, gradients)
        return moved

    return learner.module, update


def _adapted(
    copy: nn.Module, update: Update, support: Examples, loss: Loss, steps: int, first_order: bool
) -> nn.Module:
    """Move a copy `steps` times, downhill on the loss of its scores on the examples."""
    if steps < 0:
        raise ConfigError(f"adapt: steps is {steps}, expected at least 0")
    features, values = support
    for step in range(steps):
        error = loss(copy(features).squeeze(-1), values)
        _finite(error, f"adapt: the loss before step {step + 1} of {steps}")
        copy = update(copy, _gradients(error, copy, second_order=not first_order))
    return copy


def _gradients(error: Tensor, module: nn.Module, *, second_order: bool) -> Sequence[Tensor]:
    """One gradient for every weight.

    learn2learn's own `adapt` prints and goes on, or dies of a name it never set, where there
    is none; its updates stop at the shorter of two lists, and cut the ties of shared weights.
    """
    named = dict(module.named_parameters())
    if len(named) < len(dict(module.named_parameters(remove_duplicate=False))):
        raise ConfigError("adapt: two layers share a weight, expected weights of their own")
    frozen = [name for name, weight in named.items() if not weight.requires_grad]
    if frozen:
        raise ConfigError(f"adapt: weight '{frozen[0]}' is frozen, expected all to need gradients")
    gradients = torch.autograd.grad(
        error, list(named.values()), create_graph=second_order, allow_unused=True
    )
    for name, gradient in zip(named, gradients, strict=True):
        if gradient is None:
            raise ConfigError(f"adapt: weight '{name}' has no part in the loss, expected all to")
    return gradients


def _finite(number: Tensor, what: str) -> None:
    if not bool(torch.isfinite(number)):
        raise ConfigError(f"{what} is {number.item()}: take a smaller rate or fewer steps")


# -- learning what to begin with ------------------------------------------------------------


@_working()
def meta_train(
    adapt: Adapt,
    parameters: Iterable[nn.Parameter],
    tasks: Sequence[Examples],
    *,
    episodes: int = 300,
    rate: float = 3e-3,
    loss: Loss = outer_loss,
    seed: int = 0,
) -> list[float]:
    """Learn what adapting begins with: the outer loop, one task an episode, by Adam.

    Gradients are cut to a norm of `STEEP`.

    An episode draws a task, and of its examples 2 to 24 to adapt to and 40 to 60 others to
    be judged by; of a small task at most half to adapt to, and what is left to be judged by.

    Args:
        adapt: What an episode does with its examples: a call of `maml`, `anil`, `meta_sgd`,
            or anything else through which gradients reach the parameters.
        parameters: What is learnt, changed in place.
        tasks: Examples of each; values on one scale.
        episodes: How many.
        rate: Adam's.
        loss: Of the adapted network's scores on the examples it was not adapted to.
        seed: Of what the episodes draw.

    Returns:
        The loss of each episode.

    Raises:
        ConfigError: If a task cannot be learnt from, or a loss or its gradient is not finite.
    """
    _learnable(tasks)
    weights = list(parameters)
    optimiser = torch.optim.Adam(weights, lr=rate)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for number in range(episodes):
        support, (features, values) = _episode(tasks, generator)
        error = loss(adapt(support)(features).squeeze(-1), values)
        _finite(error, f"meta_train: the loss of episode {number}")
        optimiser.zero_grad()
        error.backward(inputs=weights)  # type: ignore[no-untyped-call]
        steepness = nn.utils.clip_grad_norm_(weights, STEEP)
        _finite(steepness, f"meta_train: the norm of the gradients of episode {number}")
        optimiser.step()
        losses.append(error.item())
    return losses


def _learnable(tasks: Sequence[Examples]) -> None:
    if not tasks:
        raise ConfigError("meta_train: no tasks, expected at least 1")
    for number, (features, values) in enumerate(tasks):
        if features.ndim != 2 or values.shape != features.shape[:1]:
            shapes = f"{list(features.shape)} and {list(values.shape)}"
            raise ConfigError(f"meta_train: task {number} is {shapes}, expected [n, d] and [n]")
        if len(values) < LEAST:
            found = f"task {number} has {len(values)} examples"
            raise ConfigError(f"meta_train: {found}, expected at least {LEAST}")
        if not bool(torch.isfinite(features).all() and torch.isfinite(values).all()):
            raise ConfigError(f"meta_train: task {number} holds what is not finite")


def _episode(tasks: Sequence[Examples], generator: torch.Generator) -> tuple[Examples, Examples]:
    """Of a task, the examples to adapt to and those to be judged by."""

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    features, values = tasks[between(0, len(tasks) - 1)]
    support, query = between(*SUPPORT), between(*QUERY)
    rows = torch.randperm(len(values), generator=generator)
    support = min(support, len(values) // 2)
    known, asked = rows[:support], rows[support : support + query]
    return (features[known], values[known]), (features[asked], values[asked])
