"""Normal scores: values replaced by where a normal distribution has their ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri


def normal_scores(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Phi^-1((rank - 1/2) / n), the mean rank for equal values; ``[n]`` gives ``[n]``.

    Whatever the unit, they are of mean 0 and about of variance 1, and outliers cannot
    flatten the rest.
    """
    given = np.asarray(values, dtype=np.float64)
    _, place, count = np.unique(given, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - 0.5 * (count - 1))[place]
    return np.asarray(ndtri((ranks - 0.5) / max(1, len(given))))
