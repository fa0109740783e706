"""From a journal's events to MLflow's runs: a parent run a search, a child run a trial.

Idempotent: a run is found by its key before it is created, and parameters, metrics and
tags that are logged again change nothing. Events of one batch that belong to one trial
are sent together, so a trial that is over when it is first seen costs three calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param

from metanas.core.objective import Objective
from metanas.trackers._best import Best
from metanas.trackers._registry import deliver
from metanas.trackers._runs import ATTEMPT_TAG, Runs

LONGEST_TAG = 7_500
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
        self._runs = Runs(uri, artifacts, header)
        self._attempt = 0
        self.finished = 0
        self._failed = 0
        self._shown: dict[tuple[int, str], float] = {}
        self._best: Best | None = None
        self._open: dict[int, int] = {}
        self._begun: set[int] = set()
        self._running = True
        self._latest_ms = _ms(header["time_s"])

    def send(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Bring events to MLflow, in their order."""
        children: dict[int, _Child] = {}
        parent_metrics: list[Metric] = []
        endings: list[Mapping[str, Any]] = []
        for event in events:
            kind = event.get("event")
            if kind == "proposed":
                self._proposed(children, event)
                parent_metrics += _prior_metrics(event)
            elif kind == "progress":
                self._progress(children, event, parent_metrics)
            elif kind == "finished":
                self._finished(children, event, parent_metrics)
            elif kind in ("attempt", "interrupted", "repeat", "final", "ended"):
                endings.append(self._noted(event))
        for number in sorted(children):
            self._send_child(number, children[number])
        self._runs.log(self._runs.parent, parent_metrics)
        for event in endings:
            self._send_parent(event)

    def deliver(self, folder: Path) -> None:
        """The search's process is gone: its last state, and the report and winner in its folder."""
        if self._running:  # it was killed, or died of a bug
            self._runs.stop(self._open, self._latest_ms)
            self._running = False
        runs = self._runs
        deliver(runs.client, runs.parent, folder, runs.tags("search"))

    # -- reading events ----------------------------------------------------------

    def _noted(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an event of the whole search changes here; with which trials it leaves open."""
        kind = event["event"]
        self._latest_ms = _ms(event["time_s"])
        if kind == "attempt":
            self._attempt = int(event["number"])
            self._best = self._best or Best(_objectives(event))
        open_now = dict(self._open)
        if kind == "interrupted":  # each that is still open is proposed again
            self._open.clear()
        return {**event, "open": open_now}

    def _proposed(self, children: dict[int, _Child], event: Mapping[str, Any]) -> None:
        proposal = event["proposal"]
        number = int(proposal["number"])
        self._begun.add(number)
        self._open[number] = self._attempt
        self._latest_ms = _ms(event["time_s"])
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
        if number in self._begun and not self._runs.is_over(number):
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
        self._open.pop(number, None)
        child.ended_ms = self._latest_ms = _ms(event["time_s"])
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
        if self._best is None or trial["status"] not in SUCCESSES:
            return
        self._best.add(int(trial["number"]), trial["metrics"])
        parent.extend(
            Metric(f"best.{name}", value, when, self.finished)
            for name, value in self._best.kept().items()
        )

    # -- sending ------------------------------------------------------------

    def _send_child(self, number: int, child: _Child) -> None:
        if self._runs.is_over(number):
            return
        if child.params:
            run = self._runs.begun(number, child.attempt, child.tags, child.started_ms)
        else:
            run = self._runs.child(number) or self._runs.begun(number, child.attempt, {}, 0)
        params = [Param(name, value) for name, value in child.params.items()]
        self._runs.log(run, child.metrics, params, child.tags)
        for name, text in child.artifacts.items():
            self._runs.client.log_text(run, text, name)
        if child.ended_ms:
            self._runs.end(number, "FAILED" if child.failed else "FINISHED", child.ended_ms)

    def _send_parent(self, event: Mapping[str, Any]) -> None:
        kind, when = event["event"], _ms(event["time_s"])
        client, parent = self._runs.client, self._runs.parent
        if kind == "attempt":
            self._runs.log(parent, [], tags=_attempt_tags(event))
            client.update_run(parent, status="RUNNING")
        elif kind == "interrupted":
            self._runs.stop(event["open"], when)
        elif kind == "repeat":
            self._log_repeat(event, when)
        elif kind == "final":
            self._log_final(event, when)
        else:
            status = "FINISHED" if self.finished > self._failed else "FAILED"
            client.set_terminated(parent, status, when)
        self._running = kind in ("attempt", "repeat") or (kind == "final" and _succeeded(event))

    def _log_final(self, event: Mapping[str, Any], when: int) -> None:
        """The winner's training: `best_trial` is always the one that the test scores are of.

        MLflow takes no metric back: where a search was extended and its new winner's training
        fails, the scores of the one before stay, and stay under its number.
        """
        outcome, number = event["outcome"], str(event["number"])
        tags = {
            "metanas.final_trial": number,
            "metanas.final_status": str(outcome["status"]),
            "metanas.error": str(outcome.get("error", ""))[:LONGEST_TAG],
        }
        if not _succeeded(event):
            self._runs.log(self._runs.parent, [], tags=tags)
            self._runs.client.set_terminated(self._runs.parent, "FAILED", when)
            return
        tags["metanas.best_trial"] = number
        scores = outcome["metrics"].items()
        metrics = [Metric(f"test_{name}", float(value), when, 0) for name, value in scores]
        self._runs.log(self._runs.parent, metrics, tags=tags)

    def _log_repeat(self, event: Mapping[str, Any], when: int) -> None:
        run = self._runs.child(int(event["number"]))
        if run is not None and event["outcome"]["status"] == "completed":
            metrics = event["outcome"]["metrics"].items()
            step = int(event["index"])
            self._runs.log(run, [Metric(f"repeat.{n}", float(v), when, step) for n, v in metrics])


def _objectives(attempt: Mapping[str, Any]) -> tuple[Objective, ...]:
    return tuple(Objective(**{"unit": "", **each}) for each in attempt["objectives"])


def _succeeded(final: Mapping[str, Any]) -> bool:
    return bool(final["outcome"]["status"] == "completed")


def _attempt_tags(event: Mapping[str, Any]) -> dict[str, str]:
    """What an attempt says of its search, for whoever reads the trials later."""
    return {
        ATTEMPT_TAG: str(event["number"]),
        "metanas.objectives": json.dumps(event["objectives"]),
        "metanas.space_name": str(event.get("space", "")),
        "metanas.kind": str(event.get("kind", "")),
    } | _start_tags(event)


def _start_tags(event: Mapping[str, Any]) -> dict[str, str]:
    """What a search starts from, and its task's fingerprint, as far as they are known."""
    tags: dict[str, str] = {}
    prior = event.get("prior") or {}
    if prior.get("version") and not prior.get("why"):
        tags["metanas.prior"] = f"{prior['name']}@{prior['version']}"
    elif prior.get("why"):
        tags["metanas.prior_why_not"] = str(prior["why"])[:LONGEST_TAG]
    text = json.dumps(event.get("fingerprint") or {}, separators=(",", ":"))
    if event.get("fingerprint") and len(text) <= LONGEST_TAG:
        tags["metanas.fingerprint"] = text
    return tags


def _prior_metrics(proposed: Mapping[str, Any]) -> list[Metric]:
    """How far a proposal follows past tasks, and each of them, over the trials' numbers."""
    notes = proposed["proposal"].get("notes", {}).get("prior")
    if not isinstance(notes, dict) or "share" not in notes:
        return []
    when, number = _ms(proposed["time_s"]), int(proposed["proposal"]["number"])
    values = {"prior_share": notes["share"]} | {
        "prior_weight." + re.sub(r"[^A-Za-z0-9_. /-]+", "_", task): weight
        for task, weight in notes.get("weights", {}).items()
    }
    return [Metric(name, float(value), when, number) for name, value in values.items()]


def _ms(seconds: Any) -> int:
    return int(1000 * float(seconds))
