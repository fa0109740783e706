"""What past tasks of a table left behind: rows of experience, as searches leave them.

Each seed and each source has architectures of its own: a history that all seeds share would
be one case measured fifty times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metanas.core.errors import ConfigError, unknown
from metanas.core.evaluation import Evaluation
from metanas.core.plugins import reference, resolve
from metanas.core.search import Search, run
from metanas.executors.inline import Inline
from metanas.meta.fitting import fit
from metanas.meta.prior import FEWEST, Prior
from metanas.stores.experience import row_of, table_of
from metanas.stores.journal import MemoryJournal
from metanas.tables import Table, load

HISTORIES = ("random", "evolution")
LABELS = ("true", "negated", "shuffled")
OTHERS = "others"
SOURCE_SEED = 715_517
"""Beside the seed of a replay: a source's draws are not those of any search."""


@dataclass(frozen=True)
class History:
    """How past tasks were searched.

    Args:
        sources: Their names, in the table.
        trials: Evaluations of each.
        strategy: That chose them, one of `HISTORIES`.
        labels: What becomes of their results, one of `LABELS`.
    """

    sources: tuple[str, ...]
    trials: int = 100
    strategy: str = "random"
    labels: str = "true"

    def __post_init__(self) -> None:
        if self.strategy not in HISTORIES:
            raise ConfigError(
                f"--source-history is '{self.strategy}'{unknown(self.strategy, HISTORIES)}"
            )
        if self.labels not in LABELS:
            raise ConfigError(f"--source-labels is '{self.labels}'{unknown(self.labels, LABELS)}")
        if self.trials < FEWEST:
            raise ConfigError(f"--source-trials is {self.trials}, expected at least {FEWEST}")

    def fitted(self, path: str, target: str, measure: str, seed: int) -> Prior:
        """The prior that is learnt from it before the target is searched.

        Args:
            path: Of the table.
            target: The task that is searched next.
            measure: The column of the target, "" for its metric; a source's is the one of
                the same name after the task's.
            seed: Of the search.
        """
        return _fitted(self, load(path), path, measure, seed)


def sources_of(text: str, path: str, target: str) -> tuple[str, ...]:
    """The tasks that ``--sources`` names, or all but the target.

    Raises:
        ConfigError: If one is unknown, named twice, or the target.
    """
    tasks = load(path).tasks
    if text == OTHERS:
        found = tuple(name for name in tasks if name != target)
        if not found:
            raise ConfigError(f"--sources is '{OTHERS}', and the table has no task but '{target}'")
        return found
    found = tuple(name.strip() for name in text.split(","))
    for name in found:
        if name not in tasks:
            raise ConfigError(f"--sources names '{name}'{unknown(name, tasks)}")
        if name == target or found.count(name) > 1:
            what = "the target" if name == target else "twice the same"
            raise ConfigError(f"--sources names '{name}', {what}")
    return found


@lru_cache(maxsize=4)
def _fitted(history: History, table: Table, path: str, measure: str, seed: int) -> Prior:
    """Kept as long as the file is the same."""
    del table
    rows = [
        row
        for number, task in enumerate(history.sources)
        for row in _rows(history, path, task, measure, [SOURCE_SEED, seed, number])
    ]
    return fit(table_of(rows).to_batches()).prior


def _rows(
    history: History, path: str, task: str, measure: str, seed: Sequence[int]
) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    options = {"path": path, "target": task, "measure": _measure(path, task, measure)}
    space, found = (resolve(reference(kind, "table", options))() for kind in ("spaces", "tasks"))
    objective = found.metrics[0]
    search = Search(
        name=task,
        space=space,
        task=found.name,
        objectives=(objective,),
        strategy=resolve(reference("strategies", history.strategy)),
        evaluate=Evaluation(space, found, resolve(reference("estimators", "table"))()),
        trials=min(history.trials, len(load(path))),
        epochs=1,
        seed=int(rng.integers(2**31)),
        exact=True,
    )
    trials = run(search, executor=Inline(), journal=MemoryJournal()).trials
    values = np.array([trial.metrics[objective.name] for trial in trials])
    if history.labels == "negated":
        values = -values
    elif history.labels == "shuffled":
        values = rng.permutation(values)
    return [
        row_of(
            {
                "key": f"{task}/{'-'.join(map(str, seed))}/{trial.number}",
                "task": task,
                "kind": found.kind,
                "space": space.name,
                "architecture": json.dumps(dict(trial.proposal.architecture.values)),
                "status": trial.status,
                "metrics": {objective.name: float(value)},
                "curve": [],
                "objective": objective.name,
                "goal": objective.goal,
                "epochs": 1,
                "time_s": 0.0,
            }
        )
        for trial, value in zip(trials, values, strict=True)
    ]


def _measure(path: str, task: str, measure: str) -> str:
    """The source's column of the same name as the target's."""
    if not measure:
        return ""
    table = load(path)
    bare = next(
        (
            measure.removeprefix(f"{name}.")
            for name in table.tasks
            if measure.startswith(f"{name}.")
        ),
        measure,
    )
    return bare if f"{task}.{bare}" in table.columns else ""
