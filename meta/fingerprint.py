"""What a task is like, told from its rows alone.

Sizes, balance, what its images look like, and how sixteen fixed networks that were never
trained, and a linear one, take to it. Two tasks of one fingerprint need not be one task; they
are likely to want like networks.

The sixteen probes are cells of NAS-Bench-201's space, drawn once by a fixed seed, in its
smallest skeleton, on images brought to at most 32 a side: their scores
(`metanas.measures.zero_cost`) tell what convolutions make of the rows. A distance looks at
how they order the probes; their level goes with the number of classes and the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.plugins import reference, resolve
from metanas.core.space import Architecture, Space, sample
from metanas.core.task import Part, Task
from metanas.measures.zero_cost import SCORES
from metanas.measures.zero_cost import VERSION as SCORES_VERSION
from metanas.meta import _rows
from metanas.meta.scores import PART_SEED, batch_of, data_print, scored

VERSION = 1
"""Grows with every change after which the same rows have another fingerprint."""

PROBES = 16
PROBE_SEED = 201
LARGEST_SIDE = 32

Floats = npt.NDArray[np.float64]

SIZES: Mapping[str, float] = {
    "log10_rows": 1.0,
    "log2_classes": 2.0,
    "log2_channels": 2.0,
    "log2_side": 1.0,
    "imbalance": 0.2,
    "mean": 0.2,
    "deviation": 0.1,
    "roughness": 0.3,
    "colour": 0.2,
    "linear": 0.3,
}
"""What is compared of two tasks, and how large a difference counts as one."""


def fingerprint(task: Task) -> Mapping[str, Any]:
    """What a task's rows are like.

    Only the training and validation parts are looked at, cut as by seed 0, and of a large
    task so many rows, evenly spaced, as the statistics need.

    Returns:
        What JSON holds. Always `version`, `kind` and `outputs`; where there are rows, `rows`
        by part, `data` (which tells two sets of rows apart), `shape` and `imbalance` (1 less
        the entropy of the classes' shares over that of equal ones); of images `image` and
        `probes`: for each score its sixteen values, None where it is not finite, and with
        classes `linear`, how far a linear classifier on 8x8 images gets from chance (0) to
        all (1).
    """
    found: dict[str, Any] = {"version": [VERSION, SCORES_VERSION], "kind": task.kind}
    found["outputs"] = task.outputs
    if task.recorded is not None:
        return found
    data = task.load(PART_SEED)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    found["rows"] = {name: len(part) for name, part in parts.items()}
    found["shape"] = list(task.shape)
    found["data"] = data_print(data.train)
    classes = _rows.is_classes(data.train)
    if classes:
        found["imbalance"] = _rows.imbalance(data.train, task.outputs)
    if _rows.is_images(data.train):
        found["image"] = _rows.image(data.train)
        found["probes"] = _probed(task, data.train)
        if classes:
            found["linear"] = _rows.linear(data, task.outputs)
    return found


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How unlike two tasks are, from their fingerprints: 0 for the same rows, seldom above 3.

    The root of the mean of three squares, each left out where either task lacks it: sizes
    and statistics (`SIZES`: root mean square of the differences, in units of what counts as
    one there, each cut at 3); the probes' order (1 less Spearman's correlation over the
    sixteen, mean over the scores that both have); and 1 where the kinds differ. Symmetric;
    no metric in the strict sense, since what is left out differs from pair to pair.

    Raises:
        ValueError: If the two are of different versions, whose numbers do not compare.
    """
    if list(one["version"]) != list(other["version"]):
        raise ValueError(
            f"fingerprints of versions {one['version']} and {other['version']} do not compare"
        )
    parts = [float(one["kind"] != other["kind"])]
    mine, theirs = _numbers(one), _numbers(other)
    gaps = [
        min(3.0, abs(mine[name] - theirs[name]) / unit)
        for name, unit in SIZES.items()
        if name in mine and name in theirs
    ]
    if gaps:
        parts.append(math.sqrt(np.mean(np.square(gaps))))
    orders = _orders(one.get("probes", {}), other.get("probes", {}))
    if orders:
        parts.append(float(np.mean(orders)))
    return round(math.sqrt(np.mean(np.square(parts))), 9)  # equal either way round


# -- what is compared ------------------------------------------------------------


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """What `SIZES` names, as far as the task has it."""
    numbers = {"log2_classes": math.log2(max(1, found["outputs"]))}
    if "rows" in found:
        numbers["log10_rows"] = math.log10(max(1, found["rows"]["train"]))
    if "image" in found:
        channels, *sides = found["shape"]
        numbers["log2_channels"] = math.log2(channels)
        numbers["log2_side"] = math.log2(math.prod(sides)) / len(sides)
        image = found["image"]
        numbers |= {name: float(image[name]) for name in ("roughness", "colour")}
        numbers["mean"] = float(np.mean(image["mean"]))
        numbers["deviation"] = float(np.mean(image["deviation"]))
    return numbers | {n: float(found[n]) for n in ("imbalance", "linear") if n in found}


def _orders(
    one: Mapping[str, Sequence[float | None]], other: Mapping[str, Sequence[float | None]]
) -> list[float]:
    """For each score that both have of at least three probes, 1 less the rank correlation."""
    found = []
    for name in SCORES:
        if name not in one or name not in other:
            continue
        pairs = np.array([one[name], other[name]], dtype=np.float64)
        pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
        if pairs.shape[1] > 2 and (pairs.std(axis=1) > 0).all():
            found.append(1 - float(np.corrcoef(_ranks(pairs[0]), _ranks(pairs[1]))[0, 1]))
    return found


def _ranks(values: Floats) -> Floats:
    """Ties share their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count - 1) / 2)[place]
    return ranks


# -- probes ----------------------------------------------------------------------


def probes(space: Space) -> list[Architecture]:
    """The sixteen: different networks of at least two convolutions that have an effect."""
    rng = np.random.default_rng(PROBE_SEED)
    found: dict[str, Architecture] = {}
    while len(found) < PROBES:
        drawn = sample(space, rng)
        form = drawn.values if space.canonical is None else space.canonical(drawn.values)
        if str(form).count("conv") > 1:
            found.setdefault(drawn.id, drawn)
    return list(found.values())


def _probed(task: Task, part: Part) -> dict[str, list[float | None]]:
    """For each score, the probes' values, rounded: the last digits hang on the machine."""
    space: Space = resolve(reference("spaces", "nasbench201"))()
    few = _rows.shrunk(_rows.thinned(part, _rows.STATISTICS_ROWS), LARGEST_SIDE)
    batch = batch_of(task, few, seed=0)
    found = [scored(each, batch, task.outputs, seed=0) for each in probes(space)]
    return {name: [_rounded(scores[name]) for scores in found] for name in SCORES}


def _rounded(score: float) -> float | None:
    return float(f"{score:.4g}") if math.isfinite(score) else None
