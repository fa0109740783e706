"""Many finished runs in MLflow at once: straight into a database of its SQLite store.

They are what the projection writes of trials, tag by tag; a test compares the two.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EPOCHS = 5
CHOICES = {"depth": (2, 3, 4), "width": (16, 32, 64), "op": ("conv", "skip", "pool"), "bn": (True,)}
OBJECTIVE = {"name": "accuracy", "unit": "", "goal": "max", "scale": "linear", "limit": None}


def made_runs(
    template: Path, home: Path, trials: int, a_search: int = 100, tasks: int = 4, first: int = 0
) -> None:
    """Put searches with so many trials, altogether, into the home folder's database.

    Args:
        template: A migrated, empty database.
        home: Gets a copy of it, where it has none.
        trials: How many.
        a_search: Trials of one search.
        tasks: Searches take turns on so many.
        first: Number of the first search.
    """
    path = home / "mlflow.db"
    if not path.exists():
        shutil.copy(template, path)
    rows: dict[str, list[tuple[Any, ...]]] = {
        name: [] for name in ("runs", "tags", "params", "latest_metrics", "metrics")
    }
    with sqlite3.connect(path) as database:
        experiment = _experiment(database, home)
        for search in range(first, first + -(-trials // a_search)):
            count = min(a_search, trials - (search - first) * a_search)
            _search(rows, experiment, search, count, f"task{search % tasks}")
        run = "run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri"
        columns = {
            "runs": f"{run}, experiment_id, source_type, user_id",
            "tags": "run_uuid, key, value",
            "params": "run_uuid, key, value",
            "latest_metrics": "run_uuid, key, value, timestamp, step, is_nan",
            "metrics": "run_uuid, key, value, timestamp, step, is_nan",
        }
        for table, names in columns.items():
            marks = ", ".join("?" * len(names.split(",")))
            database.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows[table])


def _experiment(database: sqlite3.Connection, home: Path) -> int:
    found = database.execute("SELECT experiment_id FROM experiments WHERE name = 'metanas'")
    for (number,) in found:
        return int(number)
    database.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, "
        "last_update_time, workspace) VALUES ('metanas', ?, 'active', 0, 0, 'default')",
        ((home / "mlartifacts").as_uri(),),
    )
    return int(database.execute("SELECT last_insert_rowid()").fetchone()[0])


def _search(
    rows: dict[str, list[tuple[Any, ...]]], experiment: int, number: int, count: int, task: str
) -> None:
    began = 1_700_000_000_000 + number * 3_600_000
    common = {
        "metanas.search_id": uuid.uuid5(uuid.NAMESPACE_OID, f"search {number}").hex,
        "metanas.search": f"made-{number}",
        "metanas.task": task,
        "metanas.space": "made",
        "metanas.strategy": "random",
        "metanas.seed": str(number),
        "metanas.version": "0.1.0",
        "metanas.attempt": "0",
        "mlflow.user": "tester",
    }
    parent = uuid.uuid4().hex
    about = {
        "metanas.key": "search",
        "metanas.objectives": json.dumps([OBJECTIVE]),
        "metanas.kind": "classification",
        "metanas.space_name": "made",
    }
    _run(rows, experiment, parent, began, common | about, {}, {"trials": float(count)})
    for trial in range(count):
        _trial(rows, experiment, parent, began + 60_000 * trial, common, trial)


def _trial(
    rows: dict[str, list[tuple[Any, ...]]],
    experiment: int,
    parent: str,
    began: int,
    common: Mapping[str, str],
    number: int,
) -> None:
    values = {
        name: options[number // 3**place % len(options)]
        for place, (name, options) in enumerate(CHOICES.items())
    }
    record = {
        "number": number,
        "task": common["metanas.task"],
        "seed": number,
        "status": "completed",
        "metrics": _metrics(number, EPOCHS),
        "curve": [
            {"epoch": e, "metrics": _metrics(number, e), "time_s": began / 1000 + e}
            for e in range(1, EPOCHS + 1)
        ],
        "seconds": 5.0,
        "cached": False,
        "error": "",
        "time_s": began / 1000 + EPOCHS,
    }
    tags = {
        "metanas.key": f"trial/{number}",
        "metanas.status": "completed",
        "metanas.cached": "false",
        "metanas.error": "",
        "metanas.reason": "drawn at random",
        "metanas.id": f"{number:016x}",
        "metanas.proposal": json.dumps({"number": number, "values": values, "epochs": EPOCHS}),
        "metanas.trial": json.dumps(record, separators=(",", ":")),
        "mlflow.parentRunId": parent,
        "mlflow.runName": f"{number} of {common['metanas.search']}",
    }
    params = {f"choice.{name}": str(value) for name, value in values.items()}
    final = _metrics(number, EPOCHS) | {"seconds": 5.0}
    params["epochs"] = str(EPOCHS)
    _run(rows, experiment, uuid.uuid4().hex, began, {**common, **tags}, params, final)


def _metrics(number: int, epoch: int) -> dict[str, float]:
    accuracy = (number * 37 % 100) / 100 * epoch / EPOCHS
    return {"accuracy": accuracy, "loss": 1 - accuracy, "params": 1e4 + number, "flops": 1e6}


def _run(
    rows: dict[str, list[tuple[Any, ...]]],
    experiment: int,
    run: str,
    began: int,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Mapping[str, float],
) -> None:
    ended, name = began + 5_000, tags.get("mlflow.runName", "")
    rows["runs"].append(
        (run, name, "FINISHED", began, ended, "active", f"a/{run}", experiment, "LOCAL", "tester")
    )
    rows["tags"] += [(run, key, value) for key, value in tags.items()]
    rows["params"] += [(run, key, value) for key, value in params.items()]
    measured = [(run, key, value, ended, EPOCHS, False) for key, value in metrics.items()]
    rows["latest_metrics"] += measured
    rows["metrics"] += measured
