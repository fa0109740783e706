"""The arc-cosine kernel: what an infinitely wide network with rectified units learns with.

A network whose hidden weights are drawn and whose last layer is Bayesian is, as its layers
grow wide, a Gaussian process with this kernel. It needs no training, and unlike a kernel of
distances it extrapolates: beyond what was observed it goes on as it went.

Source: Cho and Saul 2009, "Kernel Methods for Deep Learning", equations 1 to 6, order 1.

Shapes: ``a`` and ``b`` rows of ``d`` features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def arc_cosine(left: Array, right: Array, depth: int, bias: float) -> Array:
    """The kernel of `depth` hidden layers, ``[a, b]``.

    Args:
        left: ``[a, d]``.
        right: ``[b, d]``.
        depth: Of the network; 0 is the linear kernel.
        bias: Variance of the first layer's biases, where a feature's weight has variance 1.
    """
    long = np.sqrt((left * left).sum(axis=1) + bias)[:, None]
    wide = np.sqrt((right * right).sum(axis=1) + bias)[None, :]
    cosine = np.clip((left @ right.T + bias) / (long * wide), -1.0, 1.0)
    for _ in range(depth):
        angle = np.arccos(cosine)
        cosine = np.clip((np.sin(angle) + (np.pi - angle) * cosine) / np.pi, -1.0, 1.0)
    return np.asarray(long * wide * cosine)
