"""A benchmark table as a task: what was measured stands in for training."""

from __future__ import annotations

import hashlib
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from metanas.core.errors import ConfigError
from metanas.core.space import Values
from metanas.core.task import Recorded, Task
from metanas.tables import Table, TableTask, load, measured_rows, objective_of
from metanas.tables.table import COSTS, Floats


def table(*, path: str = "", target: str = "", measure: str = "") -> Task:
    """One task of a table.

    Beside what is searched on, columns counted in seconds, joules or millions are metrics of
    a trial where every row has them, so that they can be objectives. The winner's
    test value is read where the table has one for the task's own metric.

    Args:
        path: Of the file, or the name of a table that an installed package carries.
        target: The task.
        measure: A column to search on in place of the task's metric.

    Raises:
        ConfigError: If no table is named.
        DataError: If there is no such table, task or column.
    """
    found = load(path)
    about = found.task(target)
    column = found.measure(about, measure)
    rows = measured_rows(found, column)
    named = [column, *_costs(found, about, column, rows)]
    metrics = {objective_of(name, about): found.read(name) for name in named}
    deciding = next(iter(metrics))
    tested = about.test if column == about.metric else ""
    cost = found.read(about.cost_s) if about.cost_s else None

    digest = hashlib.sha256(found.codes.tobytes() + found.read(column).tobytes())

    def recorded(values: Values, final: bool) -> Recorded | None:
        row = found.row(values)
        if row is None or not np.isfinite(metrics[deciding][row]):
            return None
        test = {deciding: found.read(tested)} if tested else {}
        taken = test if final else metrics
        numbers = {o.name: float(read[row]) for o, read in taken.items() if np.isfinite(read[row])}
        known = cost is not None and np.isfinite(cost[row]) and cost[row] >= 0
        return Recorded(numbers, float(cost[row]) if cost is not None and known else None)

    return Task(
        name=f"{found.name}-{target}",
        kind="table",
        shape=(),
        outputs=0,
        load=_no_rows,
        loss=_no_rows,
        score=_no_rows,
        metrics=tuple(metrics),
        facts={"rows": len(rows), "table": path, "column": column, "digest": digest.hexdigest()},
        recorded=recorded,
    )


def _costs(found: Table, task: TableTask, column: str, rows: npt.NDArray[np.intp]) -> list[str]:
    def complete(values: Floats) -> bool:
        return bool(np.isfinite(values[rows]).all())

    prefix, taken = f"{task.name}.", {column, f"{task.name}.{column}"}
    names = [name for name in found.columns if name.startswith(prefix) and name not in taken]
    return [n for n in names if n.rpartition("_")[2] in COSTS and complete(found.read(n))]


def _no_rows(*_: object) -> NoReturn:
    raise ConfigError("a table has no images to train on; use --estimator table")


TASK = table
