"""What MLflow's runs of trials say: from a run, and its search's parent run, to a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metanas.core.trial import outcome_from
from metanas.stores._experience_reader import Reader
from metanas.stores._experience_rows import OURS, Row, finite, is_object, row_of, text_of
from metanas.stores._experience_values import known_space, value_of, values_of

Fetch = Callable[[str, str], str]


@dataclass(frozen=True)
class Parent:
    """What the parent run of a search says of all its trials."""

    run_id: str
    search_id: str
    trials: int
    facts: Mapping[str, str]


def parent_from(run: Any) -> Parent:
    """Read a parent run; what it does not say is empty."""
    tags = run.data.tags
    fingerprint = tags.get("metanas.fingerprint", "")
    objective = _object(_list(tags.get("metanas.objectives", ""))[:1])
    facts = {
        "objective": str(objective.get("name", "")),
        "goal": str(objective.get("goal", "")),
        "kind": tags.get("metanas.kind", ""),
        "fingerprint": fingerprint if is_object(fingerprint) else "",
        "space": tags.get("metanas.space_name") or tags.get("metanas.space", ""),
    }
    trials = run.data.metrics.get("trials", 0.0)
    trials = int(trials) if finite(trials) else 0
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
    if not all(isinstance(value, str | int | float | bool) for value in values.values()):
        raise ValueError("a choice is neither text nor a number nor a boolean")
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
