"""MLflow as a projection of the journal, made by a process of its own.

The search only writes files: its journal, and beside it one line per epoch of running
trials. A second process, started here, follows both and brings them to MLflow: a parent
run a search, a child run a trial. Every run carries a deterministic key, and what MLflow
has is looked up before anything is created, so following again from the start is safe.
While the server is away the files wait; the search never does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from metanas.core.trial import Proposal, Report, Trial
from metanas.trackers._address import HIDDEN
from metanas.trackers._address import public as public

PROGRESS_FILE = "progress.jsonl"
STATE_FILE = "mlflow.json"
AWAY_SECONDS = 20.0
"""How long closing waits for a server that does not answer."""


def tracking_uri(home: Path) -> str:
    """Where runs go: what MLFLOW_TRACKING_URI says, else a SQLite file in the home folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.resolve()}/mlflow.db"


class MLflowTracker:
    """Starts the process that follows a search's files, and waits for it at the end.

    Args:
        home: The home folder of metanas.
        folder: The search's own, with its journal.
        log: Where MLflow's chatter goes.
        say: Told, on closing, how far it is, or that the server is away.
        over: Whether nothing will happen, so that what MLflow has already is enough.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        log: Path,
        say: Callable[[str], None] = lambda _: None,
        over: bool = False,
    ) -> None:
        self._folder = folder
        self._uri = tracking_uri(home)
        self._say = say
        self._log = log
        self._progress: IO[str] | None = None
        self._follower: subprocess.Popen[bytes] | None = None
        if over and self._up_to_date():
            return
        if not over:
            # Begun anew, before anybody reads it: epochs of trials that an earlier attempt did
            # not finish run again. One that is over has epochs that may not have been sent.
            with contextlib.suppress(OSError):
                (folder / PROGRESS_FILE).write_bytes(b"")
        environment = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            "GIT_PYTHON_REFRESH": "quiet",
        } | dict(os.environ)
        with open(log, "ab") as output:
            self._follower = subprocess.Popen(
                [sys.executable, "-m", "metanas.trackers._follow", str(home), str(folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
            )

    def started(self, proposal: Proposal) -> None:
        """In the journal already."""

    def progress(self, number: int, report: Report) -> None:
        """One line; the journal has it only when the trial has ended."""
        with contextlib.suppress(OSError):  # a full disk: the journal will have it
            self._write(number, report)

    def _write(self, number: int, report: Report) -> None:
        if self._progress is None:
            self._progress = open(self._folder / PROGRESS_FILE, "a", encoding="utf-8")  # noqa: SIM115
        event = {
            "event": "progress",
            "number": number,
            "epoch": report.epoch,
            "metrics": dict(report.metrics),
            "time_s": report.time_s,
        }
        self._progress.write(json.dumps(event, separators=(",", ":")) + "\n")
        self._progress.flush()

    def log(self, trial: Trial) -> None:
        """In the journal already."""

    def close(self) -> None:
        """Wait until MLflow has everything, or does not answer."""
        if self._progress is not None:
            self._progress.close()
        if self._follower is None:
            return
        follower, self._follower = self._follower, None
        assert follower.stdin is not None
        follower.stdin.close()
        shown = time.monotonic()
        while follower.poll() is None:
            time.sleep(0.05)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                self._say(f"MLflow has {self._state().get('trials', 0)} trials so far")
        if follower.returncode:
            reason = self._state().get("error") or f"see {self._log}"
            self._say(
                f"MLflow at {public(self._uri)} does not have everything yet ({reason}); nothing "
                f"is lost: `metanas resume {self._folder.name}` sends the rest"
            )

    def _up_to_date(self) -> bool:
        journal = self._folder / "journal.jsonl"
        state = self._state()
        place = public(self._uri)
        return (
            state.get("uri") == place
            and not place.endswith(HIDDEN)  # it may be another than it was
            and bool(state.get("delivered"))
            and journal.exists()
            and state.get("offset") == journal.stat().st_size
        )

    def _state(self) -> Mapping[str, Any]:
        try:
            state = json.loads((self._folder / STATE_FILE).read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}
