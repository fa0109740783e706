"""From rows of experience to a prior.

Rows come in batches and may be many: of each task and space so many are kept as its scores
and models need, chosen by a hash of the row's key, so that the same experience gives the
same prior however it is cut into files.

Trials are compared within trainings of one length: a metric after 5 epochs and one after 50
are two scales, and a normal score is none. A trial that failed by its architecture's fault
counts as worse than all that ended well.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metanas.core.errors import ConfigError
from metanas.core.space import Values
from metanas.meta.prior import FEWEST, Prior, Source
from metanas.models.copula import normal_scores

COLUMNS = (
    *("key", "task", "kind", "fingerprint", "space", "architecture", "status"),
    *("metrics", "objective", "goal", "epochs"),
)
"""Of the experience, that `fit` reads."""

KEPT = 1_000
"""So many rows of each task and space are learnt from."""
WORST = ("infeasible", "diverged", "out_of_memory", "timed_out")
"""Statuses that are the architecture's fault."""
JUDGED = ("completed", "stopped")


@dataclass(frozen=True)
class Fitted:
    """A prior, and what had to be left out of it.

    Args:
        prior: Not registered yet.
        left_out: One line each.
    """

    prior: Prior
    left_out: tuple[str, ...]


Group = tuple[str, str]
"""A task and a space."""


def fit(batches: Iterable[Any], exclude: Collection[str] = ()) -> Fitted:
    """Learn a prior.

    Args:
        batches: Arrow record batches with at least `COLUMNS`.
        exclude: Names of tasks to leave out.

    Raises:
        ConfigError: If no task has enough trials to learn from.
    """
    groups: dict[Group, _Kept] = defaultdict(_Kept)
    for batch in batches:
        columns = {name: batch.column(name) for name in COLUMNS}
        keys, tasks, spaces, statuses = (
            columns[name].to_pylist() for name in ("key", "task", "space", "status")
        )
        for at, (key, task, space) in enumerate(zip(keys, tasks, spaces, strict=True)):
            if task not in exclude and statuses[at] in (*JUDGED, *WORST):
                groups[task, space].take(key, columns, at)
    sources: list[Source] = []
    left_out: list[str] = []
    for group in sorted(groups):
        found = _source(groups[group].rows, groups[group].count)
        if isinstance(found, Source):
            sources.append(found)
        else:
            left_out.append(f"task '{group[0]}' in space '{group[1]}': {found}")
    if not sources:
        reasons = "; ".join(left_out) or "there are no finished trials"
        raise ConfigError(f"no prior can be learnt: {reasons}")
    return Fitted(Prior(tuple(sources)), tuple(left_out))


@dataclass
class _Kept:
    """The rows of a task and space whose keys have the least hashes, and how many there were."""

    count: int = 0
    heap: list[tuple[tuple[int, str], int, Mapping[str, Any]]] = field(default_factory=list)

    def take(self, key: str, columns: Mapping[str, Any], at: int) -> None:
        """Count a row, and keep it while it is one of those."""
        self.count += 1
        place = -zlib.crc32(key.encode()), key
        full = len(self.heap) >= KEPT
        if full and place <= self.heap[0][0]:
            return
        row = {name: column[at].as_py() for name, column in columns.items()}
        heapq.heappush(self.heap, (place, self.count, row))
        if full:
            heapq.heappop(self.heap)

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """By their hashes."""
        return [row for _, _, row in sorted(self.heap, key=lambda each: each[0], reverse=True)]


def _source(rows: list[Mapping[str, Any]], count: int) -> Source | str:
    """One task in one space, or one line on why it teaches nothing."""
    judged = Counter((row["objective"], row["goal"]) for row in rows if row["goal"])
    if not judged:
        return f"{len(rows)} trials, and none says whether more or less is better"
    (objective, goal), _ = judged.most_common(1)[0]
    lengths: dict[int, list[tuple[Values, float]]] = defaultdict(list)
    for row in rows:
        value = _value(row, objective, goal)
        if value is not None:
            lengths[row["epochs"] or 0].append((json.loads(row["architecture"]), value))
    usable = {epochs: pairs for epochs, pairs in lengths.items() if len(pairs) >= FEWEST}
    if not usable:
        most = max(map(len, lengths.values()), default=0)
        return f"{most} comparable trials, expected at least {FEWEST}"
    pairs = [pair for epochs in sorted(usable) for pair in usable[epochs]]
    scores = [normal_scores(_finite([v for _, v in usable[e]])) for e in sorted(usable)]
    # Lengths side by side in every part of the list: some users look at its first part only.
    order = np.argsort(np.concatenate([np.arange(len(s)) / len(s) for s in scores]), kind="stable")
    flat = np.concatenate(scores)
    first = rows[0]
    prints = [row["fingerprint"] for row in rows if row["fingerprint"]]
    return Source(
        task=first["task"],
        kind=first["kind"],
        space=first["space"],
        objective=objective,
        goal=goal,
        architectures=tuple(pairs[at][0] for at in order),
        scores=flat[order],
        trials=count,
        fingerprint=json.loads(prints[-1]) if prints else {},
    )


def _value(row: Mapping[str, Any], objective: str, goal: str) -> float | None:
    """How good a trial was, larger is better; minus infinity where its architecture failed."""
    if row["status"] in WORST:
        return -np.inf
    value = dict(row["metrics"]).get(objective)
    if value is None or not np.isfinite(value):
        return None
    return float(value if goal == "max" else -value)


def _finite(values: list[float]) -> list[float]:
    """Failures just below the worst that ended well: only the order counts."""
    ended = [value for value in values if value > -np.inf]
    worst = min(ended, default=0.0) - 1.0
    return [max(value, worst) for value in values]
