"""Reading a table: a Parquet file with its description in the schema's metadata.

Columns ``choice.<name>`` hold the decisions, ``<task>.<measure>_<unit>`` what was measured.
The metadata key ``metanas.table`` holds a JSON object: `name`; `space`, or null; `choices`,
options in order by column; `tasks`, by name: `metric`, `goal`, and where known `test`,
`low_fidelity` (columns by epochs) and `cost_s`. Nulls are unmeasured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metanas.core.errors import ConfigError, DataError, SpaceError, unknown
from metanas.core.space import Choice
from metanas.tables.packaged import PACKAGED, packaged
from metanas.tables.table import Floats, Table, TableTask

METADATA = b"metanas.table"
PREFIX = "choice."
MOST_OPTIONS = 65_536


def load(name: str) -> Table:
    """The table in a file, or one that comes with an installed package, read and checked.

    Raises:
        ConfigError: If none is named.
        DataError: With one line on the first thing that is wrong.
    """
    if not name:
        raise ConfigError("table.path is empty, expected a table's file and task: t.parquet:TASK")
    if name in PACKAGED:
        return packaged(name)
    try:
        state = os.stat(name)
    except OSError as error:
        what = "" if os.sep in name or "." in name else f"; {unknown(name, PACKAGED)[2:]}"
        raise DataError(f"{name}: {error.strerror}{what}") from None
    return _load(name, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=4)
def _load(path: str, state: tuple[int, int]) -> Table:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not a Parquet file: {reason}") from None
    schema = file.schema_arrow
    about = _description(path, (schema.metadata or {}).get(METADATA))
    choices = _choices(path, about["choices"], schema)
    table = file.read([PREFIX + choice.name for choice in choices])
    if not table.num_rows:
        raise DataError(f"{path}: no rows")
    codes = [_codes(path, choice, table[PREFIX + choice.name]) for choice in choices]
    numbers = [f.name for f in schema if not f.name.startswith(PREFIX) and _is_number(f.type)]
    return Table(
        name=str(about["name"]),
        origin=path,
        space=str(about.get("space") or ""),
        choices=choices,
        codes=np.ascontiguousarray(np.stack(codes, axis=1)),
        tasks=_tasks(path, about["tasks"], numbers),
        columns=tuple(numbers),
        read=lambda column: _column(path, column, state),
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


@lru_cache(maxsize=64)
def _column(path: str, name: str, state: tuple[int, int]) -> Floats:
    column = pq.read_table(path, columns=[name])[name]
    values = np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    values.flags.writeable = False
    return values


def _description(path: str, text: bytes | None) -> Mapping[str, Any]:
    if text is None:
        raise DataError(f"{path}: its schema has no metadata '{METADATA.decode()}': not a table")
    try:
        about = json.loads(text)
        if not isinstance(about, dict):
            raise ValueError("is no object")
        missing = [key for key in ("name", "choices", "tasks") if not about.get(key)]
        if missing:
            raise ValueError(f"no '{missing[0]}'")
        for key in ("choices", "tasks"):
            if not isinstance(about[key], dict):
                raise ValueError(f"'{key}' is no object")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: metadata '{METADATA.decode()}': {error}") from None
    found: Mapping[str, Any] = about
    return found


def _choices(
    path: str, described: Mapping[str, Sequence[Any]], schema: pa.Schema
) -> tuple[Choice, ...]:
    found = []
    for column, options in described.items():
        name = column.removeprefix(PREFIX)
        if PREFIX + name not in schema.names:
            raise DataError(f"{path}: no column '{PREFIX + name}', which its metadata lists")
        if not isinstance(options, list) or len(options) >= MOST_OPTIONS:
            raise DataError(f"{path}: choice '{name}' has no list of fewer than 65,536 options")
        try:
            found.append(Choice(name, tuple(options), _ordered(options)))
        except SpaceError as error:
            raise DataError(f"{path}: {error}") from None
    return tuple(found)


def _ordered(options: Sequence[Any]) -> bool:
    """Whether they are numbers from small to large, or back; also text such as "0.01"."""
    try:
        numbers = np.array([float(option) for option in options])
    except (TypeError, ValueError):
        return False
    steps = np.diff(numbers)
    return bool(np.isfinite(numbers).all() and ((steps > 0).all() or (steps < 0).all()))


def _codes(path: str, choice: Choice, column: pa.ChunkedArray) -> npt.NDArray[np.uint16]:
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            texts = [o if isinstance(o, str) else json.dumps(o) for o in choice.options]
            options: Sequence[Any] = texts
        else:
            options = choice.options
        codes = pc.index_in(column, value_set=pa.array(options).cast(column.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: column '{PREFIX}{choice.name}': {reason}") from None
    if codes.null_count:
        row = codes.is_null().to_pylist().index(True)
        raise DataError(
            f"{path}: row {row} has {column[row].as_py()!r} in '{PREFIX}{choice.name}', "
            f"expected one of {choice.options}"
        )
    found: npt.NDArray[np.uint16] = codes.to_numpy().astype(np.uint16)
    return found


def _tasks(
    path: str, described: Mapping[str, Any], columns: Sequence[str]
) -> Mapping[str, TableTask]:
    tasks = {}
    for name, about in described.items():
        try:
            if not isinstance(about, dict) or not isinstance(about.get("low_fidelity", {}), dict):
                raise ValueError("it, or its 'low_fidelity', is no object")
            goal = about["goal"]
            low = {int(k): str(v) for k, v in (about.get("low_fidelity") or {}).items()}
            test, cost_s = (str(about.get(key) or "") for key in ("test", "cost_s"))
            tasks[name] = TableTask(name, str(about["metric"]), goal, test, low, cost_s)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{path}: task '{name}' in its metadata: {what}") from None
        if goal not in ("max", "min"):
            raise DataError(f"{path}: goal of task '{name}' is {goal!r}, expected max or min")
        for column in filter(None, (about["metric"], test, cost_s, *low.values())):
            if column not in columns:
                raise DataError(
                    f"{path}: no column '{column}' of numbers, which task '{name}' names"
                )
    return tasks
