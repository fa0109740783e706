"""Reading trials from MLflow: parent runs, their finished child runs, and what was deleted.

Only MLflow's public client is used, a page at a time, so that any tracking server will do.
A page of 1,000 runs costs SQLite two to three seconds, nearly all of it SQLAlchemy making
an object of every tag; a query that finds nothing costs a tenth of one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas.core.errors import HomeError

PAGE = 1_000
IDS_A_QUERY = 500
DELETED_AT_ONCE = 200
"""More deleted runs than that are not listed: it is cheaper to ask which of ours are deleted."""
TRIALS = "tags.`metanas.key` LIKE 'trial/%'"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Origin:
    """A tracking server.

    Args:
        uri: Its address, which may hold a password.
        name: Under which it is known here, without one; the home folder's own database has
            one name wherever the folder lies.
    """

    uri: str
    name: str


class Reader:
    """One tracking server, read.

    Args:
        origin: Which one.
        home: Its lock keeps two processes from creating its database at once.

    Raises:
        HomeError: If it does not answer; every method raises the same.
    """

    def __init__(self, origin: Origin, home: Path) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self.origin = origin
        with self._asking(), _creating(home):
            from mlflow import MlflowClient
            from mlflow.entities import ViewType

            self._client = MlflowClient(tracking_uri=origin.uri)
            self._view = {"active": ViewType.ACTIVE_ONLY, "deleted": ViewType.DELETED_ONLY}
            self.experiments = self._experiments(ViewType.ALL)

    def parents(self) -> Iterator[Any]:
        """Parent runs of the searches that are there."""
        return self.runs("tags.`metanas.key` = 'search'")

    def children(self, since_ms: int) -> Iterator[Any]:
        """Runs of trials that ended at a time or later."""
        return self.runs(f"{TRIALS} and attributes.end_time >= {since_ms}")

    def children_of(self, parent: str) -> Iterator[Any]:
        """Runs of one search's trials that have ended."""
        return self.runs(f"tags.`mlflow.parentRunId` = '{parent}' and attributes.end_time > 0")

    def deleted(self) -> list[Any] | None:
        """Deleted runs of trials; None where there are more than `DELETED_AT_ONCE`."""
        with self._asking():
            found = self._client.search_runs(
                list(self.experiments), TRIALS, self._view["deleted"], DELETED_AT_ONCE
            )
            return None if found.token else list(found)

    def among(self, ids: Collection[str], view: str) -> set[str]:
        """Which of these runs there are, "active" or "deleted"."""
        found: set[str] = set()
        wanted = sorted(ids)
        for start in range(0, len(wanted), IDS_A_QUERY):
            some = ", ".join(f"'{each}'" for each in wanted[start : start + IDS_A_QUERY])
            found |= {run.info.run_id for run in self.runs(f"attributes.run_id IN ({some})", view)}
        return found

    def runs(
        self, where: str, view: str = "active", experiments: Collection[str] = ()
    ) -> Iterator[Any]:
        """Runs that a filter of MLflow's lets pass, a page in memory at a time."""
        token = None
        while True:
            with self._asking():
                page = self._client.search_runs(
                    list(experiments or self.experiments),
                    where,
                    self._view[view],
                    PAGE,
                    ["attributes.end_time ASC"],
                    token,
                )
            yield from page
            token = page.token
            if not token:
                return

    def artifact(self, run: str, name: str) -> str:
        """The text of a run's artifact."""
        with self._asking(), tempfile.TemporaryDirectory() as folder:
            path = self._client.download_artifacts(run, name, folder)
            return Path(path).read_text(encoding="utf-8")

    def _experiments(self, view: int) -> dict[str, str]:
        """Names by id; a deleted experiment's runs are deleted with it."""
        names: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_experiments(view, page_token=token)
            names |= {str(each.experiment_id): str(each.name) for each in page}
            token = page.token
            if not token:
                return names

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            # What a library says of an address may quote the password in it.
            text = "" if "@" in self.origin.uri else " ".join(str(error).split())[:160]
            what = f"{type(error).__name__} {text}".strip()
            raise HomeError(f"MLflow at {self.origin.name} cannot be read: {what}") from None


@contextlib.contextmanager
def _creating(home: Path) -> Iterator[None]:
    """One process at a time creates the database; the tracker holds the same lock for it."""
    with open(home / "mlflow.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
