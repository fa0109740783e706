"""From rows of experience to a prior.

Rows come in batches and may be many: of each task and space so many are kept as its scores
and models need, chosen by a hash of the row's key, so that the same experience gives the
same prior however it is cut into files.

Trials are compared within trainings of one length: a metric after 5 epochs and one after 50
are two scales, and a normal score is none. A trial that failed by its architecture's fault
counts as worse than all that ended well.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
MOST_SOURCES = 100
"""Of so many tasks and spaces, those with the most trials: more make no search better."""
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
Places = npt.NDArray[np.int64]


def fit(batches: Iterable[Any], exclude: Collection[str] = ()) -> Fitted:
    """Learn a prior.

    Args:
        batches: Arrow record batches with at least `COLUMNS`.
        exclude: Names of tasks to leave out.

    Raises:
        ConfigError: If no task has enough trials to learn from.
    """
    kept: dict[Group, _Kept] = defaultdict(_Kept)
    for batch in batches:
        for group, rows, places in _by_group(batch, exclude):
            kept[group].add(rows, places)
    sources: list[Source] = []
    left_out: list[str] = []
    for group in sorted(kept, key=lambda each: (-kept[each].count, each)):
        if len(sources) == MOST_SOURCES:
            found: Source | str = f"{MOST_SOURCES} tasks have more trials"
        else:
            found = _source(*kept[group].rows(), kept[group].count)
        if isinstance(found, Source):
            sources.append(found)
        else:
            left_out.append(f"task '{group[0]}' in space '{group[1]}': {found}")
    if not sources:
        reasons = "; ".join(sorted(left_out)) or "there are no finished trials"
        raise ConfigError(f"no prior can be learnt: {reasons}")
    sources.sort(key=lambda each: (each.task, each.space))
    return Fitted(Prior(tuple(sources)), tuple(sorted(left_out)))


def _by_group(batch: Any, exclude: Collection[str]) -> Iterator[tuple[Group, Any, Places]]:
    """The rows of a batch that can be learnt from, by task and space, each with its place."""
    import pyarrow as pa
    import pyarrow.compute as pc

    statuses = pc.is_in(batch.column("status"), pa.array([*JUDGED, *WORST]))
    others = pc.is_in(batch.column("task"), pa.array(sorted(exclude), pa.string()))
    batch = batch.select(list(COLUMNS)).filter(pc.and_not(statuses, others))
    if not batch.num_rows:
        return
    keys = batch.column("key").to_pylist()
    places = np.fromiter((zlib.crc32(key.encode()) for key in keys), np.int64, len(keys))
    tasks, spaces = (batch.column(name).dictionary_encode() for name in ("task", "space"))
    codes = [each.indices.to_numpy(zero_copy_only=False) for each in (tasks, spaces)]
    both = codes[0].astype(np.int64) * len(spaces.dictionary) + codes[1]
    for code in np.unique(both):
        task, space = divmod(int(code), len(spaces.dictionary))
        numbers = np.flatnonzero(both == code)
        group = (tasks.dictionary[task].as_py(), spaces.dictionary[space].as_py())
        yield group, batch.take(pa.array(numbers)), places[numbers]


class _Kept:
    """The rows of one task and space that are learnt from: those of the least places."""

    def __init__(self) -> None:
        self.count = 0
        self._least = np.iinfo(np.int64).max
        self._parts: list[Any] = []
        self._held = 0
        self._fingerprint = (self._least, "")

    def add(self, rows: Any, places: Places) -> None:
        """Take in rows; places are hashes, so a row that is late is as likely as an early one."""
        import pyarrow as pa

        self.count += len(places)
        self._see(rows.column("fingerprint"), places)
        near = np.flatnonzero(places <= self._least)
        if not len(near):
            return
        # Fingerprints are long, and the same on every row.
        few = rows.drop_columns(["fingerprint"]).take(pa.array(near))
        self._parts.append(few.append_column("place", pa.array(places[near])))
        self._held += len(near)
        if self._held > 2 * KEPT:
            self._cut()

    def rows(self) -> tuple[list[Mapping[str, Any]], str]:
        """At most `KEPT`, in an order that hangs on nothing but themselves; the fingerprint."""
        self._cut()
        return self._parts[0].to_pylist(), self._fingerprint[1]

    def _see(self, fingerprints: Any, places: Places) -> None:
        """Keep the fingerprint of the row of the least place that has one."""
        import pyarrow.compute as pc

        there = np.flatnonzero(
            pc.fill_null(pc.greater(pc.binary_length(fingerprints), 0), False).to_numpy(
                zero_copy_only=False
            )
        )
        if len(there):
            least = int(there[int(places[there].argmin())])
            self._fingerprint = min(
                self._fingerprint, (int(places[least]), fingerprints[least].as_py())
            )

    def _cut(self) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._parts).combine_chunks()
        table = table.sort_by([("place", "ascending"), ("key", "ascending")]).slice(0, KEPT)
        if table.num_rows == KEPT:
            self._least = table["place"][KEPT - 1].as_py()
        # Copied: a slice would keep what it was cut from.
        self._parts = table.take(pa.array(range(table.num_rows))).combine_chunks().to_batches()
        self._held = table.num_rows


def _source(rows: list[Mapping[str, Any]], fingerprint: str, count: int) -> Source | str:
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
    return Source(
        task=first["task"],
        kind=first["kind"],
        space=first["space"],
        objective=objective,
        goal=goal,
        architectures=tuple(pairs[at][0] for at in order),
        scores=flat[order],
        trials=count,
        fingerprint=json.loads(fingerprint) if fingerprint else {},
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
