"""How far a search follows past tasks: by how much better they predicted its results so far.

Two experts say what improvement a candidate promises: transfer (`metanas.meta.transfer`),
and a process on the search's own results alone. Their shares are the posterior odds of the
two, so what predicts worse loses its say within a few results; the second always keeps
some. Where the past is used with its sign turned, the search says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_expit

from metanas.core.protocols import Prior
from metanas.core.trial import Trial
from metanas.meta.transfer import believe
from metanas.models.gp import Kernel

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

FLOOR = 0.02
"""The least share of the search's own results."""


@dataclass(frozen=True)
class Mixed:
    """What a proposal decides by, and what the past had to do with it.

    Args:
        log_gain: ``[m]``.
        share: Of past tasks, from 0 to 1.
        weights: Of each past task in what is expected.
    """

    log_gain: Array
    share: float
    weights: Mapping[str, float]

    @property
    def turned(self) -> bool:
        """Whether past tasks are used with their sign turned."""
        return sum(self.weights.values()) < 0

    @property
    def notes(self) -> dict[str, Any]:
        """For the journal."""
        weights = {task: round(weight, 4) for task, weight in self.weights.items()}
        note = {"share": round(self.share, 4), "weights": weights, "turned": self.turned}
        return {"prior": note}

    @property
    def reason(self) -> str:
        """In words."""
        told = ", ".join(f"{task} {weight:+.2f}" for task, weight in self.weights.items())
        turned = "; negative transfer detected: their order is turned" if self.turned else ""
        return f"past tasks have a share of {self.share:.2f} ({told}){turned}"


def misled(trial: Trial) -> bool:
    """Whether a trial was proposed with past tasks turned."""
    return bool(trial.proposal.notes.get("prior", {}).get("turned"))


def mix(
    prior: Prior,
    kernel: Kernel,
    means: Array,
    observed: Numbers,
    y: Array,
    busy: Numbers,
    log_gain: Array,
) -> Mixed:
    """Mix what both experts promise.

    Args:
        prior: Names the past tasks, ``S``.
        kernel: Of the ``m`` candidates.
        means: What the past tasks expect, ``[m, S]``.
        observed: Numbers of the candidates with a result, ``[n]``.
        y: Normal scores of the results, ``[n]``.
        busy: Numbers of candidates whose result is awaited.
        log_gain: What the search's own results promise, ``[m]``.
    """
    belief = believe(kernel, means, observed, y, busy)
    log_share = min(float(log_expit(belief.odds)), float(np.log1p(-FLOOR)))
    share = float(np.exp(log_share))
    weights = dict(zip(prior.sources, map(float, belief.weights), strict=True))
    both = np.logaddexp(log_share + belief.log_gain, np.log1p(-share) + log_gain)
    return Mixed(both, share, weights)
