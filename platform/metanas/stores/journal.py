"""Journals: the events of a search as lines of JSON, true while it runs.

A line is handed to the operating system before `append` returns, so it outlives a killed
process; it is forced to the disk once a second and on closing, so that a machine that
loses its power loses a second at the most. A last line that was cut in the middle is
mended; any other wrong line is named. The lock on a journal dies with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from metanas.core.errors import HomeError, JournalError

SYNC_INTERVAL_S = 1.0


class MemoryJournal:
    """A journal that is gone with its process: for tests and simulations."""

    def __init__(self) -> None:
        self._events: list[Mapping[str, Any]] = []

    def events(self) -> Sequence[Mapping[str, Any]]:
        """Everything appended so far."""
        return list(self._events)

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event, as it would come back from a file."""
        self._events.append(json.loads(_line(event)))


class FileJournal:
    """A journal in a file that this process alone may write; close it or use ``with``.

    Raises:
        HomeError: If the file cannot be opened, or another process has it.
        JournalError: If it holds a line that is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open(path, "ab+")  # noqa: SIM115 - lives as long as the journal
        except OSError as error:
            raise HomeError(f"cannot write {path}: {error.strerror}") from None
        self._lock()
        self._events, end = _parse(self._contents(), path)
        if end < self._file.seek(0, os.SEEK_END):
            self._file.truncate(end)
        self._synced = time.monotonic()

    def events(self) -> Sequence[Mapping[str, Any]]:
        """Everything appended so far, by earlier processes too."""
        return list(self._events)

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event; it survives the death of this process once this returns."""
        line = _line(event)
        self._file.write(line.encode())
        self._file.flush()
        self._events.append(event)
        now = time.monotonic()
        if now - self._synced > SYNC_INTERVAL_S:
            os.fsync(self._file.fileno())
            self._synced = now

    def close(self) -> None:
        """Force everything to the disk and release the lock."""
        if not self._file.closed:
            with contextlib.suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise HomeError(
                f"search '{self.path.parent.name}' is running in another process"
            ) from None

    def _contents(self) -> bytes:
        self._file.seek(0)
        return self._file.read()


def read_events(path: Path) -> list[Mapping[str, Any]]:
    """The events in a journal's file, without locking or mending it.

    Raises:
        HomeError: If the file cannot be read.
        JournalError: If it holds a line that is no JSON object.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror}") from None
    return _parse(contents, path)[0]


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"), allow_nan=False) + "\n"


def _parse(contents: bytes, path: Path) -> tuple[list[Mapping[str, Any]], int]:
    """The events, and the length of what is whole: a last line without its end is left out."""
    events: list[Mapping[str, Any]] = []
    end = contents.rfind(b"\n") + 1
    for number, line in enumerate(contents[:end].splitlines(), start=1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            shown = line[:60].decode(errors="replace")
            raise JournalError(f"{path}:{number}: no event of a search: {shown!r}")
        events.append(event)
    return events, end
