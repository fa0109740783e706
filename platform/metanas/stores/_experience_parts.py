"""The files of the experience: Parquet parts by task, and a manifest that names those that count.

A reader follows the manifest, so it never sees half a change: parts are written under new
names, and one `os.replace` of the manifest makes them count. Parts that stopped counting
stay for an hour, for whoever still reads them; parts that never counted are what a killed
writer left, and go with the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metanas.stores._experience_manifest import Manifest, Part, Server, write_manifest
from metanas.stores._experience_rows import Row, table_of

ROWS_A_PART = 10_000
SMALL_PART = 5_000
ROWS_A_GROUP = 5_000
KEPT_S = 3_600.0
"""How long a part that has been replaced can still be read."""
UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What Arrow raises at an integer that is too large, or text that is no Unicode."""


def folder_of(task: str) -> str:
    """A directory's name for a task: readable, safe, and different for different tasks."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", task).strip("._-")[:60]
    return f"{readable}-{hashlib.sha256(task.encode()).hexdigest()[:8]}"


class Writer:
    """Collects rows and writes them in parts, which count once `commit` has run.

    Args:
        folder: Of the experience.
        manifest: What counts now.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._rows: dict[str, list[Row]] = {}
        self._parts: list[Part] = []
        self.keys: set[str] = set()
        """Of the rows that were added."""
        self.refused = 0
        """Rows whose values have no place in their columns, left out."""

    def add(self, row: Row) -> bool:
        """Take in a row; False where one of its key was added before."""
        if row["key"] in self.keys:
            return False
        self.keys.add(row["key"])
        rows = self._rows.setdefault(row["task"], [])
        rows.append(row)
        if len(rows) >= ROWS_A_PART:
            self._flush(row["task"])
        return True

    def commit(
        self, removed: Collection[str], servers: Mapping[str, Server], damaged_go: bool = False
    ) -> Manifest:
        """Let the new rows count; a row of a key that was added replaces what was there.

        Args:
            removed: Keys of rows that no longer count.
            servers: How far each has been read.
            damaged_go: Give up files that cannot be read: all that they held was read anew.
        """
        for task in list(self._rows):
            self._flush(task)
        gone = pa.array(sorted({*removed, *self.keys}), pa.string())
        kept = [
            part for old in self._manifest.parts for part in self._without(old, gone, damaged_go)
        ]
        parts = tuple(self._merged([*kept, *self._parts]))
        changed = parts != self._manifest.parts or servers != self._manifest.servers
        files = {part.file for part in parts}
        now = time.time()
        retired = {
            file: since
            for file, since in self._manifest.retired.items()
            if abs(now - since) < KEPT_S
        }
        retired |= {part.file: now for part in self._manifest.parts if part.file not in files}
        manifest = Manifest(parts, servers, retired)
        if changed or retired != self._manifest.retired:
            write_manifest(self._folder, manifest)
        self._sweep({*files, *retired})
        return manifest

    def _flush(self, task: str) -> None:
        rows = self._rows.pop(task, [])
        try:
            table = table_of(rows)
        except UNFIT:
            sound = [row for row in rows if _fits(row)]
            self.refused += len(rows) - len(sound)
            table = table_of(sound)
        if table.num_rows:
            self._parts.append(self._written(task, table))

    def _written(self, task: str, table: Any) -> Part:
        name = f"{folder_of(task)}/{uuid.uuid4().hex}.parquet"
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=ROWS_A_GROUP)
            file.flush()
            os.fsync(file.fileno())
        return Part(name, task, table.num_rows)

    def _without(self, part: Part, gone: Any, damaged_go: bool) -> Iterator[Part]:
        """The part, written anew where rows of it go."""
        if not len(gone) and not damaged_go:
            yield part
            return
        path = self._folder / part.file
        try:
            keys = pq.read_table(path, columns=["key"])["key"]
            kept = pc.invert(pc.is_in(keys, gone))
            left = pc.sum(kept).as_py() or 0
            if left == part.rows:
                yield part
            elif left:
                yield self._written(part.task, pq.read_table(path).filter(kept))
        except (OSError, pa.ArrowException):
            if not damaged_go:
                yield part

    def _merged(self, parts: list[Part]) -> Iterator[Part]:
        """Parts in which each task has one small one at the most."""
        small: dict[str, list[Part]] = {}
        for part in parts:
            if part.rows < SMALL_PART:
                small.setdefault(part.task, []).append(part)
            else:
                yield part
        for task, several in small.items():
            try:
                tables = [pq.read_table(self._folder / part.file) for part in several]
            except (OSError, pa.ArrowException):
                tables = []
            if len(several) == 1 or not tables:
                yield from several
            else:
                yield self._written(task, pa.concat_tables(tables))

    def _sweep(self, known: Collection[str]) -> None:
        """Remove parts that do not count, and never will."""
        for path in self._folder.glob("*/*.parquet"):
            if str(path.relative_to(self._folder)) not in known:
                path.unlink(missing_ok=True)
        for path in self._folder.iterdir():
            if path.is_dir():
                with contextlib.suppress(OSError):  # not empty
                    path.rmdir()


def _fits(row: Row) -> bool:
    try:
        table_of([row])
    except UNFIT:
        return False
    return True


def part_table(folder: Path, part: Part, columns: list[str]) -> Any:
    """Some columns of a part; None where the file cannot be read."""
    try:
        return pq.read_table(folder / part.file, columns=columns)
    except (OSError, pa.ArrowException):
        return None
