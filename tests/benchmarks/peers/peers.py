"""Other people's optimisers on one table: the rows that each proposes, in order.

Runs in the environment of the peers and knows nothing of metanas; at the top it imports
the standard library alone. A peer is a generator: it yields a proposal, an option's text
for each choice, and is sent the loss, of which less is better. Each is used as it is
shipped: default settings, its own type for unordered categories, its own ask and tell.

Prints a JSON line a seed: `seed`, `rows` (numbers of the proposed rows, repeats too) and
`seconds_per_suggestion`. What the packages print themselves goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Options = Sequence[Sequence[str]]
"""The options of each choice."""
Search = Generator[list[str], float, None]


def randomly(options: Options, trials: int, seed: int) -> Search:
    """Uniformly at random; needs no package."""
    draw = random.Random(seed)
    while True:
        yield [draw.choice(of) for of in options]


def optuna(sampler: str) -> Callable[[Options, int, int], Search]:
    """Optuna's sampler of this name."""

    def search(options: Options, trials: int, seed: int) -> Search:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        chosen = getattr(optuna.samplers, sampler)(seed=seed)
        study = optuna.create_study(direction="minimize", sampler=chosen)
        space = {
            name: optuna.distributions.CategoricalDistribution(tuple(of))
            for name, of in zip(names(options), options, strict=True)
        }
        while True:
            trial = study.ask(space)
            loss = yield [trial.params[name] for name in space]
            study.tell(trial, loss)

    return search


def syne_tune(scheduler: str) -> Callable[[Options, int, int], Search]:
    """Syne Tune's scheduler of this name; its tuner, which starts jobs, is left out."""

    def search(options: Options, trials: int, seed: int) -> Search:
        from datetime import datetime

        from syne_tune.backend.trial_status import Trial
        from syne_tune.config_space import choice
        from syne_tune.optimizer import baselines

        logging.disable(logging.WARNING)
        _seed_all(seed)
        space = {n: choice(list(of)) for n, of in zip(names(options), options, strict=True)}
        found = getattr(baselines, scheduler)(
            space, metric="loss", do_minimize=True, random_seed=seed
        )
        for number in range(trials):
            config = found.suggest().config
            trial = Trial(number, config, datetime.now())
            found.on_trial_add(trial)
            loss = yield [config[name] for name in names(options)]
            found.on_trial_complete(trial, {"loss": loss})

    return search


def smac(options: Options, trials: int, seed: int) -> Search:
    """SMAC's facade for hyperparameters: a random forest and expected improvement."""
    import ConfigSpace
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space = ConfigSpace.ConfigurationSpace(seed=seed)
    for name, of in zip(names(options), options, strict=True):
        space.add(ConfigSpace.CategoricalHyperparameter(name, list(of)))
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space, deterministic=True, n_trials=trials, seed=seed, output_directory=Path(folder)
        )

        def never(config: Any, seed: int = 0) -> float:
            raise RuntimeError("SMAC is asked and told; it evaluates nothing itself")

        found = HyperparameterOptimizationFacade(
            scenario, never, overwrite=True, logging_level=logging.ERROR
        )
        while True:
            info = found.ask()
            loss = yield [str(info.config[name]) for name in names(options)]
            found.tell(info, TrialValue(cost=loss))


def neps_bayesian(options: Options, trials: int, seed: int) -> Search:
    """NePS's Bayesian optimisation, which it chooses for a space without priors."""
    import neps

    _seed_all(seed)
    space = neps.SearchSpace(
        {n: neps.HPOCategorical(list(of)) for n, of in zip(names(options), options, strict=True)}
    )
    found = neps.AskAndTell(neps.algorithms.bayesian_optimization(space))
    while True:
        trial = found.ask()
        loss = yield [trial.config[name] for name in names(options)]
        found.tell(trial, loss)


