"""What several tests build: a tiny space, a fake evaluation, and the command line as users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[1].parent / "shared"

BAD_SPACE = '''
"""A space whose architectures fail in every way that there is."""
import time

import torch
from torch import nn

from metanas.core.space import Choice, Space


class Net(nn.Module):
    def __init__(self, kind, shape, outputs):
        super().__init__()
        self.kind = kind
        self.layer = nn.Linear(shape[0] * shape[1] * shape[2], outputs)

    def forward(self, images):
        scores = self.layer(images.flatten(1))
        if self.training and self.kind == "hang":
            time.sleep(600)
        if self.training and self.kind == "memory":
            torch.empty(10**15)
        if self.training and self.kind == "nan":
            return scores * float("nan")
        if self.training and self.kind == "raise":
            raise KeyError("in the middle of a training")
        if self.training and self.kind == "die":
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        return scores


def build(values, shape, outputs):
    if values["kind"] == "unbuildable":
        raise ValueError("no such layer")
    if values["kind"] == "shape":
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], outputs + 1))
    return Net(values["kind"], shape, outputs)


KINDS = ("good", "unbuildable", "shape", "memory", "nan", "raise", "hang", "die")
space = Space("bad", (Choice("kind", KINDS), Choice("copy", (0, 1))), build)
'''

WALK = '''
"""A strategy that walks through a space's options in order."""
from metanas.core.space import check
from metanas.core.trial import Proposal


class Walk:
    def __init__(self, context):
        self.context = context

    def ask(self, number, pending):
        space = self.context.space
        options = space.choices[0].options
        values = {"kind": options[number % len(options)], "copy": number // len(options)}
        return Proposal(number, check(space, values), self.context.epochs)

    def tell(self, trial):
        pass


strategy = Walk
'''


def metanas(
    *arguments: str,
    home: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "metanas", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "METANAS_HOME": str(home), **(environment or {})},
        cwd=cwd,
        timeout=280,
        check=False,
    )


def last_json(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The object on the last line of standard output."""
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found


def journal(home: Path, name: str) -> list[dict[str, Any]]:
    """The events of a search."""
    lines = (home / "searches" / name / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def numbers(home: Path, name: str, event: str = "finished") -> list[int]:
    """The numbers of the trials that have finished, in their order."""
    return [e["trial"]["number"] for e in journal(home, name) if e["event"] == event]


def runs(home: Path) -> list[Any]:
    """All runs in a home's MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1000))


@dataclass(frozen=True)
class Trivial:
    """An evaluation that costs nothing: a report an epoch, accuracy from the values."""

    sleep_s: float = 0.0

    def __call__(self, job: Any) -> Iterator[Any]:
        from metanas.core.trial import Outcome, Report

        accuracy = (hash(str(sorted(job.proposal["values"].items()))) % 1000) / 1000
        for epoch in range(1, job.proposal["epochs"] + 1):
            time.sleep(self.sleep_s)
            yield Report(epoch, {"accuracy": accuracy}, time.time())
        yield Outcome("completed", {"accuracy": accuracy}, self.sleep_s)
