"""What past tasks say of a new one, weighed anew with every result of it.

The new task is a weighted sum of what the past ones expect, and a Gaussian process on the
architectures' structure for the rest:

    y = M b + g + e,   b ~ N(a / S, t^2 / S),   g ~ GP(0, v k),   e ~ N(0, s),   a = 1 or -1.

The weights b are free in sign: a past task that orders architectures the other way round is
as good a source as one that agrees, once a few results have shown the sign, and that all of
them do is a case of its own, a = -1. Length-scale of k, and a, t, v and s are averaged over a
grid by their evidence. Beside it stands the evidence of no transfer: the same process alone,
on the new task's own results. The grid's priors are not normalised, which is worth a factor
of five to no transfer; the figures in docs/log.md were measured so.

A search that starts from the past sees only good architectures, so what "good" means is
taken from the expectations at what it saw: results are normal scores, as wide as these.

Source of the stacking: Wistuba et al. 2018, "Scalable Gaussian process-based transfer
surrogates for hyperparameter optimization"; the grid, free signs and scale are our own.

Shapes: ``m`` candidates, ``n`` results, ``S`` past tasks; M ``[m, S]``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.special import logsumexp

from metanas.models.gp import Kernel, log_expected_improvement

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

LENGTHS = (1.3, 3.0)
SPREADS = (0.1, 0.3, 1.0)
"""t: how far the weights are from equal ones."""
SIGNALS = (0.03, 0.1, 0.3, 1.0)
"""v: how much of the new task no past one tells."""
NOISES = (0.01, 0.03, 0.1, 0.3)
USUAL_SPREAD, USUAL_SIGNAL, USUAL_NOISE = 0.3, 0.1, 0.06
"""The medians of their log-normal priors, of spread e each."""
SIGNS = (1, -1)
"""a."""
TURNED = -3.0
"""The logarithm of the prior odds of a = -1."""
COLD_SIGNALS, COLD_NOISES = (0.3, 0.8), (0.03, 0.1, 0.3, 1.0)
"""The same without transfer; the noise is a share of the signal there."""
KEPT = 3
"""So many of the likeliest settings predict."""
NARROWEST = 0.35
"""The least deviation of results, in normal scores of past tasks."""


@dataclass(frozen=True)
class Belief:
    """What transfer says of the candidates.

    Args:
        log_gain: Logarithm of the expected improvement, in units of the results' normal
            scores, ``[m]``.
        mean: What is expected, in the same units, ``[m]``.
        odds: How much likelier the results are with transfer than without: the logarithm of
            the ratio of the evidences.
        weights: b, ``[S]``.
    """

    log_gain: Array
    mean: Array
    odds: float
    weights: Array

    @property
    def turned(self) -> bool:
        """Whether past tasks are used with their sign turned."""
        return bool(self.weights.sum() < 0)


@dataclass(frozen=True)
class _Setting:
    sign: int
    length: float
    spread: float
    signal: float
    noise: float


def believe(
    kernel: Kernel,
    means: Array,
    observed: Numbers,
    y: Array,
    busy: Numbers,
) -> Belief:
    """Weigh the past by the results so far.

    Args:
        kernel: Of the candidates' structure.
        means: M.
        observed: Numbers of the candidates with a result, ``[n]``; one may be there twice.
        y: Normal scores of the results, larger is better, ``[n]``, at least two.
        busy: Numbers of candidates whose result is awaited: counted as what is expected.
    """
    middle = means.mean(axis=1)
    middle = middle - middle[observed].mean()
    width = max(float(middle[observed].std()), NARROWEST)
    scaled = y * width
    settings, evidence = _evidences(kernel, means[observed], observed, middle[observed], scaled)
    likeliest = np.argsort(-evidence, kind="stable")[:KEPT]
    shares = np.exp(evidence[likeliest] - logsumexp(evidence[likeliest]))
    gains, expected, weights = [], np.zeros(len(middle)), np.zeros(means.shape[1])
    for at, share in zip(likeliest, shares, strict=True):
        base = settings[at].sign * middle
        rest = scaled - base[observed]
        mean, deviation, b = _predict(kernel, means, observed, rest, busy, settings[at])
        gain = log_expected_improvement(base + mean, deviation, float(scaled.max()))
        gains.append(np.log(share) + gain)
        expected += share * (base + mean)
        weights += share * b
    with_past = logsumexp(evidence) - np.log(len(evidence) / 2)
    without = _cold_evidence(kernel, observed, y) - len(y) * np.log(width)
    return Belief(
        np.asarray(logsumexp(gains, axis=0)) - np.log(width),
        expected / width,
        float(with_past - without),
        weights,
    )


def _evidences(
    kernel: Kernel, means: Array, observed: Numbers, middle: Array, scaled: Array
) -> tuple[list[_Setting], Array]:
    """The logarithm of the evidence of every setting, priors included, up to a constant.

    One decomposition a length-scale; the sources add S dimensions to it (Woodbury).
    """
    settings: list[_Setting] = []
    found: list[float] = []
    rests = np.stack([scaled - sign * middle for sign in SIGNS], axis=1)
    for length in LENGTHS:
        values, vectors = eigh(kernel.among(observed, length))
        r, u = vectors.T @ rests, vectors.T @ means
        for signal, noise in itertools.product(SIGNALS, NOISES):
            spectrum = signal * np.maximum(values, 0.0) + noise
            inner = u.T @ (u / spectrum[:, None])
            pulls = u.T @ (r / spectrum[:, None])
            base = -0.5 * (np.log(spectrum).sum() + (r * r / spectrum[:, None]).sum(axis=0))
            base -= 0.5 * np.log(signal / USUAL_SIGNAL) ** 2
            base -= 0.5 * np.log(noise / USUAL_NOISE) ** 2
            for spread in SPREADS:
                share = spread**2 / means.shape[1]
                core = np.eye(len(inner)) + share * inner
                gains = share * (pulls * np.linalg.solve(core, pulls)).sum(axis=0)
                prior = -0.5 * np.log(spread / USUAL_SPREAD) ** 2
                both = base + 0.5 * (gains - np.linalg.slogdet(core)[1]) + prior
                settings += [_Setting(sign, length, spread, signal, noise) for sign in SIGNS]
                found += [float(both[0]), float(both[1]) + TURNED]
    return settings, np.array(found)


def _predict(
    kernel: Kernel,
    means: Array,
    observed: Numbers,
    rest: Array,
    busy: Numbers,
    setting: _Setting,
) -> tuple[Array, Array, Array]:
    """Mean and deviation of what would be measured less the mean of the past, and b."""
    share = setting.spread**2 / means.shape[1]

    def across(numbers: Numbers) -> Array:
        alike = setting.signal * kernel(numbers, setting.length)
        return np.asarray(alike + share * means[numbers] @ means.T)

    covariance = across(observed)
    lower = cholesky(covariance[:, observed] + setting.noise * np.eye(len(rest)), lower=True)
    white = solve_triangular(lower, covariance, lower=True)
    shift = solve_triangular(lower, rest, lower=True)
    mean = shift @ white
    pulls = solve_triangular(lower, shift, lower=True, trans=1)
    b = setting.sign / means.shape[1] + share * (means[observed].T @ pulls)
    variance = setting.signal + share * (means * means).sum(axis=1)
    if len(busy):
        numbers = np.concatenate([observed, busy])
        covariance = across(numbers)
        noisy = covariance[:, numbers] + setting.noise * np.eye(len(numbers))
        white = solve_triangular(cholesky(noisy, lower=True), covariance, lower=True)
    variance = np.maximum(variance - (white * white).sum(axis=0), 1e-9)
    return mean, np.sqrt(variance + setting.noise), b


def _cold_evidence(kernel: Kernel, observed: Numbers, y: Array) -> float:
    """The logarithm of the mean evidence of results in normal scores, without transfer."""
    found = []
    for length in LENGTHS:
        values, vectors = eigh(kernel.among(observed, length))
        squares = (vectors.T @ y) ** 2
        for signal, noise in itertools.product(COLD_SIGNALS, COLD_NOISES):
            spectrum = signal * (np.maximum(values, 0.0) + noise)
            found.append(-0.5 * (np.log(spectrum).sum() + (squares / spectrum).sum()))
    return float(logsumexp(found) - np.log(len(found)))
