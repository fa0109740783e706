"""From a journal's events to MLflow's runs: a parent run a search, a child run a trial.

Idempotent: a run is found by its key before it is created, and parameters, metrics and
tags that are logged again change nothing. Events of one batch that belong to one trial
are sent together, so a trial that is over when it is first seen costs three calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from metanas.trackers._registry import deliver

EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "metanas"
ATTEMPT_TAG = "metanas.attempt"
LONGEST_TAG = 7_500
PAGE = 1_000
MOST_METRICS = 900
SUCCESSES = ("completed", "stopped")


@dataclass
class _Child:
    """What is to be sent of one trial."""

    attempt: int = 0
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    started_ms: int = 0
    ended_ms: int = 0
    failed: bool = False
    artifacts: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, record: Mapping[str, Any]) -> None:
        """A record as a tag, or as an artifact where MLflow would cut it."""
        text = json.dumps(record, separators=(",", ":"))
        long = len(text) > LONGEST_TAG
        if long:
            self.artifacts[f"{name}.json"] = text
        self.tags[f"metanas.{name}"] = f"artifact: {name}.json" if long else text


class Projection:
    """One search in MLflow.

    Args:
        uri: Of the tracking server or database.
        artifacts: Where a database of our own keeps its files.
        header: The journal's first event.

    Raises:
        MlflowException: If the server cannot be reached or refuses.
    """

    def __init__(self, uri: str, artifacts: Path, header: Mapping[str, Any]) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._header = header
        self._id = str(header["id"])
        self._config = header["config"]
        self._experiment = _experiment(self._client, uri, artifacts)
        self._runs: dict[str, str] = {}
        self._over: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._attempt = 0
        self._find()
        self.finished = 0
        self._failed = 0
        self._shown: dict[tuple[int, str], float] = {}
        self._best: float | None = None
        self._objective: Mapping[str, Any] | None = None
        self._begun: set[int] = set()
        self._parent = self._runs.get("search") or self._create_parent()
        self._log_params()

    def send(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Bring events to MLflow, in their order."""
        children: dict[int, _Child] = {}
        parent_metrics: list[Metric] = []
        endings: list[Mapping[str, Any]] = []
        for event in events:
            kind = event.get("event")
            if kind == "proposed":
                self._proposed(children, event)
            elif kind == "progress":
                self._progress(children, event, parent_metrics)
            elif kind == "finished":
                self._finished(children, event, parent_metrics)
            elif kind in ("attempt", "repeat", "final", "ended"):
                self._note_attempt(event)
                endings.append(event)
        for number in sorted(children):
            self._send_child(number, children[number])
        self._log(self._parent, parent_metrics)
        for event in endings:
            self._send_parent(event)

    def deliver(self, folder: Path) -> None:
        """Bring the report and the winner that lie in the search's folder."""
        deliver(self._client, self._parent, folder, self._tags("search"))

    # -- reading events ----------------------------------------------------------

    def _note_attempt(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "attempt":
            self._attempt, self._objective = int(event["number"]), event["objectives"][0]

    def _proposed(self, children: dict[int, _Child], event: Mapping[str, Any]) -> None:
        proposal = event["proposal"]
        number = int(proposal["number"])
        self._begun.add(number)
        child = children.setdefault(number, _Child())
        child.attempt = self._attempt
        child.started_ms = _ms(event["time_s"])
        child.params = {f"choice.{name}": str(v) for name, v in proposal["values"].items()}
        child.params["epochs"] = str(proposal["epochs"])
        settings = proposal.get("settings", {})
        child.params |= {f"setting.{name}": str(value) for name, value in settings.items()}
        child.tags["metanas.reason"] = str(proposal.get("reason", ""))
        child.tags["metanas.id"] = str(event.get("id", ""))
        # Params are text: this has the choices' and settings' types.
        typed = ("number", "values", "epochs", "settings", "parent")
        child.keep("proposal", {name: proposal[name] for name in typed if name in proposal})
        if "parent" in proposal:
            child.tags["metanas.parent_trial"] = str(proposal["parent"])

    def _progress(
        self, children: dict[int, _Child], event: Mapping[str, Any], parent: list[Metric]
    ) -> None:
        number = int(event["number"])
        if number < 0:
            parent.extend(
                Metric(f"final.{name}", float(value), _ms(event["time_s"]), int(event["epoch"]))
                for name, value in event["metrics"].items()
            )
            return
        if number in self._begun and f"trial/{number}" not in self._over:
            child = children.setdefault(number, _Child())
            child.metrics += self._changed(number, event)

    def _changed(self, number: int, report: Mapping[str, Any]) -> list[Metric]:
        """Metrics of an epoch, without those that stand as they stood before."""
        changed = []
        for name, value in report["metrics"].items():
            if self._shown.get((number, name)) != value:
                self._shown[number, name] = value
                when = _ms(report["time_s"])
                changed.append(Metric(name, float(value), when, int(report["epoch"])))
        return changed

    def _finished(
        self, children: dict[int, _Child], event: Mapping[str, Any], parent: list[Metric]
    ) -> None:
        trial = event["trial"]
        number = int(trial["number"])
        child = children.setdefault(number, _Child())
        child.ended_ms = _ms(event["time_s"])
        child.failed = trial["status"] not in SUCCESSES
        for report in trial["curve"]:
            child.metrics += self._changed(number, report)
        child.metrics.append(Metric("seconds", float(trial["seconds"]), child.ended_ms, 0))
        if trial["cached"]:
            child.metrics += self._changed(
                number, {"metrics": trial["metrics"], "epoch": 0, "time_s": event["time_s"]}
            )
        child.tags |= {
            "metanas.status": trial["status"],
            "metanas.cached": str(bool(trial["cached"])).lower(),
            "metanas.error": str(trial["error"])[:LONGEST_TAG],
        }
        child.keep("trial", trial)
        for key in [key for key in self._shown if key[0] == number]:
            del self._shown[key]
        self._count(trial, child.ended_ms, parent)

    def _count(self, trial: Mapping[str, Any], when: int, parent: list[Metric]) -> None:
        self.finished += 1
        self._failed += trial["status"] not in SUCCESSES
        parent.append(Metric("trials", self.finished, when, self.finished))
        if self._failed:
            parent.append(Metric("failed", self._failed, when, self.finished))
        if self._objective is None:
            return
        objective = self._objective
        value = trial["metrics"].get(objective["name"])
        if value is None or trial["status"] not in SUCCESSES:
            return
        better = max if objective["goal"] == "max" else min
        self._best = value if self._best is None else better(self._best, value)
        parent.append(Metric(f"best.{objective['name']}", self._best, when, self.finished))

    # -- writing runs ------------------------------------------------------------

    def _send_child(self, number: int, child: _Child) -> None:
        key = f"trial/{number}"
        if key in self._over:
            return
        if child.params and child.attempt > self._attempts.get(key, child.attempt):
            self._discard(key)
        run = self._runs.get(key)
        if run is None:
            self._attempts[key] = child.attempt
            tags = {
                **self._tags(key),
                **child.tags,
                ATTEMPT_TAG: str(child.attempt),
                "mlflow.parentRunId": self._parent,
                "mlflow.runName": f"{number} of {self._config['name']}",
            }
            run = self._create(key, tags, child.started_ms)
            child.tags = {}
        params = [Param(name, value) for name, value in child.params.items()]
        tags_left = [RunTag(name, value) for name, value in child.tags.items()]
        self._log(run, child.metrics, params, tags_left)
        for name, text in child.artifacts.items():
            self._client.log_text(run, text, name)
        if child.ended_ms:
            status = "FAILED" if child.failed else "FINISHED"
            self._client.set_terminated(run, status, child.ended_ms)
            self._over.add(key)

    def _discard(self, key: str) -> None:
        """Remove a run whose attempt died: its epochs run again, and would be there twice."""
        self._client.delete_run(self._runs.pop(key))

    def _send_parent(self, event: Mapping[str, Any]) -> None:
        when = _ms(event["time_s"])
        if event["event"] == "attempt":
            self._log(self._parent, [], tags=_attempt_tags(event))
            self._client.update_run(self._parent, status="RUNNING")
        elif event["event"] == "repeat":
            self._log_repeat(event, when)
        elif event["event"] == "final":
            outcome = event["outcome"]
            metrics = outcome["metrics"] if outcome["status"] == "completed" else {}
            self._log(
                self._parent,
                [Metric(f"test_{n}", float(v), when, 0) for n, v in metrics.items()],
                tags=[
                    RunTag("metanas.best_trial", str(event["number"])),
                    RunTag("metanas.final_status", outcome["status"]),
                ],
            )
        else:
            status = "FINISHED" if self.finished > self._failed else "FAILED"
            self._client.set_terminated(self._parent, status, when)

    def _log_repeat(self, event: Mapping[str, Any], when: int) -> None:
        run = self._runs.get(f"trial/{event['number']}")
        if run is not None and event["outcome"]["status"] == "completed":
            metrics = event["outcome"]["metrics"].items()
            step = int(event["index"])
            self._log(run, [Metric(f"repeat.{n}", float(v), when, step) for n, v in metrics])

    def _log(
        self,
        run: str,
        metrics: list[Metric],
        params: list[Param] | None = None,
        tags: list[RunTag] | None = None,
    ) -> None:
        if not metrics and not params and not tags:
            return
        head, rest = metrics[:MOST_METRICS], metrics[MOST_METRICS:]
        self._client.log_batch(run, head, params or [], tags or [])
        if rest:
            self._log(run, rest)

    def _create_parent(self) -> str:
        config = self._config
        tags = self._tags("search") | {"mlflow.runName": str(config["name"])}
        return self._create("search", tags, _ms(self._header["time_s"]))

    def _log_params(self) -> None:
        """Each time: a follower may have died between creating the run and this."""
        skipped = ("name", "sources", "task_name")
        params = [
            Param(key, str(value)) for key, value in self._config.items() if key not in skipped
        ]
        self._log(self._parent, [], params)

    def _create(self, key: str, tags: Mapping[str, str], started_ms: int) -> str:
        run: str = self._client.create_run(
            self._experiment, start_time=started_ms or None, tags=dict(tags)
        ).info.run_id
        self._runs[key] = run
        return run

    def _tags(self, key: str) -> dict[str, str]:
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

    def _find(self) -> None:
        """Look up which runs of this search are there, a page at a time."""
        token = None
        while True:
            page = self._client.search_runs(
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
            token = page.token
            if not token:
                return


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


def _attempt_tags(event: Mapping[str, Any]) -> list[RunTag]:
    """What an attempt says of its search, for whoever reads the trials later."""
    tags = {
        ATTEMPT_TAG: str(event["number"]),
        "metanas.objectives": json.dumps(event["objectives"]),
        "metanas.space_name": str(event.get("space", "")),
        "metanas.kind": str(event.get("kind", "")),
    }
    return [RunTag(name, value) for name, value in tags.items()]


def _ms(seconds: Any) -> int:
    return int(1000 * float(seconds))
