"""One strategy with one seed on a table: the rows that it evaluates, in their order.

It is the loop of every other search, with the table as the estimator. A replay is a job
like a trial is, so the seeds of a bench run side by side on any executor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from threadpoolctl import threadpool_limits

from metanas.bench.history import History
from metanas.core.errors import ConfigError
from metanas.core.evaluation import Evaluation
from metanas.core.plugins import Reference, reference, resolve
from metanas.core.protocols import Context, Prior, Strategy
from metanas.core.search import Search, run
from metanas.core.space import Space
from metanas.core.task import Task
from metanas.core.trial import Job, Outcome, Proposal, Report, Trial
from metanas.executors.inline import Inline
from metanas.meta.mixture import misled
from metanas.stores.journal import MemoryJournal
from metanas.tables import Table, load

SUGGESTION_S, ROW = "seconds_per_suggestion", "row"
FIT_S, DETECTED = "seconds_to_fit", "negative_transfer_detected"


@dataclass(frozen=True)
class Replay:
    """Replays strategies; called with a job, which names one and has the seed.

    Args:
        path: Of the table.
        target: The task.
        measure: The column, "" for the task's metric.
        trials: How many evaluations.
        strategies: By the names that jobs use.
        history: Where strategies with a prior have it from; None where none has one.
        warm: Names of strategies that have one.
    """

    path: str
    target: str
    measure: str
    trials: int
    strategies: Mapping[str, Reference]
    history: History | None = None
    warm: frozenset[str] = frozenset()

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        """A report an evaluation with the number of its row, in order; then the outcome."""
        started = time.monotonic()
        try:
            # The threads of a matrix product decide its last bits, and those who is proposed.
            with threadpool_limits(limits=1):
                rows, about = self._rows(str(job.proposal["strategy"]), job.seed)
        except Exception as error:  # noqa: BLE001 - a user's strategy can fail in any way
            text = " ".join(f"{type(error).__name__}: {error}".split())
            yield Outcome("crashed", {}, time.monotonic() - started, text)
            return
        for at, row in enumerate(rows, start=1):
            yield Report(at, {ROW: float(row)})
        yield Outcome("completed", about, time.monotonic() - started)

    def _rows(self, name: str, seed: int) -> tuple[list[int], dict[str, float]]:
        space, task = self.parts()
        recall = resolve(reference("estimators", "table"))()
        timed: list[_Timed] = []

        def strategy(context: Context) -> Strategy:
            timed.append(_Timed(resolve(self.strategies[name])(context)))
            return timed[-1]

        began = time.perf_counter()
        prior = self._prior(name, space, task, seed)
        fit_s = time.perf_counter() - began
        search = Search(
            name="replay",
            space=space,
            task=task.name,
            objectives=task.metrics[:1],
            strategy=strategy,
            evaluate=Evaluation(space, task, recall),
            trials=self.trials,
            epochs=1,
            seed=seed,
            exact=True,
            prior=prior if not isinstance(prior, str) else None,
        )
        trials = run(search, executor=Inline(), journal=MemoryJournal()).trials
        table, rows = load(self.path), []
        for trial in trials:
            row = table.row(trial.proposal.architecture.values)
            if row is None or trial.failed:
                raise ConfigError(f"proposal {trial.number} is no row of the table: {trial.error}")
            rows.append(row)
        about = {SUGGESTION_S: timed[0].seconds / max(1, len(rows)), FIT_S: fit_s}
        if name in self.warm:
            about[DETECTED] = float(isinstance(prior, str) or any(map(misled, trials)))
        return rows, about

    def _prior(self, name: str, space: Space, task: Task, seed: int) -> Prior | str | None:
        if name not in self.warm or self.history is None:
            return None
        fitted = self.history.fitted(self.path, self.target, self.measure, seed)
        return fitted.on(space, task.metrics[0])

    def parts(self) -> tuple[Space, Task]:
        """The table's space and task.

        Raises:
            DataError: If there is no such table, task or column.
        """
        return _parts(load(self.path), self.path, self.target, self.measure)


@lru_cache(maxsize=4)
def _parts(table: Table, path: str, target: str, measure: str) -> tuple[Space, Task]:
    """Kept as long as the file is the same: a changed one is another table."""
    options = {"path": path, "target": target, "measure": measure}
    space, task = (reference(kind, "table", options) for kind in ("spaces", "tasks"))
    return resolve(space)(), resolve(task)()


class _Timed:
    """A strategy, and the seconds that it takes."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self.seconds = 0.0

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        """As the strategy's."""
        began = time.perf_counter()
        proposal = self._strategy.ask(number, pending)
        self.seconds += time.perf_counter() - began
        return proposal

    def tell(self, trial: Trial) -> None:
        """As the strategy's."""
        began = time.perf_counter()
        self._strategy.tell(trial)
        self.seconds += time.perf_counter() - began
