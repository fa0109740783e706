"""Hypervolume of evolution's and random search's fronts: accuracy and flops on real digits.

Each seed runs both strategies over the same space (`cnn`) on scikit-learn's digits,
inline, three epochs a trial; the hypervolume is taken of (1 - validation accuracy,
log10(flops) / 8) against (1, 1).

Run: .venv/bin/python tests/benchmarks/fronts.py [--seeds 10] [--first 0] [--trials 40]
Prints one JSON line a seed, then one with the paired differences.
"""

from __future__ import annotations

import argparse
import json
import statistics
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from metanas.core.evaluation import Evaluation
from metanas.core.objective import Objective
from metanas.core.plugins import reference, resolve
from metanas.core.search import Search, run
from metanas.executors.inline import Inline
from metanas.models.pareto import hypervolume
from metanas.stores.journal import MemoryJournal

STRATEGIES = ("evolution", "random")


def front(seed: int, trials: int, strategy: str) -> tuple[float, int]:
    """Hypervolume and number of points of one search."""
    from metanas.estimators.train import Train
    from metanas.tasks.digits import digits

    space = resolve(reference("spaces", "cnn"))
    flops: Objective = resolve(reference("objectives", "flops"))
    search = Search(
        "front", space, "digits", (Objective("accuracy", "", "max"), flops),
        resolve(reference("strategies", strategy)),
        Evaluation(space, digits(), Train(split_seed=seed), (flops,)),
        trials=trials, epochs=3, seed=seed,
    )  # fmt: skip
    result = run(search, executor=Inline(), journal=MemoryJournal())
    costs = [(1 - t.metrics["accuracy"], np.log10(t.metrics["flops"]) / 8) for t in result.front]
    return hypervolume(np.array(costs), (1.0, 1.0)), len(result.front)


def main() -> None:
    """Run all seeds, two searches at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--trials", type=int, default=40)
    given = parser.parse_args()
    differences = []
    with ProcessPoolExecutor(max_workers=2) as pool:
        for seed in range(given.first, given.first + given.seeds):
            found = list(pool.map(partial(front, seed, given.trials), STRATEGIES))
            volumes = {name: round(v, 4) for name, (v, _) in zip(STRATEGIES, found, strict=True)}
            points = {name: n for name, (_, n) in zip(STRATEGIES, found, strict=True)}
            print(json.dumps({"seed": seed, "volume": volumes, "points": points}), flush=True)
            differences.append(found[0][0] - found[1][0])
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5 if given.seeds > 1 else None
    ahead = sum(d > 0 for d in differences)
    print(json.dumps({"mean_difference": mean, "standard_error": error, "ahead": ahead}))


if __name__ == "__main__":
    main()
