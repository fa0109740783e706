"""How long a prior takes to learn from many trials, and how much memory.

Made rows, of architectures of NAS-Bench-201 with results that hang on their convolutions, lie
in Parquet files as a sync would have written them, each with a fingerprint and a curve of
five epochs. Measured are reading and fitting, the card with its picture, and what a search
does with the prior before its first proposal.

Run: .venv/bin/python tests/benchmarks/prior_fit.py [--rows 1000000] [--tasks 20]
Prints one JSON line a case; `peak_mib` is the most memory so far, without making the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metanas.core.objective import Objective
from metanas.core.space import sample
from metanas.meta import fitting
from metanas.meta.card import card_of
from metanas.meta.similarity import likeness, picture
from metanas.spaces.nasbench201 import SPACE
from metanas.stores._experience_manifest import FOLDER, Manifest, Part, write_manifest
from metanas.stores.experience import SCHEMA, batches, known_space

ROWS_A_PART, EPOCHS, DISTINCT = 10_000, 5, 5_000


def make(home: Path, rows: int, tasks: int) -> None:
    """Write the rows' files and their manifest."""
    rng = np.random.default_rng(0)
    space = SPACE()
    drawn = [dict(sample(space, rng).values) for _ in range(DISTINCT)]
    texts = pa.array([json.dumps(values, sort_keys=True) for values in drawn])
    good = np.array([sum("conv" in str(v) for v in values.values()) for values in drawn])
    folder = home / FOLDER
    folder.mkdir(parents=True)
    parts = []
    for first in range(0, rows, ROWS_A_PART):
        count = min(ROWS_A_PART, rows - first)
        task = f"task{first // ROWS_A_PART % tasks}"
        chosen = rng.integers(DISTINCT, size=count)
        values = good[chosen] / 6 + 0.1 * rng.standard_normal(count)
        name = f"{task}/{first}.parquet"
        (folder / name).parent.mkdir(exist_ok=True)
        table = _table(task, first, texts.take(pa.array(chosen)), values)
        pq.write_table(table, folder / name, compression="zstd", row_group_size=5_000)
        parts.append(Part(name, task, count))
    write_manifest(folder, Manifest(tuple(parts)))


def _table(task: str, first: int, texts: Any, values: Any) -> Any:
    count = len(values)
    maps = pa.MapArray.from_arrays(
        np.arange(count + 1, dtype=np.int32), pa.array(["accuracy"] * count), pa.array(values)
    )
    inner = pa.MapArray.from_arrays(
        np.arange(EPOCHS * count + 1, dtype=np.int32),
        pa.array(["accuracy"] * (EPOCHS * count)),
        pa.array(np.repeat(values, EPOCHS)),
    )
    epochs = pa.array(np.tile(np.arange(1, EPOCHS + 1, dtype=np.int32), count))
    curve = pa.ListArray.from_arrays(
        np.arange(0, EPOCHS * count + 1, EPOCHS, dtype=np.int32),
        pa.StructArray.from_arrays([epochs, inner], ["epoch", "metrics"]),
    )
    prints = {"version": [1, 1], "kind": "classification", "outputs": 10, "made": "x" * 800}
    known: dict[str, Any] = {
        "key": [f"{task}-{first}/{number}" for number in range(count)],
        "task": [task] * count,
        "kind": ["classification"] * count,
        "fingerprint": [json.dumps(prints)] * count,
        "space": ["nasbench201"] * count,
        "architecture": texts,
        "status": ["completed"] * count,
        "cached": [False] * count,
        "metrics": maps,
        "curve": curve,
        "objective": ["accuracy"] * count,
        "goal": ["max"] * count,
        "epochs": [EPOCHS] * count,
        "settings": ["{}"] * count,
        "seconds": [1.0] * count,
        "time_s": [0.0] * count,
    }
    empty = {"string": "", "int64": 0, "int32": 0}
    columns = [known.get(field.name, [empty.get(str(field.type))] * count) for field in SCHEMA]
    return pa.table(
        [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for field, column in zip(SCHEMA, columns, strict=True)
        ],
        schema=SCHEMA,
    )


def timed(case: str, work: Callable[[], Any], told: Callable[[Any], Any]) -> Any:
    """Run it and print how long it took."""
    began = time.monotonic()
    found = work()
    record = {
        "case": case,
        "seconds": round(time.monotonic() - began, 2),
        "found": told(found),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    print(json.dumps(record), flush=True)
    return found


def measure(home: Path) -> None:
    """Fit, describe, use."""
    rows = batches(home, columns=fitting.COLUMNS)
    prior = timed(
        "read and fit",
        lambda: fitting.fit(rows).prior,
        lambda prior: [len(prior.sources), sum(each.trials for each in prior.sources)],
    )
    card = timed(
        "card",
        lambda: card_of(prior, [], known_space),
        lambda card: [each["score"] for each in card["tasks"]][:3],
    )
    prior = replace(prior, card=card)
    timed("picture", lambda: picture(likeness(prior, known_space)), len)
    timed(
        "what a search does with it",
        lambda: prior.on(SPACE(), Objective("accuracy", "", "max")),
        lambda found: found if isinstance(found, str) else len(found.sources),
    )


def main() -> None:
    """Make the rows, then measure in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--measure", metavar="HOME", help="What lies there already.")
    given = parser.parse_args()
    if given.measure:
        measure(Path(given.measure))
        return
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), given.rows, given.tasks)
        subprocess.run([sys.executable, __file__, "--measure", place], check=True)


if __name__ == "__main__":
    main()
