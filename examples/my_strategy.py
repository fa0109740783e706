"""A search that only ever draws at random."""

import numpy as np

from metanas.core.space import sample
from metanas.core.trial import Proposal


class Mine:
    def __init__(self, context):
        self.context = context  # the space, objectives, epochs and seed

    def ask(self, number, pending):
        rng = np.random.default_rng([self.context.seed, number])
        return Proposal(number, sample(self.context.space, rng), self.context.epochs)

    def tell(self, trial):
        pass  # trial.status, trial.metrics["accuracy"], trial.proposal.architecture.values


STRATEGY = Mine
