"""A Parquet file of encoded images: columns `image`, `label` and, if there is one, `split`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import ConfigError, DataError
from metanas.core.task import Task
from metanas.tasks.classification import Rows, classification

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

LARGEST_SIDE = 64
GREY_MODES = ("1", "L", "I", "I;16", "F")


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
    if not path:
        raise ConfigError("task 'parquet' reads a file: give the file's path as TASK")
    if size < 0:
        raise ConfigError(f"parquet.size is {size}, expected at least 0")
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
            raise DataError(
                f"{path}: no column '{column}', needed for classification; "
                f"found: {', '.join(table.column_names)}"
            )
        if table[column].null_count:
            row = numbers[table[column].is_null().to_pylist().index(True)]
            raise DataError(f"{path}: row {row} has no {column}")
    images = _decoded(table, numbers, path, size)
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


def _decoded(
    table: pa.Table, numbers: npt.NDArray[np.intp], path: str, size: int
) -> npt.NDArray[np.uint8]:
    """All images as one array ``[n, channels, height, width]``; one at a time is decoded."""
    headers = [
        _opened(encoded, _place(table, numbers, path, row), load=False)
        for row, encoded in enumerate(table["image"].to_pylist())
    ]
    mode = "L" if all(picture.mode in GREY_MODES for picture in headers) else "RGB"
    sides = _sides([picture.size for picture in headers], size)
    stack = np.stack(
        [
            _brought(_opened(encoded, _place(table, numbers, path, row), load=True), mode, sides)
            for row, encoded in enumerate(table["image"].to_pylist())
        ]
    )
    return stack[:, None] if mode == "L" else np.ascontiguousarray(stack.transpose(0, 3, 1, 2))


def _place(table: pa.Table, numbers: npt.NDArray[np.intp], path: str, row: int) -> str:
    label = f" ({table['path'][row]})" if "path" in table.column_names else ""
    return f"{path}: image of row {numbers[row]}{label}"


def _opened(encoded: Any, place: str, *, load: bool) -> Image.Image:
    """The picture, its pixels decoded or its header read."""
    from PIL import Image, UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    data: Any = encoded.get("bytes") if isinstance(encoded, dict) else encoded
    try:
        picture: Image.Image = Image.open(io.BytesIO(data))
        if load:
            picture.load()
    except UnidentifiedImageError:
        raise DataError(f"{place} cannot be decoded: it is in no known image format") from None
    except (OSError, SyntaxError, ValueError, TypeError, DecompressionBombError) as error:
        raise DataError(f"{place} cannot be decoded: {error}") from None
    return picture


def _sides(sizes: Sequence[tuple[int, int]], size: int) -> tuple[int, int]:
    """Width and height to which all images are brought."""
    width, height = (float(side) for side in np.median(np.array(sizes), axis=0))
    longer = size or min(LARGEST_SIDE, max(width, height))
    factor = longer / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _brought(picture: Any, mode: str, sides: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if picture.mode in ("I", "I;16", "F"):  # 16 bits or more: scaled to 8 by the largest value
        values = np.asarray(picture, dtype=np.float64)
        from PIL import Image

        picture = Image.fromarray((values * (255 / max(values.max(), 1))).astype(np.uint8))
    converted = picture.convert(mode)
    if converted.size != sides:
        converted = converted.resize(sides)
    return np.asarray(converted, dtype=np.uint8)


TASK = parquet
READS = (".parquet", ".pq")
