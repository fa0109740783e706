"""How long a sync of many MLflow runs takes, and one with nothing new.

Runs are put straight into a SQLite database of MLflow, as the tracker would have written
them; then the experience is synced from nothing, again, with one more search of 24
trials, and read back whole. The import of MLflow is timed apart.

Run: .venv/bin/python tests/benchmarks/experience.py [--trials 20000] [--a-search 100]
Prints one JSON line a case.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from made_runs import made_runs
from metanas.api.experience import origin_of
from metanas.stores.experience import batches, sync


def timed(case: str, work: Callable[[], Any]) -> None:
    """Run it and print how long it took."""
    began = time.monotonic()
    found = work()
    record = {
        "case": case,
        "seconds": round(time.monotonic() - began, 2),
        "found": found,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    print(json.dumps(record), flush=True)


def main() -> None:
    """Make the runs, then sync."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--a-search", type=int, default=100)
    given = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as place:
        home, template = Path(place) / "home", Path(place) / "template.db"
        home.mkdir()

        def opened() -> None:
            from mlflow import MlflowClient

            MlflowClient(tracking_uri=f"sqlite:///{template}").search_experiments()

        def made(trials: int, first: int) -> None:
            made_runs(template, home, trials, given.a_search, first=first)

        def synced() -> list[Any]:
            found = sync(home, origin_of(home))
            return [found.new, found.removed, dict(found.broken), found.rows]

        timed("import MLflow, make its database", opened)
        timed("put runs into it", lambda: made(given.trials, 0))
        timed("sync", synced)
        timed("sync, nothing new", synced)
        made(24, -(-given.trials // given.a_search))
        timed("sync, 24 new", synced)
        timed("read", lambda: sum(batch.num_rows for batch in batches(home)))


if __name__ == "__main__":
    main()
