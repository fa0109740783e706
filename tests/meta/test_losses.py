from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metanas.core.errors import ConfigError
from metanas.meta.losses import (
    censored_ranking_loss,
    outer_loss,
    pairwise_ranking_loss,
    squared_error,
)

NUMBERS = st.integers(-3, 3).map(float)
EXAMPLES = st.lists(st.tuples(st.floats(-4, 4), NUMBERS, st.booleans()), min_size=1, max_size=8)


def pair_by_pair(examples: list[tuple[float, float, bool]]) -> float:
    """The censored loss as its definition says it, one pair after the other."""
    parts = [
        math.log1p(math.exp(below - above))
        for above, value, known in examples
        for below, other, other_known in examples
        if known and (not other_known or value > other)
    ]
    return sum(parts) / len(parts) if parts else 0.0


@given(EXAMPLES)
def test_the_ranking_losses_are_what_their_definition_says_pair_by_pair(
    examples: list[tuple[float, float, bool]],
) -> None:
    scores, values = (
        torch.tensor([each[at] for each in examples], dtype=torch.float64) for at in (0, 1)
    )
    known = torch.tensor([each[2] for each in examples])
    hidden = torch.where(known, values, torch.nan)
    censored = censored_ranking_loss(scores, hidden, known)
    assert float(censored) == pytest.approx(pair_by_pair(examples), abs=1e-12)
    whole = pairwise_ranking_loss(scores, values)
    assert float(whole) == pytest.approx(pair_by_pair([(s, v, True) for s, v, _ in examples]))


def test_only_the_order_of_values_counts() -> None:
    scores, values = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    ranks = values.argsort().argsort()
    assert pairwise_ranking_loss(scores, values) == pairwise_ranking_loss(scores, ranks)
    assert pairwise_ranking_loss(scores, values) == pairwise_ranking_loss(scores, values.exp())


def test_better_orders_cost_less() -> None:
    values = torch.arange(5.0)
    losses = [float(pairwise_ranking_loss(factor * values, values)) for factor in (-1, 0, 1, 2)]
    assert losses == sorted(losses, reverse=True)
    assert losses[1] == pytest.approx(math.log(2))


def test_a_crashed_trial_is_pushed_below_the_others_and_not_against_another_crashed_one() -> None:
    scores = torch.zeros(4, requires_grad=True)
    values = torch.tensor([1.0, 1.0, torch.nan, torch.inf])
    censored_ranking_loss(scores, values, torch.tensor([True, True, False, False])).backward()
    assert scores.grad is not None
    # Four pairs: each of the known ones, which are equal, above each of the crashed ones.
    torch.testing.assert_close(scores.grad, torch.tensor([-0.25, -0.25, 0.25, 0.25]))


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [1.0]])
def test_where_nothing_is_ordered_there_is_no_loss_and_no_gradient(values: list[float]) -> None:
    scores = torch.ones(len(values), requires_grad=True)
    loss = pairwise_ranking_loss(scores, torch.tensor(values))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_scores_far_apart_give_finite_losses() -> None:
    scores = torch.tensor([-1e6, 1e6])
    assert float(pairwise_ranking_loss(scores, -scores)) == 2e6
    assert float(pairwise_ranking_loss(scores, scores)) == 0


def test_the_outer_loss_is_squared_error_and_half_of_the_ranking_loss() -> None:
    scores, values = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    assert float(outer_loss(scores, values)) == pytest.approx(1 + 0.5 * math.log1p(math.e))
    assert float(squared_error(scores, values)) == 1


def test_a_known_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ConfigError, match="not finite, expected it marked as not known"):
        pairwise_ranking_loss(torch.zeros(2), torch.tensor([1.0, torch.nan]))


def test_shapes_that_torch_would_broadcast_are_refused() -> None:
    for loss in (squared_error, pairwise_ranking_loss):
        with pytest.raises(ConfigError, match=r"shapes are \[3, 1\] and \[3\], expected twice"):
            loss(torch.zeros(3, 1), torch.zeros(3))


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match="known is of torch.int64, expected torch.bool"):
        censored_ranking_loss(torch.zeros(2), torch.zeros(2), torch.tensor([1, 0]))
