"""Random search: every architecture drawn uniformly, independent of what was found.

Source: Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization"; the
baseline that a strategy has to beat (Li and Talwalkar 2019, "Random Search and
Reproducibility for Neural Architecture Search").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metanas.core.protocols import Context
from metanas.core.space import sample
from metanas.core.trial import Proposal, Trial


class Random:
    """Draws uniformly; repeats may happen, and cost nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal:
        """A fresh draw."""
        rng = np.random.default_rng([self._context.seed, number])
        architecture = sample(self._context.space, rng)
        return Proposal(number, architecture, self._context.epochs, reason="random")

    def tell(self, trial: Trial) -> None:
        """Nothing to learn."""


STRATEGY = Random
