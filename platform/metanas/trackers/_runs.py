"""The runs that one search has in MLflow: found by their key before any is created."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "metanas"
ATTEMPT_TAG = "metanas.attempt"
PAGE = 1_000
MOST_METRICS = 900


class Runs:
    """The parent run of a search, which is there from the start, and those of its trials.

    Args:
        uri: Of the tracking server or database.
        artifacts: Where a database of our own keeps its files.
        header: The journal's first event.

    Raises:
        MlflowException: If the server cannot be reached or refuses; so do all methods.
    """

    def __init__(self, uri: str, artifacts: Path, header: Mapping[str, Any]) -> None:
        self.client = MlflowClient(tracking_uri=uri)
        self._header = header
        self._id = str(header["id"])
        self._config = header["config"]
        self._experiment = _experiment(self.client, uri, artifacts)
        self._runs: dict[str, str] = {}
        self._over: set[str] = set()
        self._killed: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._find()
        self.parent = self._runs.get("search") or self._create_parent()
        self._log_params()

    def child(self, number: int) -> str | None:
        """The run of a trial, if there is one."""
        return self._runs.get(_key(number))

    def is_over(self, number: int) -> bool:
        """Whether MLflow has all of a trial."""
        return _key(number) in self._over

    def begun(self, number: int, attempt: int, tags: Mapping[str, str], started_ms: int) -> str:
        """The run of a trial that an attempt has begun, there already or new."""
        key = _key(number)
        if attempt > self._attempts.get(key, attempt):
            # Of an attempt that died: its epochs run again, and would be there twice.
            self.client.delete_run(self._runs.pop(key))
            self._killed.discard(key)
        if key in self._killed:
            self.client.update_run(self._runs[key], status="RUNNING")
            self._killed.discard(key)
        if key in self._runs:
            return self._runs[key]
        self._attempts[key] = attempt
        own = {
            ATTEMPT_TAG: str(attempt),
            "mlflow.parentRunId": self.parent,
            "mlflow.runName": f"{number} of {self._config['name']}",
        }
        return self._create(key, {**self.tags(key), **tags, **own}, started_ms)

    def end(self, number: int, status: str, when: int) -> None:
        """A trial has ended, and everything about it is sent."""
        key = _key(number)
        self.client.set_terminated(self._runs[key], status, when)
        self._over.add(key)

    def stop(self, trials: Mapping[int, int], when: int) -> None:
        """Nothing runs any more; of `trials`, by the attempt that began them, none will end."""
        for number, attempt in trials.items():
            key = _key(number)
            if key in self._runs and key not in self._over and self._attempts[key] == attempt:
                self.client.set_terminated(self._runs[key], "KILLED", when)
                self._killed.add(key)
        self.client.set_terminated(self.parent, "KILLED", when)

    def log(
        self,
        run: str,
        metrics: list[Metric],
        params: list[Param] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add to a run, in as few calls as the server allows."""
        if not metrics and not params and not tags:
            return
        head, rest = metrics[:MOST_METRICS], metrics[MOST_METRICS:]
        entities = [RunTag(name, value) for name, value in (tags or {}).items()]
        self.client.log_batch(run, head, params or [], entities)
        if rest:
            self.log(run, rest)

    def tags(self, key: str) -> dict[str, str]:
        """What every run of the search carries, and its key."""
        config = self._config
        return {
            "metanas.search_id": self._id,
            "metanas.search": str(config["name"]),
            "metanas.key": key,
            "metanas.task": str(config["task_name"]),
            "metanas.space": str(config["space"]),
            "metanas.strategy": str(config["strategy"]),
            "metanas.seed": str(config["seed"]),
            "metanas.version": str(self._header["version"]),
        }

    def _create_parent(self) -> str:
        tags = self.tags("search") | {"mlflow.runName": str(self._config["name"])}
        return self._create("search", tags, int(1000 * float(self._header["time_s"])))

    def _log_params(self) -> None:
        """Each time: a follower may have died between creating the run and this."""
        skipped = ("name", "sources", "task_name")
        params = [
            Param(key, str(value)) for key, value in self._config.items() if key not in skipped
        ]
        self.log(self.parent, [], params)

    def _create(self, key: str, tags: Mapping[str, str], started_ms: int) -> str:
        run: str = self.client.create_run(
            self._experiment, start_time=started_ms or None, tags=dict(tags)
        ).info.run_id
        self._runs[key] = run
        return run

    def _find(self) -> None:
        """Look up which runs of this search are there, a page at a time."""
        token = None
        while True:
            page = self.client.search_runs(
                [self._experiment],
                f"tags.`metanas.search_id` = '{self._id}'",
                max_results=PAGE,
                page_token=token,
            )
            for run in page:
                key = run.data.tags.get("metanas.key", "")
                self._runs[key] = run.info.run_id
                self._attempts[key] = int(run.data.tags.get(ATTEMPT_TAG, 0))
                told = key.startswith("trial/") and "metanas.status" in run.data.tags
                if told and run.info.status in ("FINISHED", "FAILED"):
                    self._over.add(key)
                if run.info.status == "KILLED":
                    self._killed.add(key)
            token = page.token
            if not token:
                return


def _key(number: int) -> str:
    return f"trial/{number}"


def _experiment(client: MlflowClient, uri: str, artifacts: Path) -> str:
    name = os.environ.get(EXPERIMENT_VARIABLE) or DEFAULT_EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    place = artifacts.resolve().as_uri() if uri.startswith("sqlite:") else None
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another search was faster
        if found is None:
            raise
        return str(found.experiment_id)
