"""The process that brings one search's files to MLflow: ``python -m metanas.trackers._follow``.

It ends when its standard input does and everything is sent (0), or the server stays away
(3), or refuses what the search left beside its journal (4). Standard input ends with the
process that started it, however that one ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metanas.trackers._address import public, without_secrets
from metanas.trackers._projection import Projection
from metanas.trackers.mlflow import AWAY_SECONDS, PROGRESS_FILE, STATE_FILE, tracking_uri

POLL_S = 0.3
MOST_EVENTS = 400
LONGEST_PAUSE_S = 5.0
LONGEST_REASON = 160


class Tail:
    """Whole lines of a growing file that have not been read yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def read(self) -> list[dict[str, Any]]:
        """Some of the new lines, in order; no JSON object is passed over."""
        if not self.path.exists():
            return []
        events: list[dict[str, Any]] = []
        with open(self.path, "rb") as file:
            if self.offset > os.fstat(file.fileno()).st_size:  # begun anew
                self.offset = 0
            file.seek(self.offset)
            while len(events) < MOST_EVENTS and (line := file.readline()).endswith(b"\n"):
                self.offset += len(line)
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict):
                        events.append(event)
        return events


class Follower:
    """Reads events and sends them; what could not be sent is kept and tried again."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.journal = Tail(folder / "journal.jsonl")
        self.progress = Tail(folder / PROGRESS_FILE)
        self.waiting: list[dict[str, Any]] = []
        self.sent_offset = 0
        self.projection: Projection | None = None
        self.error = ""
        self.delivered = False

    def step(self) -> bool:
        """Send what is new; whether there was anything.

        Raises:
            Exception: Whatever MLflow raises; the events wait.
        """
        if not self.waiting:
            # The journal first: a trial has then begun before its epochs arrive.
            self.waiting = self.journal.read() + self.progress.read()
        if not self.waiting:
            return False
        if self.projection is None:
            self.projection = self._opened()
        self.projection.send(self.waiting)
        self.waiting = []
        self.sent_offset = self.journal.offset
        self.error = ""
        self.note()
        return True

    def deliver(self) -> bool:
        """Once the search is over: what lies beside its journal; whether it is there now.

        Tried once: a server that took the trials and refuses this would go on to refuse it.
        What is left is for the next follower, which finds the journal sent.
        """
        try:
            if self.projection is None:
                self.projection = self._opened()
            self.projection.deliver(self.folder)
            self.delivered = True
        except Exception as error:  # noqa: BLE001 - the search is over, and its history is sent
            self.failed(error)
        self.note()
        return self.delivered

    def failed(self, error: Exception) -> None:
        """Keep what an error says, for the search to show, and all of it for the log."""
        uri = tracking_uri(self.home)
        text = "".join(traceback.format_exception(error))
        print(without_secrets(text, uri), file=sys.stderr, flush=True)
        # Cut last: half a password would not be known for one.
        reason = " ".join(without_secrets(str(error), uri).split())[:LONGEST_REASON]
        self.error = f"{type(error).__name__}: {reason}"

    def rewind(self) -> None:
        """Start again from the files' beginning: a batch may have been sent in part."""
        self.journal.offset = self.progress.offset = self.sent_offset = 0
        self.waiting, self.projection = [], None

    def note(self) -> None:
        """Write down how far it is, for the search to show."""
        state = {
            "uri": public(tracking_uri(self.home)),
            "offset": self.sent_offset,
            "trials": 0 if self.projection is None else self.projection.finished,
            "delivered": self.delivered,
            "error": self.error,
        }
        part = self.folder / f"{STATE_FILE}.part"
        part.write_text(json.dumps(state))
        part.replace(self.folder / STATE_FILE)

    def _opened(self) -> Projection:
        with _locked(self.home / "mlflow.lock"):
            return Projection(tracking_uri(self.home), self.home / "mlartifacts", self._header())

    def _header(self) -> Mapping[str, Any]:
        with open(self.journal.path, "rb") as file:
            header: Mapping[str, Any] = json.loads(file.readline())
        return header


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time creates the database: several at once all fail."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ended(seconds: float) -> bool:
    """Wait, at most so long, for standard input to end."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1024)


def follow(home: Path, folder: Path) -> int:
    """Follow a search's files until standard input ends; the exit code."""
    follower = Follower(home, folder)
    ending = False
    failing_since: float | None = None
    failed_at = 0
    pause = POLL_S
    while True:
        try:
            busy = follower.step()
            # Begun again it sends what was sent before; only what lies behind shows progress.
            if not busy or follower.sent_offset > failed_at:
                failing_since, pause = None, POLL_S
        except Exception as error:  # noqa: BLE001 - whatever ails MLflow, the search goes on
            busy = False
            failed_at = max(failed_at, follower.sent_offset)
            follower.rewind()
            failing_since = failing_since or time.monotonic()
            pause = min(2 * pause, LONGEST_PAUSE_S)
            follower.failed(error)
            follower.note()
            if ending and time.monotonic() - failing_since > AWAY_SECONDS:
                return 3
        if ending and not busy and failing_since is None:
            return 0 if follower.deliver() else 4
        if ending and not busy:
            time.sleep(min(pause, 1.0))
        elif not ending:
            ending = _ended(0.0 if busy else pause)


def main() -> None:
    """Follow the search in the folder that the arguments name."""
    home, folder = Path(sys.argv[1]), Path(sys.argv[2])
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the search, which then ends this
    with _locked(folder / "mlflow.lock"):
        sys.exit(follow(home, folder))


if __name__ == "__main__":
    main()