def neps_evolution(options: Options, trials: int, seed: int) -> Search:
    """NePS's regularized evolution; its trials name the options by their numbers.

    As shipped in 0.17.0 a child keeps nothing of its parents: their configurations have the
    prefix ``SAMPLING__`` on every key, and the mutation looks for keys without it.
    """
    import neps

    _seed_all(seed)
    choices = {
        n: neps.Categorical(tuple(of)) for n, of in zip(names(options), options, strict=True)
    }
    space = type("Space", (neps.PipelineSpace,), choices)()
    found = neps.AskAndTell(neps.algorithms.neps_regularized_evolution(space))
    while True:
        trial = found.ask()
        drawn = {
            key.removeprefix("SAMPLING__Resolvable.").partition("::")[0]: value
            for key, value in trial.config.items()
            if key.startswith("SAMPLING__")
        }
        codes = [int(drawn[name]) for name in names(options)]
        loss = yield [of[code] for of, code in zip(options, codes, strict=True)]
        found.tell(trial, loss)


PEERS: dict[str, tuple[str, Callable[[Options, int, int], Search]]] = {
    "optuna-tpe": ("optuna", optuna("TPESampler")),
    "optuna-gp": ("optuna", optuna("GPSampler")),
    "syne-tune-rea": ("syne-tune", syne_tune("REA")),
    "syne-tune-cqr": ("syne-tune", syne_tune("CQR")),
    "syne-tune-bore": ("syne-tune", syne_tune("BORE")),
    "syne-tune-kde": ("syne-tune", syne_tune("TPE")),
    "syne-tune-botorch": ("syne-tune", syne_tune("BOTorch")),
    "smac-rf": ("smac", smac),
    "neps-evolution": ("neural-pipeline-search", neps_evolution),
    "neps-bo": ("neural-pipeline-search", neps_bayesian),
    "plain-random": ("", randomly),
}
"""By name: the package, "" for none, and the search."""


@dataclass(frozen=True)
class Table:
    """What a peer may know: the options, and what each complete combination loses."""

    options: Options
    rows: dict[tuple[str, ...], int]
    losses: Sequence[float]


def read(path: Path) -> Table:
    """A table as `run.py` writes it: `options`, `codes` (an option's number each), `losses`."""
    about = json.loads(path.read_text())
    options = about["options"]
    rows = {
        tuple(of[code] for of, code in zip(options, codes, strict=True)): row
        for row, codes in enumerate(about["codes"])
    }
    return Table(options, rows, about["losses"])


def replay(peer: str, table: Table, trials: int, seed: int) -> dict[str, Any]:
    """One seed: its rows in order, and the mean time of a suggestion.

    The first suggestion, in which a peer imports and sets up, is left out of the time.
    """
    search = PEERS[peer][1](table.options, trials, seed)
    proposal = next(search)
    rows = [table.rows[tuple(proposal)]]
    began = time.perf_counter()
    while len(rows) < trials:
        proposal = search.send(table.losses[rows[-1]])
        rows.append(table.rows[tuple(proposal)])
    seconds = (time.perf_counter() - began) / max(1, trials - 1)
    search.close()
    return {"seed": seed, "rows": rows, "seconds_per_suggestion": round(seconds, 6)}


def names(options: Options) -> list[str]:
    """Plain names for the choices: some packages allow letters and digits alone."""
    return [f"c{at}" for at in range(len(options))]


def _seed_all(seed: int) -> None:
    """NePS and Syne Tune, in spite of its `random_seed`, draw from the global generators."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def timed(seeds: Sequence[int], limit_s: float, one: Callable[[int], dict[str, Any]]) -> None:
    """Print a line a seed; start none that would likely end after the limit."""
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(os.fdopen(os.dup(1), "w"))
        os.dup2(2, 1)
        start, longest = time.monotonic(), 0.0
        for at, seed in enumerate(seeds):
            began = time.monotonic()
            if at and began - start + longest > limit_s:
                return
            print(json.dumps(one(seed)), file=lines, flush=True)
            longest = max(longest, time.monotonic() - began)


def arguments() -> argparse.Namespace:
    """What `run.py` gives to a block of seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seeds", required=True, help="comma-separated")
    parser.add_argument("--limit", type=float, required=True, help="seconds")
    parser.add_argument("--target", default="")
    parser.add_argument("--measure", default="")
    return parser.parse_args()


def main() -> None:
    """A block of seeds of one peer."""
    given = arguments()
    warnings.filterwarnings("ignore")
    table = read(given.table)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    timed(seeds, given.limit, lambda seed: replay(given.name, table, given.trials, seed))


if __name__ == "__main__":
    sys.exit(main())
