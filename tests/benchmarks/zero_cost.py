"""Do our zero-cost scores rank NAS-Bench-201 as published ones do?

Cells drawn from the rows that have published scores are built in a network of
`--channels` and `--cells` a stage (the paper's: 16 and 5), scored on 64 real images
(sign_digits at 32x32) with the weights of `--seed`, and compared by Spearman's rank
correlation: with the accuracy on validation rows after 200 epochs, and with the
published score of the same cell on CIFAR-10. A score that is not finite ranks last, a
published one of nought (a network through which nothing flows) likewise.

What is not the same as in the publications: the images, and that edges on no path to the
output are not built here.

Scores are kept under `--home`; after `--seconds` the script ends, and goes on from
there when it is called again.

Run: .venv/bin/python tests/benchmarks/zero_cost.py --home FOLDER [--networks 200]
     [--channels 16] [--cells 5] [--seed 0] [--draw 0] [--seconds 200]
Prints one JSON line a score, one for the number of parameters, and one with the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from metanas.core.space import Architecture, check
from metanas.measures.params import params
from metanas.measures.zero_cost import SCORES
from metanas.meta.scores import Scoring, built, matrix
from metanas.spaces.nasbench201 import nasbench201
from metanas.tables import Table, load
from metanas.tasks.parquet import parquet

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
DATA_SETS = ("cifar10", "cifar100", "imagenet16_120")
SIDE = 32

Floats = npt.NDArray[np.float64]


def drawn(table: Table, number: int, draw: int) -> npt.NDArray[np.intp]:
    """Rows with a published score of every kind on CIFAR-10."""
    columns = [table.read(f"cifar10.zc_{name}") for name in SCORES]
    rows = np.flatnonzero(np.isfinite(columns).all(axis=0))
    return np.random.default_rng(draw).permutation(rows)[:number]


def ranked(scores: Floats) -> Floats:
    """What is not finite as the least of all."""
    return np.where(np.isfinite(scores), scores, -np.finfo(np.float64).max)


def correlation(one: Floats, other: Floats) -> float:
    """Spearman's, over what both know."""
    both = np.isfinite(one) & np.isfinite(other)
    return round(float(spearmanr(one[both], other[both]).statistic), 3)


def compared(
    name: str, ours: Floats, table: Table, rows: npt.NDArray[np.intp]
) -> dict[str, object]:
    """A score beside accuracies and what was published of it; `name` is the score's."""
    accuracies = [table.read(f"{d}.valid_accuracy_200ep_pct")[rows] for d in DATA_SETS]
    published = ranked(table.read(f"cifar10.zc_{name}")[rows])
    missing = int((~np.isfinite(ours)).sum())
    return {
        "score": name,
        "networks": len(rows),
        "not_finite": missing,
        **{d: correlation(ranked(ours), a) for d, a in zip(DATA_SETS, accuracies, strict=True)},
        "published": correlation(ranked(ours), published),
        "published_with_cifar10": correlation(published, accuracies[0]),
    }


def sizes(architectures: Sequence[Architecture], shape: tuple[int, ...]) -> Floats:
    """Parameters of each network."""
    networks = (built(each, shape, 10, seed=0) for each in architectures)
    return np.array([params(network) for network in networks], dtype=np.float64)


def main() -> None:
    """Score what is not scored yet, and compare when all is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    for name, default in (
        ("networks", 200), ("channels", 16), ("cells", 5), ("seed", 0), ("draw", 0), ("seconds", 200),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    table = load(str(SHARED / "tables" / "nasbench201.parquet"))
    space = nasbench201(channels=given.channels, cells=given.cells)
    task = parquet(path=str(SHARED / "data" / "sign_digits.parquet"), size=SIDE)
    rows = drawn(table, given.networks, given.draw)
    architectures = [check(space, table.values(int(row))) for row in rows]
    scoring = Scoring(space, task, given.seed, given.home)
    cpu = time.process_time()
    fresh: list[int] = []

    def goes_on(done: int) -> bool:
        fresh.append(done)
        return time.monotonic() < end

    scores = scoring(architectures, goes_on)
    used = round((time.process_time() - cpu) / max(1, len(fresh)), 3)
    about = {"done": len(scores), "of": len(rows), "cpu_s_a_network": used, "fresh": len(fresh)}
    about |= {"channels": given.channels, "cells": given.cells, "seed": given.seed}
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "torch": torch.__version__}
    if len(scores) == len(rows):
        found = matrix(scores)
        for column, name in enumerate(SCORES):
            print(json.dumps(compared(name, found[:, column], table, rows)))
        print(json.dumps(compared("params", sizes(architectures, task.shape), table, rows)))
    print(json.dumps(about | machine), flush=True)


if __name__ == "__main__":
    main()
