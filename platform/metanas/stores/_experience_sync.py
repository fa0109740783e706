"""Bringing the experience up to date with a tracking server, reading no more than is new.

A search's parent run says how many of its trials have ended. Trials that ended since the
last sync are read by their time; where fewer are here than the parent run says (they were
sent late, or a clock was wrong, or a run was restored) that one search is read whole. A
finished trial does not change, so what is here is not read again, unless its parent run's
facts have changed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metanas.core.errors import HomeError
from metanas.stores._experience_manifest import (
    FOLDER,
    Manifest,
    Seen,
    Server,
    locked,
    read_or_begin,
)
from metanas.stores._experience_parts import Writer, part_table
from metanas.stores._experience_reader import Origin, Reader
from metanas.stores._experience_rows import OURS, text_of
from metanas.stores._experience_runs import (
    Parent,
    key_of,
    parent_from,
    parent_of,
    row_of_run,
    told,
)

OVERLAP_MS = 60_000
TOLD_EVERY = 5_000
MOST_FAILURES = 3
"""After so many artifacts in a row that cannot be fetched no more are asked for."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Synced:
    """What a sync did.

    Args:
        new: Rows that were not there before, or have changed.
        removed: Rows that went, with their runs.
        broken: Runs that could not be read, by reason.
        rows: How many there are now, of all servers.
        seconds: It took.
    """

    new: int
    removed: int
    broken: Mapping[str, int]
    rows: int
    seconds: float


