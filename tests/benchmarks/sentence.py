"""The second task must cost a fraction of the first: that sentence, carried out.

Two tasks are searched from nothing; then journals and caches are removed, so that only what
MLflow holds is left. A prior is fitted from it, and a third task is searched twice with the
same seed: from that prior, and from nothing. Said of each is what the best of its first
trials had reached, trial by trial, and how many trials the cold search took to be as good as
the warm one after its first five.

Budget: 12 trials on each task and 12 more without the prior, with the trainings' default
length, on two CPUs about 15 minutes.

Run: .venv/bin/python tests/benchmarks/sentence.py [--trials 12] [--epochs 3] [--seed 0]
         [--past digits --past ../shared/data/sign_digits.parquet] [--task mnist5k]
Prints one JSON line a case; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

EARLY = 5


def metanas(home: Path, *arguments: str) -> dict[str, Any]:
    """Run a command; the object on its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "metanas", *arguments, "--json"],
        env={**os.environ, "METANAS_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def told(case: str, **facts: Any) -> None:
    """Print a case."""
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    print(json.dumps({"case": case, **facts, "machine": machine}), flush=True)


def forget(home: Path) -> None:
    """Remove journals and caches: all that is not MLflow's."""
    for path in home.iterdir():
        if path.name != "mlartifacts" and not path.name.startswith("mlflow"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def trials(home: Path, name: str) -> list[Mapping[str, Any]]:
    """The events of a search, of its trials."""
    lines = (home / "searches" / name / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def best_so_far(events: Sequence[Mapping[str, Any]]) -> list[float]:
    """The best accuracy after each trial, in the order of their numbers."""
    ended = sorted(
        (e["trial"] for e in events if e["event"] == "finished"), key=lambda each: each["number"]
    )
    return list(accumulate((t["metrics"].get("accuracy", 0.0) for t in ended), max))


def main() -> None:
    """Search two tasks, forget, learn, and search a third."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--past", action="append")
    parser.add_argument("--task", default="mnist5k")
    given = parser.parse_args()
    past = given.past or ["digits", "../shared/data/sign_digits.parquet"]
    how = (
        *("--space", "nasbench201", "--trials", str(given.trials), "--epochs", str(given.epochs)),
        *("--final-epochs", "0", "--strategy", "surrogate", "--seed", str(given.seed)),
    )
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        for task in past:
            found = metanas(home, "search", task, *how)
            told(f"cold: {found['task']}", best=found["best"]["metrics"]["accuracy"])
        forget(home)
        fitted = metanas(home, "prior", "fit")
        told("fit", version=fitted["version"], tasks=fitted["tasks"], left_out=fitted["left_out"])
        curves = {}
        for prior in ("auto", "none"):
            found = metanas(home, "search", given.task, *how, "--prior", prior)
            events = trials(home, found["search"])
            curve = curves[prior] = best_so_far(events)
            reasons = [e["proposal"]["reason"] for e in events if e["event"] == "proposed"]
            told(
                f"{given.task}, --prior {prior}",
                prior=found["prior"],
                best_after_each=[round(value, 4) for value in curve],
                seconds_training=found["seconds_training"],
                told_by_the_past=sum("past tasks" in reason for reason in reasons),
            )
        early = curves["auto"][min(EARLY, len(curves["auto"])) - 1]
        as_good = [at for at, value in enumerate(curves["none"], start=1) if value >= early]
        told("as good as warm after five", cold_trials=as_good[0] if as_good else None)


if __name__ == "__main__":
    main()
