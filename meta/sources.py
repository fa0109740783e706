"""What past tasks expect of an architecture: one Gaussian process over all of them.

Trials of several tasks in one space are learnt from together: two results covary by how
alike the architectures are times how alike the tasks are (Bonilla et al. 2007, "Multi-task
Gaussian Process Prediction", the intrinsic model of coregionalisation), here with one
correlation r between any two tasks. How alike architectures are is the kernel of an
infinitely wide network on their structure (`metanas.models.arc_cosine`); its depth, r and
the noise are those of the largest evidence.

A task whose own results it cannot predict when they are left out has nothing to teach.

Shapes: ``n`` trials of all tasks, ``S`` tasks, ``d`` features, ``m`` architectures asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from metanas.models.arc_cosine import arc_cosine

Matrix = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

DEPTHS = (2, 3)
BIAS = 0.3
CORRELATIONS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99)
NOISES = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
USUAL_NOISE = 0.3
"""The median of the noise's log-normal prior, of spread e."""
USUAL_VARIANCE, WORTH = 0.8, 2.0
"""The signal's variance before anything is seen, and how many trials that is worth."""
TRUSTED = 0.3
"""Correlation, when each is left out, from which on a task's results count as predicted."""
MOST_FOR_SETTINGS = 400
"""So many trials, evenly spaced, decide the settings: the evidence of more costs seconds."""


@dataclass(frozen=True)
class Settings:
    """What the process assumes.

    Args:
        depth: Of the network.
        correlation: r, between any two tasks.
        noise: Its variance as a share of the signal's.
    """

    depth: int
    correlation: float
    noise: float


@dataclass(frozen=True, eq=False)
class Sources:
    """Past tasks in one space, learnt from.

    Args:
        names: Of the tasks.
        features: ``[n, d]`` of their trials' architectures, each of mean square about 1 / d.
        of: ``[n]``, the number of each trial's task.
        settings: What is assumed.
        pulls: ``[n]``, what each trial adds to an expectation, times the kernel.
        predicted: ``[S]``, the correlation of each task's results with what is expected of
            them when they are left out.
    """

    names: tuple[str, ...]
    features: Matrix
    of: Numbers
    settings: Settings
    pulls: Matrix
    predicted: Matrix

    def means(self, features: Matrix) -> Matrix:
        """What each task expects of architectures: ``[m, d]`` gives ``[m, S]`` normal scores."""
        across = arc_cosine(features, self.features, self.settings.depth, BIAS) / (1 + BIAS)
        alike = _alike(np.arange(len(self.names)), self.of, self.settings.correlation)
        return np.asarray(across @ (alike * self.pulls).T)

    @property
    def trusted(self) -> npt.NDArray[np.bool_]:
        """``[S]``: which tasks have something to teach."""
        return np.asarray(self.predicted >= TRUSTED)


def _alike(left: Numbers, right: Numbers, correlation: float) -> Matrix:
    return np.where(left[:, None] == right[None, :], 1.0, correlation)


def learn(names: Sequence[str], features: Matrix, of: Numbers, scores: Matrix) -> Sources:
    """Learn from the trials of some tasks.

    Args:
        names: ``S`` tasks.
        features: ``[n, d]``.
        of: ``[n]``, the number of each trial's task.
        scores: ``[n]``, how good each was, normal scores within its task, larger is better.
    """
    few = np.unique(np.linspace(0, len(of) - 1, min(len(of), MOST_FOR_SETTINGS)).astype(np.intp))
    depth, correlation, noise = _settings(features[few], of[few], scores[few], len(names))
    kernel = arc_cosine(features, features, depth, BIAS) / (1 + BIAS)
    inverse = np.linalg.inv(kernel * _alike(of, of, correlation) + noise * np.eye(len(of)))
    pulls = inverse @ scores
    left_out = scores - pulls / np.diag(inverse)
    predicted = np.array(
        [_correlation(left_out[of == s], scores[of == s]) for s in range(len(names))]
    )
    return Sources(
        tuple(names), features, of, Settings(depth, correlation, noise), pulls, predicted
    )


def _settings(
    features: Matrix, of: Numbers, scores: Matrix, tasks: int
) -> tuple[int, float, float]:
    """Depth, correlation and noise of the largest evidence."""
    found: list[tuple[float, int, float, float]] = []
    for depth in DEPTHS:
        kernel = arc_cosine(features, features, depth, BIAS) / (1 + BIAS)
        for correlation in CORRELATIONS if tasks > 1 else CORRELATIONS[-1:]:
            evidence, noise = _evidence(kernel * _alike(of, of, correlation), scores)
            found.append((evidence, depth, correlation, noise))
    return max(found, key=lambda each: each[0])[1:]


def _evidence(covariance: Matrix, scores: Matrix) -> tuple[float, float]:
    """The logarithm of the largest evidence over the noises, and that noise."""
    values, vectors = eigh(covariance)
    spectrum = np.maximum(values, 0.0)[None, :] + np.array(NOISES)[:, None]
    fit = ((vectors.T @ scores) ** 2 / spectrum).sum(axis=1)
    worth = len(scores) + WORTH
    evidence = (
        -0.5 * np.log(spectrum).sum(axis=1)
        - 0.5 * worth * np.log((fit + WORTH * USUAL_VARIANCE) / worth)
        - 0.5 * np.log(np.array(NOISES) / USUAL_NOISE) ** 2
    )
    best = int(np.argmax(evidence))
    return float(evidence[best]), NOISES[best]


def _correlation(left: Matrix, right: Matrix) -> float:
    if len(left) < 3 or left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
