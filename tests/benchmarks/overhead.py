"""What the loop itself costs: trials of an evaluation that does nothing.

Measures, each in one run on this machine:
  tune        seconds a trial on Ray Tune with 2 workers, 200 trials, first to last end
  inline      trials a second inline with 5,000 trials, and what trials 4,500 to 5,000 cost
              beside trials 500 to 1,000
  away        both with MLflow unreachable and with it there, in turn, five times
  help        seconds of `metanas --help` beside a warm `python -c "import torch"`

Run: .venv/bin/python tests/benchmarks/overhead.py
Prints one JSON line a case.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas.core.objective import Objective
from metanas.core.plugins import reference, resolve
from metanas.core.search import Search, run
from metanas.core.trial import Job, Outcome, Report
from metanas.executors.inline import Inline
from metanas.executors.tune import Tune
from metanas.stores.journal import FileJournal
from metanas.strategies.evolution import Evolution
from metanas.trackers.mlflow import MLflowTracker


@dataclass(frozen=True)
class Nothing:
    """Accuracy from the seed, at once."""

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        accuracy = (job.seed % 1000) / 1000
        yield Report(1, {"accuracy": accuracy}, time.time())
        yield Outcome("completed", {"accuracy": accuracy}, 0.0)


class Clock:
    """A tracker that notes when each trial ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def started(self, proposal: Any) -> None: ...
    def progress(self, number: int, report: Any) -> None: ...
    def close(self) -> None: ...

    def log(self, trial: Any) -> None:
        self.ends.append(time.perf_counter())


def timed(executor: Any, trials: int, workers: int, uri: str | None = None) -> list[float]:
    """When each trial ended."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name)
        folder = home / "searches" / "s"
        folder.mkdir(parents=True)
        clock = Clock()
        with FileJournal(folder / "journal.jsonl") as journal:
            config = {"name": "s", "task_name": "t", "space": "cnn", "strategy": "e", "seed": 0}
            journal.append(
                {
                    "event": "search",
                    "time_s": time.time(),
                    "version": "",
                    "id": name,
                    "config": config,
                }
            )
            trackers: list[Any] = [clock]
            if uri is not None:
                os.environ["MLFLOW_TRACKING_URI"] = uri or f"sqlite:///{home}/mlflow.db"
                trackers.append(_Follower(home, folder))
            space = resolve(reference("spaces", "cnn"))
            search = Search(
                "s", space, "t", (Objective("accuracy", "", "max"),), Evolution, Nothing(),
                trials=trials, epochs=1, workers=workers,
            )  # fmt: skip
            run(search, executor=executor, journal=journal, trackers=trackers)
    return clock.ends


class _Follower(MLflowTracker):
    """Follows while the search runs, and is not waited for."""

    def __init__(self, home: Path, folder: Path) -> None:
        super().__init__(home, folder, home / "log.txt")
        time.sleep(8.0)  # let its imports end, so that they do not count

    def close(self) -> None:
        if self._follower is not None:
            self._follower.kill()
            self._follower.wait()


def said(case: str, **figures: Any) -> None:
    print(json.dumps({"case": case, **figures, "machine": machine()}), flush=True)


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


def seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def away(name: str, executor: Any, trials: int, workers: int) -> None:
    """Seconds a trial with a server that does not answer, beside one that does, in turn."""
    rates: dict[str, list[float]] = {"there": [], "away": []}
    for _ in range(5):
        for case, uri in (("there", ""), ("away", "http://127.0.0.1:1")):
            ends = timed(executor, trials, workers, uri)
            rates[case].append((ends[-1] - ends[0]) / (trials - 1))
    ratio = statistics.median(rates["away"]) / statistics.median(rates["there"])
    said(f"mlflow away over there, {name}", ratio=round(ratio, 3), runs=rates)


def main() -> None:
    """Run all cases."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        executor = Tune(folder)
        ends = timed(executor, 200, 2)
        executor.close()
    said("tune", trials=200, workers=2, seconds_a_trial=round((ends[-1] - ends[0]) / 199, 4))

    ends = timed(Inline(), 5000, 1)
    early, late = ends[999] - ends[499], ends[4999] - ends[4499]
    rate = 4999 / (ends[-1] - ends[0])
    said("inline", trials_a_second=round(rate), late_over_early=round(late / early, 3))

    away("inline", Inline(), 3000, 1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        executor = Tune(folder)
        away("tune", executor, 200, 2)
        executor.close()

    pairs = [
        (
            seconds(sys.executable, "-m", "metanas", "--help"),
            seconds(sys.executable, "-c", "import torch"),
        )
        for _ in range(5)
    ]
    said("help over import torch", ratio=round(statistics.median(a / b for a, b in pairs), 3))


if __name__ == "__main__":
    main()
