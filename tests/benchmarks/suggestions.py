"""How long a strategy takes to suggest the next network, at its worst.

A strategy is told `--told` random networks of a space, with values of a table or made ones,
all at once as after a resume, and asked; then it is told `--more` further ones, one by one,
and asked after each, so that whatever it does only now and then falls in between. The
figures are CPU milliseconds of one thread: the first suggestion, and the worst and the
median of the others. What is done once a process (reading, listing and describing the
space) is timed apart.

Cases:
  networks   NAS-Bench-201: 15,625 rows that are 5,425 networks
  rows       the same table without the name of its space: 15,625 candidates
  objectives as `networks`, with parameters as a second objective
  limit      as `networks`, with a limit on the parameters
  sparse     a made table of 30,000 rows of 26 choices with 60 options
  cnn        a space too large to list

Budget: a suggestion of at most 50 ms with 100 told and 300 ms with 1,000 told.

Run: OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/suggestions.py [--strategy surrogate]
     [--told 100 --told 1000] [--case networks] [--more 30] [--seed 0]
Prints one JSON line a case.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import SHARED
from made_tables import described, write
from metanas.core.objective import Objective
from metanas.core.plugins import reference, resolve
from metanas.core.protocols import Context
from metanas.core.space import Architecture, Space, sample
from metanas.core.trial import Proposal, Trial

NASBENCH201 = SHARED / "tables" / "nasbench201.parquet"
MEASURE = "valid_accuracy_12ep_pct"
ACCURACY = Objective("accuracy", "", "max")
PARAMETERS = Objective("params", "M", "min", scale="log")

Judge = Callable[[Architecture], Mapping[str, float]]


def space_of(path: Path, target: str, measure: str) -> Space:
    """The space of a table's rows."""
    options = {"path": str(path), "target": target, "measure": measure}
    found: Space = resolve(reference("spaces", "table", options))()
    return found


def networks(path: Path = NASBENCH201) -> tuple[Space, Judge]:
    """NAS-Bench-201, its accuracies after 12 epochs and its parameters."""
    from metanas.tables import load

    table = load(str(path))
    accuracy = table.read(f"cifar10.{MEASURE}")
    parameters = table.read("cifar10.params_M")

    def judge(architecture: Architecture) -> Mapping[str, float]:
        row = table.row(architecture.values)
        assert row is not None
        return {"accuracy": float(accuracy[row]), "params": float(parameters[row])}

    return space_of(path, "cifar10", MEASURE), judge


def rows(folder: Path) -> tuple[Space, Judge]:
    """The same table, unnamed."""
    table = pq.read_table(NASBENCH201)
    about = json.loads(table.schema.metadata[b"metanas.table"])
    return networks(write(folder / "rows.parquet", about | {"space": None}, table))


def sparse(folder: Path) -> tuple[Space, Judge]:
    """A table in which nearly all combinations have no row; every second row has a neighbour."""
    rng = np.random.default_rng(0)
    half = rng.integers(60, size=(15_000, 26))
    near = half.copy()
    turned = rng.integers(26, size=len(half))
    near[np.arange(len(half)), turned] = (near[np.arange(len(half)), turned] + 1) % 60
    codes = np.unique(np.concatenate([half, near]), axis=0)
    names = [f"c{at:02}" for at in range(codes.shape[1])]
    about = described({name: [f"o{option}" for option in range(60)] for name in names})
    options = np.array([f"o{option}" for option in range(60)])
    columns = {f"choice.{name}": options[codes[:, at]] for at, name in enumerate(names)}
    path = write(folder / "sparse.parquet", about, columns | {"t.score_pct": codes.sum(axis=1)})
    return space_of(path, "t", "score_pct"), made


def cnn(folder: Path) -> tuple[Space, Judge]:
    """The convolutional networks that searches begin with."""
    del folder
    space = resolve(reference("spaces", "cnn"))
    return (space() if callable(space) else space), made


def made(architecture: Architecture) -> Mapping[str, float]:
    """A sum over the choices, with noise."""
    places = [c.index(architecture.values[c.name]) for c in architecture.space.choices]
    noise = np.random.default_rng(int(architecture.id, 16)).normal()
    return {"accuracy": float(np.sum(places) + noise)}


CASES: dict[str, tuple[Callable[[Path], tuple[Space, Judge]], tuple[Objective, ...]]] = {
    "networks": (lambda folder: networks(), (ACCURACY,)),
    "rows": (rows, (ACCURACY,)),
    "objectives": (lambda folder: networks(), (ACCURACY, PARAMETERS)),
    "limit": (lambda folder: networks(), (ACCURACY, replace(PARAMETERS, limit=0.5))),
    "sparse": (sparse, (ACCURACY,)),
    "cnn": (cnn, (ACCURACY,)),
}


def trials(space: Space, judge: Judge, count: int, seed: int) -> list[Trial]:
    """Random networks, each row once."""
    rng = np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[sample(space, rng)] = None
    return [
        Trial(Proposal(number, each, 1), "t", 0, "completed", judge(each))
        for number, each in enumerate(found)
    ]


def asked(strategy: object, number: int) -> float:
    """CPU milliseconds of one suggestion."""
    began = time.process_time()
    answer = strategy.ask(number, ())  # type: ignore[attr-defined]
    took = 1000 * (time.process_time() - began)
    assert answer is not None
    return took


def timed(name: str, case: str, told: int, more: int, seed: int, folder: Path) -> None:
    """One case; prints its line."""
    made_by, objectives = CASES[case]
    space, judge = made_by(folder)
    context = Context(space, objectives, 1, seed, exact=case not in ("cnn",))
    of = resolve(reference("strategies", name))
    finished = trials(space, judge, told + more, seed)
    warm = of(context)
    for trial in finished[:10]:
        warm.tell(trial)
    once = asked(warm, 10)
    strategy = of(context)
    for trial in finished[:told]:
        strategy.tell(trial)
    took = [asked(strategy, told)]
    for trial in finished[told:]:
        strategy.tell(trial)
        took.append(asked(strategy, trial.number + 1))
    record = {
        "strategy": name,
        "case": case,
        "told": told,
        "candidates": candidates(space),
        "first_ms": round(took[0], 1),
        "worst_ms": round(max(took), 1),
        "median_ms": round(statistics.median(took), 1),
        "once_ms": round(once, 1),
        "machine": platform.processor() or platform.machine(),
    }
    print(json.dumps(record), flush=True)


def candidates(space: Space) -> int | None:
    """How many networks are scored; None where they are drawn."""
    from metanas.strategies._candidates import all_of

    small = all_of(space)
    return None if small is None else small.kernel.count


def main() -> None:
    """All cases that are wanted, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--told", action="append", type=int)
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--more", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with threadpool_limits(limits=1), tempfile.TemporaryDirectory() as folder:
        for name in given.strategy or ["surrogate"]:
            for case in given.case or CASES:
                for told in given.told or [100, 1000]:
                    timed(name, case, told, given.more, given.seed, Path(folder))


if __name__ == "__main__":
    main()
