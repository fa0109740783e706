"""How alike past tasks are, and a picture of it.

Fingerprints tell where all tasks have one of one version; else it is how the tasks' expectations
of architectures correlate, in the space that most of them have in common.

Shapes: ``S`` tasks.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metanas.core.errors import SpaceError
from metanas.core.space import Architecture, Space, check
from metanas.meta.card import TRIALS_TO_SCORE, SpaceOf, objective_of, stand_in
from metanas.meta.fingerprint import distance
from metanas.meta.prior import Prior, Source

Matrix = npt.NDArray[np.float64]

ASKED = 300
"""So many architectures tell how expectations correlate."""
INK, DOT, GRID = "#1b2430", "#1f5fd0", "#dfe4ea"


@dataclass(frozen=True, eq=False)
class Likeness:
    """How unlike tasks are.

    Args:
        tasks: Their names.
        distances: ``[S, S]``, symmetric, 0 on the diagonal.
        by: What they were told from.
    """

    tasks: tuple[str, ...]
    distances: Matrix
    by: str


def likeness(prior: Prior, space_of: SpaceOf) -> Likeness:
    """Compare the tasks of a prior."""
    prints = {each.task: each.fingerprint for each in prior.sources}
    versions = {str(each.get("version")) for each in prints.values()}
    if all(prints.values()) and len(versions) == 1 and "None" not in versions:
        names = sorted(prints)
        try:
            found = np.array([[distance(prints[a], prints[b]) for a in names] for b in names])
        except (KeyError, TypeError, ValueError, IndexError):  # a stranger's may lack anything
            found = np.array([np.nan])
        if np.isfinite(found).all():
            return Likeness(tuple(names), found, "fingerprints of their data")
    return _by_expectations(prior, space_of)


def _by_expectations(prior: Prior, space_of: SpaceOf) -> Likeness:
    spaces = Counter(each.space for each in prior.sources)
    name = max(sorted(spaces), key=lambda each: spaces[each])
    there = [each for each in prior.sources if each.space == name]
    by = f"what they expect in space {name}"
    space = space_of(name) or stand_in(there)
    tasks = tuple(sorted({each.task for each in there}))
    alone = Likeness(tasks[:1], np.zeros((1, 1)), by)
    if space is None:
        return alone
    found = prior.on(space, objective_of(there[0]), TRIALS_TO_SCORE, least=-1.0)
    if isinstance(found, str) or len(found.sources) < 2:
        return alone
    means = found.means(_asked(space, there))
    spread = means.std(axis=0) > 0
    alike = np.corrcoef(means.T[spread]).reshape(spread.sum(), spread.sum())
    return Likeness(tuple(np.array(found.sources)[spread].tolist()), 1.0 - alike, by)


def _asked(space: Space, sources: list[Source]) -> list[Architecture]:
    members: list[Architecture] = []
    a_task = -(-ASKED // len(sources))
    for source in sources:
        for values in source.architectures[:a_task]:
            try:
                members.append(check(space, values))
            except SpaceError:
                continue
    return members


def places(distances: Matrix) -> Matrix:
    """Points in the plane about as far apart as told, ``[S, 2]``: classical scaling."""
    count = len(distances)
    centre = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances**2 @ centre)
    found = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0))
    found = np.pad(found, ((0, 0), (0, max(0, 2 - count))))[:, :2]
    return np.asarray(found * np.where(found[np.abs(found).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0))


def picture(found: Likeness) -> bytes:
    """A PNG: a dot a task, near to what it is like."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.usetex": False, "text.parse_math": False}):
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        at = places(found.distances)
        axes.scatter(at[:, 0], at[:, 1], s=60, color=DOT, zorder=2)
        for (x, y), task in zip(at, found.tasks, strict=True):
            axes.annotate(
                task[:40], (x, y), (7, 5), textcoords="offset points", color=INK, fontsize=9
            )
        axes.set_title(f"tasks by {found.by}", loc="left", color=INK, fontsize=11)
        axes.margins(0.25)
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        content = io.BytesIO()
        figure.savefig(content, dpi=144, format="png")
    return content.getvalue()
