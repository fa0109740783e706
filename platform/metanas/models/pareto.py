"""How much of the space of costs a front dominates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def hypervolume(matrix: Matrix, reference: npt.ArrayLike) -> float:
    """The volume between the points and a reference that is worse than all.

    Exact, by slicing along the last cost (While et al. 2006, "A faster algorithm for
    calculating hypervolume", without its speed-ups): fine for fronts of some hundred
    points in two or three costs.

    Args:
        matrix: Costs ``[n, objectives]``; smaller is better, dominated points may be there.
        reference: ``[objectives]``. Points that are not better in every cost add nothing.
    """
    bound = np.asarray(reference, dtype=np.float64)
    points = np.asarray(matrix, dtype=np.float64).reshape(-1, len(bound))
    return _volume(points[np.all(points < bound, axis=1)], bound)


def _volume(points: Matrix, bound: Matrix) -> float:
    if not len(points):
        return 0.0
    if len(bound) == 1:
        return float(bound[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    edges = np.append(points[:, -1], bound[-1])
    depths = np.diff(edges)
    return sum(
        float(depth) * _volume(points[: count + 1, :-1], bound[:-1])
        for count, depth in enumerate(depths)
        if depth > 0
    )
