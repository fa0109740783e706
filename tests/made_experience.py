"""Priors and rows of experience that tests make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metanas.core.space import Choice, Space, sample
from metanas.meta.prior import Prior, Source
from metanas.models.copula import normal_scores
from metanas.stores import _experience_manifest as manifests
from metanas.stores._experience_parts import Writer
from metanas.stores.experience import row_of

CHOICES = (
    Choice("depth", (1, 2, 3, 4), ordered=True),
    Choice("width", (8, 16, 32, 64), ordered=True),
    Choice("block", ("plain", "residual", "separable")),
)
SPACE = Space("made", CHOICES, lambda *_: None)  # type: ignore[arg-type, return-value]


def goodness(values: Mapping[str, Any]) -> float:
    """Deeper and wider is better, and so is a residual block."""
    return values["depth"] + values["width"] / 32 + 2.0 * (values["block"] == "residual")


def source(task: str, count: int = 30, seed: int = 0, **changed: Any) -> Source:
    """A task that has so many trials in the space `made`."""
    rng = np.random.default_rng(seed)
    values = tuple(dict(sample(SPACE, rng).values) for _ in range(count))
    facts: dict[str, Any] = {
        "task": task,
        "kind": "classification",
        "space": "made",
        "objective": "accuracy",
        "goal": "max",
        "architectures": values,
        "scores": normal_scores([goodness(each) for each in values]),
        "trials": count,
    }
    return Source(**{**facts, **changed})


def prior(*tasks: str, count: int = 30) -> Prior:
    """Of some tasks that agree."""
    return Prior(tuple(source(task, count, seed) for seed, task in enumerate(tasks)))


def rows_of(
    task: str, values: Sequence[Mapping[str, Any]], accuracies: Sequence[float], **changed: Any
) -> list[dict[str, Any]]:
    """Rows of experience, as finished trials leave them."""
    return [
        row_of(
            {
                "key": f"{task}/{number}",
                "origin": "import:made",
                "tracking": "home",
                "run_id": f"{task}-{number}",
                "task": task,
                "kind": "classification",
                "space": "made",
                "architecture": json.dumps(dict(each)),
                "status": "completed",
                "metrics": {"accuracy": float(accuracy)},
                "curve": [],
                "objective": "accuracy",
                "goal": "max",
                "epochs": 1,
                "time_s": 0.0,
                **changed,
            }
        )
        for number, (each, accuracy) in enumerate(zip(values, accuracies, strict=True))
    ]


def store(home: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into the experience of a home folder."""
    folder = home / manifests.FOLDER
    folder.mkdir(exist_ok=True)
    before = manifests.read_manifest(folder)
    assert before is not None
    writer = Writer(folder, before)
    for row in rows:
        writer.add(row)
    writer.commit((), before.servers)
