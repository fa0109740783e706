"""The manifest of the experience: which files count, and how far each server has been read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from metanas.core.errors import HomeError
from metanas.stores._experience_rows import SCHEMA_VERSION

FOLDER = "experience"
MANIFEST = "manifest.json"
LOCK = "lock"


@dataclass(frozen=True)
class Part:
    """One Parquet file: rows of one task."""

    file: str
    task: str
    rows: int


@dataclass(frozen=True)
class Seen:
    """How a search stood when it was read: where that has not changed, nothing is new.

    Args:
        trials: How many have ended.
        deleted: How many of their runs were deleted; -1 where nobody counted.
        facts: What its parent run says of all of them, as JSON.
    """

    trials: int
    deleted: int
    facts: str


@dataclass(frozen=True)
class Server:
    """How far one tracking server has been read.

    Args:
        watermark_ms: Trials that ended before are here.
        searches: By parent run.
    """

    watermark_ms: int = 0
    searches: Mapping[str, Seen] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Which files count, and how far each server has been read.

    Args:
        parts: The files that count.
        servers: By name.
        retired: Files that no longer count, and since when.
    """

    parts: tuple[Part, ...] = ()
    servers: Mapping[str, Server] = field(default_factory=dict)
    retired: Mapping[str, float] = field(default_factory=dict)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest; an empty one where nothing was stored yet.

    Returns:
        None where there is one that this version cannot read.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Manifest()
    except (OSError, UnicodeDecodeError):
        return None
    try:
        found = json.loads(text)
        if found["schema"] != SCHEMA_VERSION:
            return None
        return Manifest(
            tuple(Part(str(p["file"]), str(p["task"]), int(p["rows"])) for p in found["parts"]),
            {str(name): _server(each) for name, each in found["servers"].items()},
            {str(file): float(since) for file, since in found["retired"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def read_or_begin(folder: Path, say: Callable[[str], None]) -> tuple[Manifest, bool]:
    """The manifest, and whether it had to be begun anew because it cannot be read."""
    found = read_manifest(folder)
    if found is None:
        say(f"{folder} is damaged or of another version: trials are read anew, import again")
    return found or Manifest(), found is None


def _server(found: Mapping[str, Any]) -> Server:
    searches = {str(run): Seen(**seen) for run, seen in found["searches"].items()}
    return Server(int(found["watermark_ms"]), searches)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make a manifest the one that counts, whole or not at all."""
    part = folder / f"{MANIFEST}.part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump({"schema": SCHEMA_VERSION, **asdict(manifest)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / MANIFEST)


@contextlib.contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One process at a time changes the files; the lock dies with its process.

    Raises:
        HomeError: If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "w")  # noqa: SIM115 - held as long as the lock
    except OSError as error:
        raise HomeError(f"cannot write {folder}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is changing the experience; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