@dataclass
class Held:
    """What the files that count hold.

    Args:
        keys: Of all rows.
        trials: Of one server, by parent run: keys by run.
        imported: Of one server, of runs that metanas did not write: keys by run.
        origins: Of those, by key.
        unreadable: Rows in files that cannot be read.
    """

    keys: set[str] = field(default_factory=set)
    trials: dict[str, dict[str, str]] = field(default_factory=dict)
    imported: dict[str, list[str]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0

    @classmethod
    def read(cls, folder: Path, manifest: Manifest, server: str) -> Held:
        """Read the columns that tell."""
        found = cls()
        columns = ["key", "tracking", "run_id", "parent_run", "origin"]
        for part in manifest.parts:
            table = part_table(folder, part, columns)
            if table is None:
                found.unreadable += part.rows
                continue
            for row in zip(*(table[name].to_pylist() for name in columns), strict=True):
                found._add(server, *row)
        return found

    def _add(
        self, server: str, key: str, tracking: str, run: str, parent: str, origin: str
    ) -> None:
        self.keys.add(key)
        if tracking == server and origin == OURS:
            self.trials.setdefault(parent, {})[run] = key
        elif tracking == server:
            self.imported.setdefault(run, []).append(key)
            self.origins[key] = origin


def sync(home: Path, origin: Origin, *, full: bool = False, say: Say = lambda _: None) -> Synced:
    """Bring the experience up to date with a tracking server.

    Args:
        home: The home folder of metanas.
        origin: The server.
        full: Read everything again: what was edited in MLflow, or removed for good, too.
        say: Told what a person should know.

    Raises:
        HomeError: If the server does not answer or the folder cannot be written; what was
            there stays as it was.
    """
    began = time.monotonic()
    folder = home / FOLDER
    with locked(folder, say):
        manifest, anew = read_or_begin(folder, say)
        held = Held.read(folder, manifest, origin.name)
        if held.unreadable:
            say(f"{held.unreadable} rows lie in damaged files: all trials are read anew")
        reader = Reader(origin, home)
        whole = full or anew or held.unreadable > 0
        writer = Writer(folder, manifest)
        return _Sync(reader, writer, manifest, held, whole, say).run(began)


class _Sync:
    """One sync under its lock."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        manifest: Manifest,
        held: Held,
        full: bool,
        say: Say,
    ) -> None:
        self.reader, self.writer, self.manifest, self.held = reader, writer, manifest, held
        self.full, self.say = full, say
        known = manifest.servers.get(reader.origin.name, Server())
        self.server = Server() if full else known
        self.latest_ms = self.server.watermark_ms
        self.parents: dict[str, Parent] = {}
        self.broken: dict[str, str] = {}
        self.late: set[str] = set()
        """Searches of which something could not be fetched now."""
        self.failures = 0

    def run(self, began: float) -> Synced:
        """Read, then let it count."""
        self.parents = {run.info.run_id: parent_from(run) for run in self.reader.parents()}
        deleted = self.reader.deleted()
        counts = Counter(parent_of(run) for run in deleted or ())
        seen = {
            run: Seen(parent.trials, -1 if deleted is None else counts[run], text_of(parent.facts))
            for run, parent in self.parents.items()
        }
        removed = self._removed(deleted)
        self.held.keys -= removed
        changed = {run for run in seen if seen[run] != self.server.searches.get(run)}
        since = self.server.watermark_ms - OVERLAP_MS
        stale = self._stale(seen)
        for child in self.reader.children(max(0, since)):
            if self.full or parent_of(child) not in stale:
                self._take(child, self.full)
        for run in sorted(self._lacking(changed) | (set() if self.full else stale)):
            for child in self.reader.children_of(run):
                self._take(child, run in stale)
        return self._commit(removed, seen, began)

    def _stale(self, seen: Mapping[str, Seen]) -> set[str]:
        """Searches whose rows say what their parent runs no longer do."""
        before = self.server.searches
        return {run for run in seen if run in before and before[run].facts != seen[run].facts}

    def _lacking(self, changed: set[str]) -> set[str]:
        """Those of which fewer trials are here than have ended."""
        if not changed:
            return set()
        here = Counter(key.rpartition("/")[0] for key in self.held.keys | self.writer.keys)
        return {
            run for run in changed if here[self.parents[run].search_id] < self.parents[run].trials
        }

    def _removed(self, deleted: list[Any] | None) -> set[str]:
        """Keys of rows whose runs, or whose searches, are no longer there."""
        held = self.held
        trials = {run: key for of in held.trials.values() for run, key in of.items()}
        if self.full:
            left = self.reader.among(held.imported, "active")
            gone = {key for run, keys in held.imported.items() if run not in left for key in keys}
            return gone | set(trials.values())
        if deleted is None:
            ids = self.reader.among(trials, "deleted")
        else:
            ids = {run.info.run_id for run in deleted}
        removed = {key for run, key in trials.items() if run in ids}
        for parent, of in held.trials.items():
            if parent not in self.parents:
                removed |= set(of.values())
        for run in self.reader.among(held.imported, "deleted"):
            removed |= set(held.imported[run])
        return removed

    def _take(self, run: Any, again: bool) -> None:
        """Turn a run into a row, where there is none yet or it is wanted again."""
        self.latest_ms = max(self.latest_ms, run.info.end_time or 0)
        parent = self.parents.get(parent_of(run))
        if parent is None or not told(run) or run.info.run_id in self.broken:
            return
        key = key_of(run)
        if key in self.writer.keys or (key in self.held.keys and not again):
            return
        try:
            self.writer.add(row_of_run(run, parent, self.reader, self._fetch))
            if len(self.writer.keys) % TOLD_EVERY == 0:
                self.say(f"{len(self.writer.keys)} trials read so far")
        except HomeError:
            self.broken[run.info.run_id] = "its artifact could not be fetched"
            self.late.add(parent.run_id)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.broken[run.info.run_id] = _reason(error)

    def _fetch(self, run: str, name: str) -> str:
        if self.failures >= MOST_FAILURES:
            raise HomeError("artifacts cannot be fetched")
        self.failures += 1
        text = self.reader.artifact(run, name)
        self.failures = 0
        return text

    def _commit(self, removed: set[str], seen: Mapping[str, Seen], began: float) -> Synced:
        late = {key for run in self.late for key in self.held.trials.get(run, {}).values()}
        removed -= late - self.writer.keys
        searches = {run: each for run, each in seen.items() if run not in self.late}
        watermark = min(self.latest_ms, int(1000 * time.time()))
        server = Server(max(watermark, self.server.watermark_ms), searches)
        servers = {**self.manifest.servers, self.reader.origin.name: server}
        after = self.writer.commit(removed, servers, damaged_go=self.full)
        broken = Counter(self.broken.values())
        if self.writer.refused:
            broken["a number or text has no place in its column"] = self.writer.refused
        rows = sum(part.rows for part in after.parts)
        new = len(self.writer.keys) - self.writer.refused
        gone = len(removed - self.writer.keys)
        return Synced(new, gone, dict(broken), rows, time.monotonic() - began)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    return f"lacks {text}" if isinstance(error, KeyError) else text or type(error).__name__
