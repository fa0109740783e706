"""metanas beside what a user would write by hand today: Optuna's TPE over a plain PyTorch CNN.

Both get the same rows, 24 trials of 5 epochs by two processes at a time, and train their
winner for 15 epochs on train and validation; both are scored on test once. Of each run the
whole tree of processes is watched: CPU seconds (of every process, last seen), and the peak
of memory (proportional set size, summed).

Run: .venv/bin/python tests/benchmarks/by_hand.py [--seeds 3] [--first 0] [--tasks mnist5k FILE.parquet]
     (needs the extra `bench`)
Prints one JSON line a run, then one a task with the paired differences.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

TRIALS, EPOCHS, LAST_EPOCHS, SIZE = 24, 5, 15, 32


# -- what a user writes -----------------------------------------------------------------


def network(values: dict[str, Any], channels: int, classes: int) -> Any:
    """Blocks of convolution, normalisation, activation and pooling, then a linear layer."""
    from torch import nn

    layers: list[nn.Module] = []
    for block in range(values["blocks"]):
        width = values[f"width_{block}"]
        layers += [
            nn.Conv2d(channels, width, values["kernel"], padding=values["kernel"] // 2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(values["dropout"])]
    return nn.Sequential(*layers, *head, nn.Linear(channels, classes))


def fit(values: dict[str, Any], train: Any, test: Any, classes: int, epochs: int) -> float:
    """Train with Adam, and the accuracy on `test`."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    torch.manual_seed(0)

    def tensors(part: Any) -> tuple[Any, Any]:
        return torch.from_numpy(part.inputs).float() / 255, torch.from_numpy(part.targets)

    (inputs, targets), (held, wanted) = tensors(train), tensors(test)
    model = network(values, inputs.shape[1], classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=values["rate"])
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(inputs)).split(values["batch"]):
            loss = cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(batch) for batch in held.split(500)])
    return float((scores.argmax(dim=1) == wanted).float().mean())


def suggested(trial: Any) -> dict[str, Any]:
    """The choices that the user searches."""
    return {
        **{
            f"width_{block}": trial.suggest_int(f"width_{block}", 16, 96, step=16)
            for block in range(4)
        },
        "blocks": trial.suggest_int("blocks", 2, 4),
        "kernel": trial.suggest_categorical("kernel", [3, 5]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "rate": trial.suggest_float("rate", 1e-4, 1e-2, log=True),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
    }


def worker(task: str, seed: int, storage: str, number: int) -> None:
    """One of the two processes: trials until there are enough, the first then trains the winner."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import MaxTrialsCallback

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data, classes = rows(task, seed)
    study = optuna.create_study(
        study_name="hand",
        storage=JournalStorage(JournalFileBackend(storage)),
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed * 2 + number),
        load_if_exists=True,
    )

    def objective(trial: Any) -> float:
        return fit(suggested(trial), data.train, data.validation, classes, EPOCHS)

    study.optimize(objective, callbacks=[MaxTrialsCallback(TRIALS, states=None)])
    if number == 0:
        while len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) < TRIALS:
            time.sleep(0.2)  # the other process is at its last one
        best = suggested(optuna.trial.FixedTrial(study.best_params))
        whole = data.train.joined(data.validation)
        print(json.dumps({"test_accuracy": fit(best, whole, data.test, classes, LAST_EPOCHS)}))


def rows(task: str, seed: int) -> tuple[Any, int]:
    """The same rows that metanas gets with this seed."""
    from metanas.core.plugins import reference, resolve

    options = {"path": task, "size": SIZE} if task.endswith(".parquet") else {}
    name = "parquet" if options else task
    found = resolve(reference("tasks", name, options))()
    return found.load(seed), found.outputs


# -- watching -----------------------------------------------------------------------------


def watched(command: list[str], environment: dict[str, str]) -> tuple[str, dict[str, float]]:
    """What a command printed, and what its tree of processes took."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(
            command, stdout=output, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        cpu: dict[tuple[int, float], float] = {}
        peak, looked = 0, 0.0
        while process.poll() is None:
            deep = time.monotonic() - looked > 2.0
            looked = time.monotonic() if deep else looked
            memory = 0
            for each in [process, *_children(process)]:
                with contextlib.suppress(psutil.Error):
                    times = each.cpu_times()
                    cpu[each.pid, each.create_time()] = times.user + times.system
                    memory += each.memory_full_info().pss if deep else 0
            peak = max(peak, memory)
            time.sleep(0.25)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    seconds = time.monotonic() - started
    return text, {
        "cpu_s": round(sum(cpu.values()), 1),
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
    }


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return found


def by_hand(task: str, seed: int) -> dict[str, float]:
    """Two processes on one study."""
    with tempfile.TemporaryDirectory() as place:
        again = [sys.executable, __file__, "--worker", task, str(seed), f"{place}/study.log"]
        text, took = watched(again, {})
    return {**json.loads(text.splitlines()[-1]), **took}


def both(task: str, seed: int, storage: str) -> None:
    """Starts the second process, and is the first."""
    command = [sys.executable, __file__, "--worker", task, str(seed), storage, "1"]
    with subprocess.Popen(command) as second:
        worker(task, seed, storage, 0)
        second.wait()


def ours(task: str, seed: int) -> dict[str, float]:
    """The command line with its defaults."""
    size = ["--set", f"task.size={SIZE}"] if task.endswith(".parquet") else []
    with tempfile.TemporaryDirectory() as home:
        command = [
            *(sys.executable, "-m", "metanas", "search", task, *size, "--trials", str(TRIALS)),
            *("--epochs", str(EPOCHS), "--final-epochs", str(LAST_EPOCHS), "--workers", "2"),
            *("--seed", str(seed), "--json"),
        ]
        text, took = watched(command, {"METANAS_HOME": home})
    best = json.loads(text.splitlines()[-1])["best"]
    return {"test_accuracy": best["test_accuracy"], **took}


def main() -> None:
    """Run both on every task and seed, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--tasks", nargs="+", default=["mnist5k"])
    given = parser.parse_args()
    for task in given.tasks:
        found: list[tuple[dict[str, float], dict[str, float]]] = []
        for seed in range(given.first, given.first + given.seeds):
            pair = by_hand(task, seed), ours(task, seed)
            found.append(pair)
            about = {"task": Path(task).stem, "seed": seed}
            print(json.dumps({**about, "by_hand": pair[0], "metanas": pair[1]}), flush=True)
        gains = [b["test_accuracy"] - a["test_accuracy"] for a, b in found]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        ratios = {
            f"{key}_ratio": round(float(np.median([b[key] / a[key] for a, b in found])), 3)
            for key in ("cpu_s", "peak_mb", "seconds")
        }
        gain = {"mean_gain": round(statistics.fmean(gains), 5), "standard_error": round(error, 5)}
        print(json.dumps({"task": Path(task).stem, **gain, **ratios}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name, which, path, *second = sys.argv[2:]
        if second:
            worker(name, int(which), path, 1)
        else:
            both(name, int(which), path)
    else:
        main()
