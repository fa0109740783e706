"""What a predictor is judged by: squared differences, the order, the order of what is known.

Source: Burges et al. 2005, "Learning to Rank using Gradient Descent", equation 3 with the
targets of a strict order.

Shapes: ``n`` examples. Larger scores and values are better.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metanas.core.errors import ConfigError


def squared_error(scores: Tensor, values: Tensor) -> Tensor:
    """The mean of squared differences."""
    _paired(scores, values)
    return ((scores - values) ** 2).mean()


def pairwise_ranking_loss(scores: Tensor, values: Tensor) -> Tensor:
    """How badly scores order what values order: the mean of log(1 + e^(s_b - s_a)), a above b.

    Only the order of the values counts, so their ranks do as well. Equal values say nothing;
    where no two differ the loss is 0, with gradients of 0.
    """
    return censored_ranking_loss(scores, values, torch.ones_like(values, dtype=torch.bool))


def censored_ranking_loss(scores: Tensor, values: Tensor, known: Tensor) -> Tensor:
    """The same where of some only this is known: they are below all whose value is.

    Args:
        scores: ``[n]``.
        values: ``[n]``; what is not known may be anything, also NaN.
        known: ``[n]``, False for what crashed or was stopped early. Two of these have no order.

    Raises:
        ConfigError: If shapes differ, or a value that is known is not finite.
    """
    _paired(scores, values)
    _paired(scores, known)
    if known.dtype is not torch.bool:
        raise ConfigError(f"ranking loss: known is of {known.dtype}, expected torch.bool")
    if not bool(torch.isfinite(values[known]).all()):
        raise ConfigError("ranking loss: a value is not finite, expected it marked as not known")
    bounds = torch.where(known, values, -torch.inf)
    above = known[:, None] & (bounds[:, None] > bounds)
    worse_by = (scores - scores[:, None])[above]
    return softplus(worse_by).sum() / max(1, worse_by.numel())


def outer_loss(scores: Tensor, values: Tensor) -> Tensor:
    """Squared error and half of the pairwise ranking loss."""
    return squared_error(scores, values) + 0.5 * pairwise_ranking_loss(scores, values)


def _paired(scores: Tensor, other: Tensor) -> None:
    # Torch would broadcast [n, 1] and [n] to [n, n] without a word.
    if scores.ndim != 1 or scores.shape != other.shape:
        shapes = f"{list(scores.shape)} and {list(other.shape)}"
        raise ConfigError(f"loss: shapes are {shapes}, expected twice [n]")
