"""Experience: all finished trials, read from MLflow into Parquet files that are fast to read.

It is a cache: `sync` brings it up to date, and a full one makes anew what it holds of a
tracking server; what came from another server stays. One row is one trial, whatever its
status, however often it was sent and wherever to. A trial that was answered from an
earlier one of its search is a row too, marked ``cached``, so that rows can be counted
against what MLflow counts; reading leaves it out unless asked, as nothing was measured.

What is read back is checked once, here: a broken row is counted and left out, and never
ends what is being done with the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from metanas.core.errors import ConfigError, unknown
from metanas.stores._experience_import import Imported, import_runs
from metanas.stores._experience_manifest import FOLDER, Part, read_manifest
from metanas.stores._experience_mapping import Mapped, read_mapping
from metanas.stores._experience_reader import Origin
from metanas.stores._experience_rows import (
    COLUMNS,
    METRICS,
    SCHEMA,
    SCHEMA_VERSION,
    VERSION_KEY,
    row_of,
    sound,
    table_of,
)
from metanas.stores._experience_sync import Synced, sync
from metanas.stores._experience_values import known_space

__all__ = [
    "COLUMNS",
    "METRICS",
    "SCHEMA",
    "Imported",
    "Mapped",
    "Origin",
    "Synced",
    "batches",
    "census",
    "import_runs",
    "known_space",
    "read_mapping",
    "row_of",
    "rows",
    "sync",
    "table_of",
    "tasks",
]

ROWS_A_BATCH = 4_096
Say = Callable[[str], None]


def rows(
    home: Path,
    tasks: Collection[str] | None = None,
    exclude: Collection[str] = (),
    *,
    columns: Sequence[str] | None = None,
    where: Any = None,
    cached: bool = False,
    say: Say = lambda _: None,
) -> Any:
    """All rows that are asked for as one Arrow table; see `batches`."""
    found = batches(home, tasks, exclude, columns=columns, where=where, cached=cached, say=say)
    schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
    return pa.Table.from_batches(list(found), schema.remove_metadata())


def batches(
    home: Path,
    tasks: Collection[str] | None = None,
    exclude: Collection[str] = (),
    *,
    columns: Sequence[str] | None = None,
    where: Any = None,
    cached: bool = False,
    say: Say = lambda _: None,
) -> Iterator[Any]:
    """Rows, a few thousand at a time: memory does not grow with how many there are.

    Args:
        home: The home folder of metanas.
        tasks: Only these; None for all.
        exclude: Not these.
        columns: Of `COLUMNS`; None for all. What is not asked for is neither read nor checked.
        where: A pyarrow expression that rows must satisfy, applied while reading.
        cached: Also trials that were answered from earlier ones.
        say: Told, in one line at the end, of rows that were left out because they are broken.

    Yields:
        Arrow record batches with the columns asked for, in their order.

    Raises:
        ConfigError: If there is no such column.
    """
    wanted = list(COLUMNS if columns is None else columns)
    for name in wanted:
        if name not in COLUMNS:
            raise ConfigError(f"no column '{name}' in the experience{unknown(name, COLUMNS)}")
    # The text is validated here, the rest lazily.
    condition = None if cached else ~pc.field("cached")
    if where is not None:
        condition = where if condition is None else condition & where
    return _read(home / FOLDER, tasks, exclude, wanted, condition, say)


def _read(
    folder: Path,
    tasks: Collection[str] | None,
    exclude: Collection[str],
    columns: list[str],
    condition: Any,
    say: Say,
) -> Iterator[Any]:
    broken: Counter[str] = Counter()
    manifest = read_manifest(folder)
    if manifest is None:
        broken["the experience is damaged or of another version"] += 1
    for part in () if manifest is None else manifest.parts:
        if (tasks is None or part.task in tasks) and part.task not in exclude:
            yield from _read_part(folder, part, columns, condition, broken)
    if broken:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(broken.items()))
        say(f"experience left out: {reasons}; `metanas experience sync --full` reads anew")


def _read_part(
    folder: Path, part: Part, columns: list[str], condition: Any, broken: Counter[str]
) -> Iterator[Any]:
    done = 0
    try:
        data = ds.dataset(folder / part.file, format="parquet")
        version = (data.schema.metadata or {}).get(VERSION_KEY, b"").decode(errors="replace")
        if version != str(SCHEMA_VERSION):
            broken["rows of another version"] += part.rows
            return
        for batch in data.to_batches(
            columns=columns,
            filter=condition,
            batch_size=ROWS_A_BATCH,
            batch_readahead=1,
            fragment_readahead=1,
        ):
            good = sound(batch)
            done += batch.num_rows
            if bad := batch.num_rows - (pc.sum(good).as_py() or 0):
                broken["broken rows"] += bad
                batch = batch.filter(good)
            if batch.num_rows:
                yield batch.replace_schema_metadata(None)
    except (OSError, pa.ArrowException):
        broken["rows in damaged files"] += max(0, part.rows - done)


def tasks(home: Path) -> set[str]:
    """The tasks of which there are rows."""
    manifest = read_manifest(home / FOLDER)
    return set() if manifest is None else {part.task for part in manifest.parts}


def census(home: Path, say: Say = lambda _: None) -> list[dict[str, Any]]:
    """How many rows there are by task, space and origin, the most first.

    Returns:
        Objects with ``task``, ``kind``, ``space``, ``origin``, ``tracking``, ``trials``,
        ``failed``, ``cached`` and ``searches``; trials counts all of them.
    """
    about = ("task", "kind", "space", "origin", "tracking")
    counts: dict[tuple[str, ...], Counter[str]] = {}
    searches: dict[tuple[str, ...], set[str]] = {}
    columns = [*about, "status", "cached", "search_id"]
    for batch in batches(home, columns=columns, cached=True, say=say):
        for *names, status, cached, search in zip(
            *(batch.column(name).to_pylist() for name in columns), strict=True
        ):
            key = tuple(names)
            found = counts.setdefault(key, Counter())
            found["trials"] += 1
            found["failed"] += status not in ("completed", "stopped")
            found["cached"] += bool(cached)
            searches.setdefault(key, set()).add(search)
    described = [
        dict(zip(about, key, strict=True))
        | {name: found[name] for name in ("trials", "failed", "cached")}
        | {"searches": len(searches[key] - {""})}
        for key, found in counts.items()
    ]
    return sorted(described, key=lambda each: (-each["trials"], each["task"], each["space"]))
