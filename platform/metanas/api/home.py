"""The home folder: where searches and their journals lie, and whose name is whose."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metanas.api.config import NAME, SearchConfig, config_of
from metanas.core.errors import HomeError, JournalError, MetanasError, unknown

JOURNAL = "journal.jsonl"
LOG = "log.txt"
WEIGHTS = "winner.safetensors"


def home_folder(given: str | None = None) -> Path:
    """The home folder of metanas: as given, METANAS_HOME, or ``~/.metanas``; made if need be.

    Raises:
        HomeError: If it cannot be made or written.
    """
    wanted = given or os.environ.get("METANAS_HOME") or "~/.metanas"
    try:
        home = Path(wanted).expanduser().absolute()
    except RuntimeError:  # a user without a home directory, as in many containers
        raise HomeError(f"home {wanted}: there is no '~' here, set METANAS_HOME") from None
    try:
        (home / "searches").mkdir(parents=True, exist_ok=True)
        probe = home / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HomeError(f"home {home} cannot be written: {error.strerror}") from None
    return home


def claim(config: SearchConfig, home: Path) -> tuple[str, Path]:
    """Make the search's folder, which no two searches can; a derived name counts up.

    Raises:
        HomeError: If a search has the name already.
    """
    root = home / "searches"
    if config.name:
        folder = root / config.name
        folder.mkdir(exist_ok=True)
        path = folder / JOURNAL
        # A folder without a first event is what a kill in the first instant leaves.
        if path.exists() and path.stat().st_size:
            raise HomeError(
                f"a search '{config.name}' exists already: `metanas resume {config.name}` goes "
                "on with it, or choose another --name"
            )
        return config.name, folder
    stem = f"{config.task_name()}-{_stem(config.space)}-{_stem(config.strategy)}-{config.seed}"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:90]
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        try:
            (root / name).mkdir()
        except FileExistsError:
            number += 1
            continue
        return name, root / name


def _stem(name: str) -> str:
    return name.rpartition(":")[2]


def existing(name: str, home: Path) -> Path:
    """The folder of a search that is there.

    Raises:
        HomeError: If there is none of that name.
    """
    folder = home / "searches" / name
    if not NAME.fullmatch(name) or not (folder / JOURNAL).is_file():
        names = [path.parent.name for path in (home / "searches").glob(f"*/{JOURNAL}")]
        raise HomeError(f"no search '{name}' in {home}{unknown(name, names)}")
    return folder


def searches(home: Path) -> list[tuple[str, str]]:
    """The searches of a home folder: their names, and what each is about, newest first."""
    from metanas.stores.journal import read_events

    found = []
    paths = (home / "searches").glob(f"*/{JOURNAL}")
    for path in sorted(paths, key=_changed_s, reverse=True):
        try:
            events = read_events(path)
            config = config_of(events, path)
        except MetanasError as error:
            found.append((path.parent.name, str(error)))
            continue
        done = sum(event.get("event") == "finished" for event in events)
        aims = [config.trials, *(e.get("trials", 0) for e in events if e.get("event") == "attempt")]
        about = f"{config.task_name()}, {config.space}, {config.strategy}"
        found.append((path.parent.name, f"{about}: {done} of {max(aims)} trials"))
    return found


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # a search that has just removed itself
        return 0.0


def span(events: Sequence[Mapping[str, Any]]) -> float:
    """Seconds in which a search ran: from each attempt's begin to its last event."""
    spans, began, last = 0.0, None, 0.0
    for event in events:
        if event.get("event") == "attempt":
            spans += 0.0 if began is None else last - began
            began = float(event["time_s"])
        last = float(event.get("time_s", last))
    return spans + (0.0 if began is None else last - began)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file a wrong event is in."""
    try:
        yield
    except JournalError as error:
        text = str(error)
        raise JournalError(text if str(path) in text else f"{path}: {text}") from None


def keep(path: Path, content: bytes) -> str:
    """Write a file whole or not at all; its SHA-256."""
    part = path.with_name(f"{path.name}.part")
    with open(part, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return hashlib.sha256(content).hexdigest()
