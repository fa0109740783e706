"""Jobs as trials of Ray Tune: on the cluster that RAY_ADDRESS names, or a local one.

Tune starts, places and reuses the workers; what is evaluated next, what is remembered and
what a failure means is decided elsewhere, so Tune's own snapshots, loggers and searchers
are off. A worker is an actor that keeps its task's data and answers one epoch a call.

What Ray writes goes below the folder it is given and is removed afterwards.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from metanas.core.protocols import Evaluate, NextJob, OnEvent
from metanas.executors._elsewhere import check_resources
from metanas.executors._ray import Session, places, share


@dataclass
class Tune:
    """Runs jobs on Ray Tune; one Ray session lasts until `close`.

    Args:
        folder: Where Tune and a local Ray may write; a temporary one by default.
        gpus: Share of a GPU a worker; by default the GPUs divided among the workers.
    """

    folder: str = ""
    gpus: float | None = None
    isolated: bool = field(default=True, init=False)
    _session: Session = field(init=False)
    _runs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._session = Session(self.folder)

    def open(self, workers: int) -> None:
        """Join the cluster, or start a local one of so many CPUs.

        Raises:
            ConfigError: If there is no cluster at RAY_ADDRESS.
        """
        self._session.open(workers)

    def __call__(
        self, evaluate: Evaluate, next_job: NextJob, on_event: OnEvent, *, workers: int
    ) -> None:
        """Run jobs until there are no more, `workers` at a time."""
        self.open(workers)
        from ray import tune

        from metanas.executors._tune_parts import Jobs, Noting, Worker

        check_resources(evaluate)
        workers = places(workers)
        causes: dict[str, str] = {}
        searcher = Jobs(next_job, on_event, causes)
        trainable = tune.with_resources(
            tune.with_parameters(Worker, evaluate=evaluate), share(self.gpus, workers)
        )
        self._runs += 1
        storage = Path(self._session.folder) / f"tune-{os.getpid()}"
        try:
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=Noting(causes),
                    num_samples=-1,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=f"run-{self._runs}",
                    storage_path=str(storage),
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            ).fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        searcher.check()

    def close(self) -> None:
        """Stop the local Ray that this executor started, and remove what it wrote."""
        self._session.close()


EXECUTOR = Tune
