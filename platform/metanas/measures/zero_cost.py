"""Zero-cost scores: what one batch tells about an untrained network.

Each score is a number that is larger for networks which tend to become better. Whether
that holds depends on the task, down to the sign, so they are features to learn from and
never what a search is after.

A copy of the network runs in training mode (batch norm uses the batch's own moments), on
the CPU, in one thread: one forward pass and two backward passes for all scores but
synflow, and one of each in double precision on a second copy for that one.

Activations are found as torch runs them, whether a layer or a function calls them, and
so are codes: one bit a unit and row, set where what enters the activation is above zero.

Shapes: ``n`` rows of a batch, ``u`` units of one activation, ``d`` numbers of one input.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metanas.core.task import Loss
from metanas.measures.latency import on_threads

if TYPE_CHECKING:
    import torch
    from torch import nn

SCORES = ("nwot", "jacov", "synflow", "snip", "grad_norm")
VERSION = 1
"""Grows with every change after which the same network scores differently."""

JITTER = 1e-5
"""Added to the eigenvalues in `jacov`."""

_ACTIVATIONS = frozenset(
    {
        "relu",
        "gelu",
        "silu",
        "mish",
        "elu",
        "celu",
        "leaky_relu",
        "hardtanh",
        "hardswish",
        "softplus",
        "threshold",
        "_prelu_kernel",
        "rrelu_with_noise",
    }
)
"""Torch's names of the operations whose inputs' signs are codes, here without the ``_`` of
those that work in place."""

_NORMS = ("_NormBase", "GroupNorm", "LayerNorm", "RMSNorm", "LocalResponseNorm")
"""Classes that synflow does without, among a layer's bases."""


