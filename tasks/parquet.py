"""A Parquet file of encoded images: columns `image`, `label` and, if there is one, `split`."""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from metanas.core.errors import DataError
from metanas.core.task import Task
from metanas.tasks._images import Encoded, check_options, decoded
from metanas.tasks.classification import Rows, classification

if TYPE_CHECKING:
    import pyarrow as pa


NAMED = 20
"""So many columns are named in a message."""


def parquet(*, path: str = "", where: str = "", size: int = 0) -> Task:
    """The task that a file describes.

    Args:
        path: Of the file.
        where: ``column=value`` to keep these rows only; "" for all.
        size: Pixels of the longer side to which all images are brought; 0 for the
            median side of the file, at most 64.

    Raises:
        ConfigError: If `size` is negative.
        DataError: If the file cannot be read, lacks a column, or holds an image that
            cannot be decoded (its row is named).
    """
    check_options("parquet", "file", path, size)
    try:
        state = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return _read(path, where, size, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=4)
def _read(path: str, where: str, size: int, state: tuple[int, int]) -> Task:
    table, numbers = _table(path, where)
    for column in ("image", "label"):
        if column not in table.column_names:
            if b"metanas.table" in (table.schema.metadata or {}):
                raise DataError(f"{path} is a table of results: name its task, {path}:TASK")
            names = table.column_names
            more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise DataError(
                f"{path}: no column '{column}', needed for classification; "
                f"found: {', '.join(names[:NAMED])}{more}"
            )
        if table[column].null_count:
            row = numbers[table[column].is_null().to_pylist().index(True)]
            raise DataError(f"{path}: row {row} has no {column}")
    images = decoded(_encoded(table, numbers, path), size)
    labels = table["label"].to_numpy()
    split = table["split"].to_numpy() if "split" in table.column_names else None
    name = Path(path).stem + (f"-{where.partition('=')[2]}" if where else "")
    return classification(name, Rows(images, labels, split), where=path)


def _table(path: str, where: str) -> tuple[pa.Table, npt.NDArray[np.intp]]:
    """The rows that are wanted, and the number of each in the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{path}: not a Parquet file: {str(error).splitlines()[0]}") from None
    kept = _kept(table, path, where) if where else np.ones(len(table), dtype=bool)
    if not len(table):
        raise DataError(f"{path}: no rows")
    return (table.filter(kept) if where else table), np.flatnonzero(kept)


def _kept(table: pa.Table, path: str, where: str) -> npt.NDArray[np.bool_]:
    """For each row of the table, whether its column has the value that ``column=value`` names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column, _, value = where.partition("=")
    if column not in table.column_names:
        found = ", ".join(table.column_names)
        raise DataError(f"{path}: --where names column '{column}'; found: {found}")
    try:
        values = pc.cast(table[column], pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        kind = table[column].type
        raise DataError(
            f"{path}: --where names column '{column}', which holds {kind}, expected text or numbers"
        ) from None
    kept: npt.NDArray[np.bool_] = pc.fill_null(pc.equal(values, value), False).to_numpy()
    if not kept.any():
        known = sorted({str(v) for v in values.unique().to_pylist()})[:20]
        raise DataError(f"{path}: no row where {where}; '{column}' has: {', '.join(known)}")
    return kept


def _encoded(table: pa.Table, numbers: npt.NDArray[np.intp], path: str) -> Encoded:
    images = table["image"]

    def stream(row: int) -> BinaryIO:
        value: Any = images[row].as_py()
        data: Any = value.get("bytes") if isinstance(value, dict) else value
        return io.BytesIO(data)

    def place(row: int) -> str:
        label = f" ({table['path'][row]})" if "path" in table.column_names else ""
        return f"{path}: image of row {numbers[row]}{label}"

    return Encoded(len(table), stream, place)


TASK = parquet
READS = (".parquet", ".pq")
