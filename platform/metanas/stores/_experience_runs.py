"""Reading trials from MLflow: parent runs, their finished child runs, and what was deleted.

Only MLflow's public client is used, a page at a time, so that any tracking server will do.
A page of 1,000 runs costs SQLite two to three seconds, nearly all of it SQLAlchemy making
an object of every tag; a query that finds nothing costs a tenth of one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas.core.errors import HomeError
from metanas.core.trial import outcome_from
from metanas.stores._experience_rows import OURS, Row, row_of, text_of
from metanas.stores._experience_values import known_space, value_of, values_of

PAGE = 1_000
Fetch = Callable[[str, str], str]
IDS_A_QUERY = 500
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


@dataclass(frozen=True)
class Parent:
    """What the parent run of a search says of all its trials."""

    run_id: str
    search_id: str
    trials: int
    facts: Mapping[str, str]


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

    def parents(self) -> dict[str, Parent]:
        """Searches that are there, by run."""
        return {run.info.run_id: _parent(run) for run in self.runs("tags.`metanas.key` = 'search'")}

    def children(self, since_ms: int) -> Iterator[Any]:
        """Runs of trials that ended at a time or later."""
        return self.runs(f"{TRIALS} and attributes.end_time >= {since_ms}")

    def children_of(self, parent: str) -> Iterator[Any]:
        """Runs of one search's trials that have ended."""
        return self.runs(f"tags.`mlflow.parentRunId` = '{parent}' and attributes.end_time > 0")

    def deleted(self) -> list[Any] | None:
        """Deleted runs of trials; None where there are more than a page of them."""
        with self._asking():
            found = self._client.search_runs(
                list(self.experiments), TRIALS, self._view["deleted"], PAGE
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


def _parent(run: Any) -> Parent:
    tags = run.data.tags
    objective = _object(_list(tags.get("metanas.objectives", ""))[:1])
    facts = {
        "objective": str(objective.get("name", "")),
        "goal": str(objective.get("goal", "")),
        "kind": tags.get("metanas.kind", ""),
        "fingerprint": tags.get("metanas.fingerprint", ""),
        "space": tags.get("metanas.space_name") or tags.get("metanas.space", ""),
    }
    trials = int(run.data.metrics.get("trials", 0))
    return Parent(run.info.run_id, tags.get("metanas.search_id", ""), trials, facts)


def _list(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _object(found: list[Any]) -> dict[str, Any]:
    return found[0] if found and isinstance(found[0], dict) else {}


def parent_of(run: Any) -> str:
    """The parent run of a run, or ""."""
    return str(run.data.tags.get("mlflow.parentRunId", ""))


def told(run: Any) -> bool:
    """Whether the run is of a trial that has ended, not of one whose search was killed."""
    return "metanas.trial" in run.data.tags


def key_of(run: Any) -> str:
    """Under which a trial has one row, however often it was sent, and wherever to."""
    tags = run.data.tags
    return f"{tags.get('metanas.search_id', '')}/{tags['metanas.key'].partition('/')[2]}"


def row_of_run(run: Any, parent: Parent, reader: Reader, fetch: Fetch) -> Row:
    """The row of a finished trial.

    Args:
        run: Its own.
        parent: Its search's.
        reader: Of the server it was read from.
        fetch: ``fetch(run_id, name)`` gives the text of an artifact.

    Raises:
        ValueError, KeyError, TypeError: If the run holds what no search wrote.
        HomeError: If what it has as an artifact cannot be fetched.
    """
    tags = run.data.tags
    trial = _record(run, "trial", fetch)
    outcome = outcome_from(trial)
    if "metanas.proposal" in tags:
        proposal = _record(run, "proposal", fetch)
    else:
        proposal = _from_params(run, parent)
    curve = [(point["epoch"], point["metrics"]) for point in trial["curve"]]
    values = proposal["values"]
    return row_of(
        {
            "key": key_of(run),
            "origin": OURS,
            "tracking": reader.origin.name,
            "experiment": reader.experiments.get(str(run.info.experiment_id), ""),
            "run_id": run.info.run_id,
            "parent_run": parent.run_id,
            "task": str(trial["task"]),
            **parent.facts,
            "architecture": text_of(values),
            "architecture_id": tags.get("metanas.id", ""),
            "status": outcome.status,
            "cached": bool(trial["cached"]),
            "metrics": outcome.metrics,
            "curve": curve,
            "seed": int(trial["seed"]),
            "epochs": int(proposal["epochs"]),
            "settings": text_of(proposal.get("settings", {})),
            "seconds": outcome.seconds,
            "search": tags.get("metanas.search", ""),
            "search_id": tags.get("metanas.search_id", ""),
            "number": int(trial["number"]),
            "parent_trial": proposal.get("parent"),
            "strategy": tags.get("metanas.strategy", ""),
            "version": tags.get("metanas.version", ""),
            "time_s": float(trial["time_s"]),
        }
    )


def _record(run: Any, name: str, fetch: Fetch) -> dict[str, Any]:
    """What the tracker kept as a tag, or as an artifact where MLflow would have cut it."""
    text = run.data.tags[f"metanas.{name}"]
    if text.startswith("artifact: "):
        text = fetch(run.info.run_id, f"{name}.json")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"metanas.{name} is no JSON object")
    return found


def _from_params(run: Any, parent: Parent) -> dict[str, Any]:
    """A proposal of a version that kept choices only as text: its space tells their types."""
    params = run.data.params
    texts = {n.partition(".")[2]: v for n, v in params.items() if n.startswith("choice.")}
    space = known_space(parent.facts["space"])
    if space is None:
        raise ValueError(f"choices are text, and space '{parent.facts['space']}' is not installed")
    number = run.data.tags.get("metanas.parent_trial")
    return {
        "values": values_of(space.choices, texts),
        "epochs": int(params["epochs"]),
        "settings": {
            name.partition(".")[2]: value_of(text)
            for name, text in params.items()
            if name.startswith("setting.")
        },
        "parent": None if number is None else int(number),
    }
