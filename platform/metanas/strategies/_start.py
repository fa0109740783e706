"""Where a search starts that has a prior: what past tasks expect of architectures.

A space too large to list is searched by drawing and climbing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from metanas.core.protocols import Prior
from metanas.core.space import Architecture, Space, neighbours, sample
from metanas.meta.structure import describe, members
from metanas.models.gp import squared_distances

Fresh = Callable[[Architecture], bool]
"""Whether an architecture may be proposed."""

DRAWS = 20
"""Of so many the half of which least is expected, a contrast is chosen from."""
LARGE, STEPS = 500, 20
"""In a space too large to list: first draws, and steps from the best one to a better neighbour."""
UNIFORM, TEMPERATURE, TICKETS = 0.25, 0.25, 64
"""Of a draw from a prior: how often it is uniform all the same, how far below the best of
so many draws is still likely, in normal scores."""
DRAWN = "drawn from what past tasks expect"
"""The reason of a draw from a prior."""


def expected(prior: Prior, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
    """What past tasks expect in the mean, ``[n]``."""
    return np.asarray(prior.means(architectures).mean(axis=1))


def best_expected(
    space: Space, prior: Prior, fresh: Fresh, rng: np.random.Generator
) -> Architecture | None:
    """The architecture of which past tasks expect most; None where none is fresh."""
    known = members(space)
    if known is not None:
        firsts = [known.rows[int(rows[0])] for rows in known.of]
        for number in np.argsort(-expected(prior, firsts), kind="stable"):
            rows = [known.rows[int(row)] for row in known.of[int(number)]]
            free = [row for row in rows if fresh(row)]
            if free:
                return free[int(rng.integers(len(free)))]
        return None
    drawn = [each for each in (sample(space, rng) for _ in range(LARGE)) if fresh(each)]
    if not drawn:
        return None
    values = expected(prior, drawn)
    best, value = drawn[int(values.argmax())], float(values.max())
    for _ in range(STEPS):
        near = [each for each in neighbours(best) if fresh(each)]
        values = expected(prior, near) if near else np.array([-np.inf])
        if values.max() <= value:
            break
        best, value = near[int(values.argmax())], float(values.max())
    return best


def contrast(
    space: Space,
    prior: Prior,
    known: Sequence[Architecture],
    fresh: Fresh,
    rng: np.random.Generator,
) -> Architecture | None:
    """One of which past tasks expect little, unlike what is known; None where none is fresh."""
    drawn = [each for each in (sample(space, rng) for _ in range(DRAWS)) if fresh(each)]
    if not drawn:
        return None
    low = np.argsort(expected(prior, drawn), kind="stable")[: max(1, len(drawn) // 2)]
    least = [drawn[int(at)] for at in low]
    if not known:
        return least[0]
    gaps = squared_distances(describe(space, least), describe(space, known)).min(axis=1)
    return least[int(gaps.argmax())]


def draw(
    space: Space, prior: Prior, fresh: Fresh, rng: np.random.Generator
) -> tuple[Architecture, bool]:
    """A draw from p0, proportional to exp(expectation / temperature), mixed with uniform ones.

    So no option is lost, however little past tasks think of it.

    Returns:
        The architecture, which is fresh unless nothing that was drawn is; and whether it is
        one of the uniform ones.
    """
    uniform = bool(rng.random() < UNIFORM)
    drawn = [sample(space, rng) for _ in range(TICKETS)]
    free = [each for each in drawn if fresh(each)] or drawn
    if uniform:
        return free[0], uniform
    keys = expected(prior, free) / TEMPERATURE + rng.gumbel(size=len(free))
    return free[int(keys.argmax())], uniform