def zero_cost(
    module: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """All of `SCORES` of a network as it is initialised.

    Args:
        module: Maps ``[n, *shape]`` to a tensor, or to a structure of tensors; stays as it
            is, with its gradients, statistics and mode.
        inputs: ``[n, *shape]``, float, scaled as for training; at least two rows.
        targets: What `loss` wants beside the outputs.
        loss: ``loss(outputs, targets)``, a scalar.
        seed: Of what the network itself draws in training mode (dropout).

    Returns:
        A number for each score, larger for what tends to be better; NaN where it is not
        finite (a network whose output is constant has no jacov, and synflow's logarithm
        no value), which is for the caller to deal with.

    Raises:
        Exception: Whatever the module or the loss raises on the batch.
    """
    import torch

    with on_threads(1), torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        seen = _seen(copy.deepcopy(module).cpu().train(), inputs.cpu(), targets.cpu(), loss)
        found = {
            "nwot": nwot(seen.codes),
            "jacov": jacov(seen.jacobian),
            "synflow": synflow(module, tuple(inputs.shape[1:])),
            "snip": snip(seen.weights, seen.gradients),
            "grad_norm": grad_norm(seen.gradients),
        }
    return {name: score if math.isfinite(score) else math.nan for name, score in found.items()}


# -- the scores ------------------------------------------------------------------


def nwot(kernel: torch.Tensor) -> float:
    """Log-determinant of the kernel of codes: how well a network tells rows apart.

    Source: Mellor et al. 2021, "Neural Architecture Search without Training", equation 2.
    It is a logarithm as published.

    Args:
        kernel: ``[n, n]``, for each two rows in how many units their codes agree.

    Returns:
        Minus infinity where two rows have the same codes.
    """
    import torch

    sign, logarithm = torch.linalg.slogdet(kernel.double())
    return float(logarithm) if sign > 0 else -math.inf


def jacov(jacobian: torch.Tensor) -> float:
    """How uncorrelated the gradients at different rows are.

    Source: the score of the first version of Mellor et al. 2021 (arXiv 2006.04647v1), as
    in Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS", section 3.

    Args:
        jacobian: ``[n, d]``, the gradient of the sum of a row's outputs by its input.

    Returns:
        NaN where a row's gradient is constant and so correlates with nothing.
    """
    import torch

    centred = jacobian.double() - jacobian.double().mean(dim=1, keepdim=True)
    correlations = centred @ centred.T
    norms = correlations.diagonal().sqrt()
    correlations = correlations / (norms[:, None] * norms[None, :])
    if not bool(torch.isfinite(correlations).all()):
        return math.nan
    values = torch.linalg.eigvalsh(correlations).clamp(min=0) + JITTER
    return float(-(values.log() + 1 / values).sum())


def synflow(module: nn.Module, shape: tuple[int, ...]) -> float:
    """Logarithm of the sum over weights of |weight x its gradient|, without data.

    Source: Tanaka et al. 2020, "Pruning neural networks without any data by iteratively
    conserving synaptic flow"; as a score of whole networks, without normalisation, on
    convolutions and linear layers, in Abdelfattah et al. 2021. Its logarithm is what is
    published of it: the sum itself spans 50 orders of magnitude.

    Args:
        module: Stays as it is; a copy with absolute weights and no normalisation runs.
        shape: Of one input; the copy sees one of ones.

    Returns:
        Minus infinity where nothing flows from input to output.
    """
    import torch

    linear = _without_norms(copy.deepcopy(module).cpu()).double().train()
    with torch.no_grad():
        for tensor in itertools.chain(linear.parameters(), linear.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()
    weights = _weights(linear)
    flow = _total(linear(torch.ones(1, *shape, dtype=torch.float64)))
    total = snip(weights, _gradients(flow, weights))
    return math.log(total) if 0 < total < math.inf else -math.inf if total == 0 else math.nan


def snip(weights: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> float:
    """Sum over weights of |weight x gradient|: how much the loss hangs on each.

    Source: Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection
    Sensitivity", equation 5 without its normalisation; as a score of whole networks in
    Abdelfattah et al. 2021. As there no logarithm is taken.

    Args:
        weights: Of convolutions and linear layers.
        gradients: Of the loss, by these weights.
    """
    pairs = zip(weights, gradients, strict=True)
    return float(sum((weight * gradient).abs().sum().item() for weight, gradient in pairs))


def grad_norm(gradients: Iterable[torch.Tensor]) -> float:
    """Sum over layers of the Euclidean norm of the loss's gradient by their weights.

    Source: Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS", section 3. As
    there no logarithm is taken.
    """
    return float(sum(gradient.norm().item() for gradient in gradients))


# -- what they are made of -------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """What one batch shows.

    Args:
        codes: ``[n, n]``, see `nwot`.
        jacobian: ``[n, d]``, see `jacov`.
        weights: Of convolutions and linear layers.
        gradients: Of the loss by each of `weights`, zeros where it does not depend on it.
    """

    codes: torch.Tensor
    jacobian: torch.Tensor
    weights: list[torch.Tensor]
    gradients: list[torch.Tensor]


def _seen(module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, loss: Loss) -> _Seen:
    import torch

    batch = inputs.detach().clone().requires_grad_()
    weights = _weights(module)
    codes = torch.zeros(len(batch), len(batch), dtype=torch.float64)
    with _noting(lambda entering: _add_codes(codes, entering)):
        outputs = module(batch)
    (jacobian,) = _gradients(_total(outputs), [batch], again=True)
    gradients = _gradients(loss(outputs, targets), weights)
    return _Seen(codes, jacobian.flatten(1), weights, gradients)


def _add_codes(kernel: torch.Tensor, entering: torch.Tensor) -> None:
    """Add in how many of ``[n, u]`` units two rows agree; what has other rows is none of them."""
    if entering.ndim < 2 or len(entering) != len(kernel):
        return
    codes = (entering > 0).flatten(1).float()
    kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T


def _noting(note: Callable[[torch.Tensor], None]) -> Any:
    """A context in which `note` is told what enters each activation."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if operation.overloadpacket.__name__.rstrip("_") in _ACTIVATIONS:
                note(args[0].detach())
            return operation(*args, **(kwargs or {}))

    return Noting()  # type: ignore[no-untyped-call]


def _weights(module: nn.Module) -> list[torch.Tensor]:
    """What convolutions and linear layers learn, without biases."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    layers = [part for part in module.modules() if isinstance(part, _ConvNd | nn.Linear)]
    return [layer.weight for layer in layers if layer.weight.requires_grad]


def _total(outputs: Any) -> torch.Tensor:
    """The sum over all that a network gives."""
    import torch
    from torch.utils._pytree import tree_leaves

    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]
    return torch.stack([tensor.sum() for tensor in tensors if tensor.is_floating_point()]).sum()


def _gradients(
    total: torch.Tensor, by: Sequence[torch.Tensor], *, again: bool = False
) -> list[torch.Tensor]:
    """Of a scalar by each tensor; zeros where it does not depend on it."""
    import torch

    if not by or not total.requires_grad:
        return [torch.zeros_like(tensor) for tensor in by]
    found = torch.autograd.grad(total, by, retain_graph=again, allow_unused=True)
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(by, found, strict=True)
    ]


def _without_norms(module: nn.Module) -> nn.Module:
    """The module with an identity in place of every normalisation."""
    from torch import nn

    if any(base.__name__ in _NORMS for base in type(module).__mro__):
        return nn.Identity()
    for name, part in list(module._modules.items()):  # also under a second name
        if part is not None:
            setattr(module, name, _without_norms(part))
    return module
