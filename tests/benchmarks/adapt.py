"""Few-shot ranking: what is best adapted to k labelled networks of a task never seen?

transnas_micro's columns of test values, one task left out, three of the other six as sources
with 100 networks each, drawn by the seed; one row a network. An encoder of two layers is learnt in
`--episodes` episodes for each way of adapting, then adapted to 5, 10 and 20 labelled
networks of the task left out (`--draws` draws, the smaller within the larger), and compared by
Spearman's rank correlation on all other networks.

Ways: `none` (one network for all tasks), `maml` (all weights), `meta_sgd` (all weights, a learnt
rate each), `anil` (the head), `anil_order` (the head, on the order alone), `ridge` (the head in
closed form, with learnt variances), `gp` (no sources: a process over the structure). Those with
a rate, and `ridge` with the variance that its weights begin with, are run with each of three;
which counts for a task is decided by the mean over the other tasks. One that diverges is told in `--lines` and ranks as it was left, or all alike.

Then the same where the worst third of the labelled networks crashed, so that only this is known
of them: `order_known` and `ridge_known` use the others alone, `order_censored` the crashed as
being below the others, `ridge_least` as being like the worst that is known.

Run: .venv/bin/python tests/benchmarks/adapt.py [--seeds 3] [--first 0] [--episodes 300]
     [--draws 4] [--lines FILE]
Prints one JSON line a way and k, and one with the machine; every single figure goes to `--lines`,
with which a run that ended goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from metanas.core.errors import ConfigError
from metanas.measures.latency import on_threads
from metanas.meta.adapt import Examples, anil, learning_rates, maml, meta_sgd, meta_train
from metanas.meta.losses import censored_ranking_loss, pairwise_ranking_loss, squared_error
from metanas.meta.structure import blocks, members
from metanas.models.copula import normal_scores
from metanas.models.gp import Kernel, Process, matern52, settings
from metanas.spaces.transnas_micro import transnas_micro
from metanas.tables import load

TABLE = Path(__file__).resolve().parents[2].parent / "shared" / "tables" / "transnas_micro.parquet"
SOURCES, LABELLED, KNOWN = 3, 100, (5, 10, 20)
STEPS = 5
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)
DISSIMILAR = "autoencoder"

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
Fit = Callable[[Examples], nn.Module]


@dataclass(frozen=True)
class Networks:
    """What is known of the table: a network a row of `features`, and its rows in the table."""

    features: Tensor
    kernel: Kernel
    rows: tuple[Numbers, ...]
    values: dict[str, Floats]

    def drawn(self, rng: np.random.Generator) -> dict[str, Floats]:
        """Values of one row a network, by tasks."""
        rows = np.array([rng.choice(of) for of in self.rows])
        return {task: values[rows] for task, values in self.values.items()}


@lru_cache(maxsize=1)
def networks() -> Networks:
    """The table's test values, larger better, and the networks' features of unit deviation."""
    table = load(str(TABLE))
    space = transnas_micro()
    known = members(space)
    assert known is not None
    row_of = [table.row(each.values) for each in known.rows]
    rows = tuple(np.array([row_of[at] for at in of]) for of in known.of)
    values = {name: table.read(task.test) for name, task in table.tasks.items()}
    spread = (known.features - known.features.mean(axis=0)) / known.features.std(axis=0)
    kernel = Kernel.of(
        matern52,
        known.features,
        [block.columns for block in blocks(space)],
        [block.weight for block in blocks(space)],
    )
    return Networks(torch.tensor(spread, dtype=torch.float32), kernel, rows, values)


# -- ways of adapting ----------------------------------------------------------------------


class Ridge(nn.Module):
    """A head whose weights are those of a prior, moved by the closed form to fit examples."""

    def __init__(self, width: int, variance: float) -> None:
        super().__init__()
        self.prior = nn.Linear(width, 1)
        self.log_variances = nn.Parameter(torch.tensor([variance, 0.3]).log())  # weights, noise

    def fitted(self, encoder: nn.Module, support: Examples) -> nn.Module:
        """The whole network with the head moved."""
        encoded, values = encoder(support[0]), support[1]
        weights, noise = self.log_variances.exp()
        gram = weights * encoded @ encoded.T + noise * torch.eye(len(values))
        missed = values - self.prior(encoded).squeeze(-1)
        moved = weights * encoded.T @ torch.linalg.solve(gram, missed)
        return nn.Sequential(encoder, Shifted(self.prior, moved))


class Shifted(nn.Module):
    """A linear head and what its weights are moved by."""

    def __init__(self, prior: nn.Linear, moved: Tensor) -> None:
        super().__init__()
        self.prior, self.moved = prior, moved

    def forward(self, encoded: Tensor) -> Tensor:
        """Scores ``[n, 1]``."""
        scores: Tensor = self.prior(encoded) + (encoded @ self.moved)[:, None]
        return scores


@dataclass(frozen=True)
class Learnt:
    """What adapts while learning, with gradients through it, and after; and what is learnt."""

    fit: Callable[..., nn.Module]
    parameters: Sequence[nn.Parameter]
    through: bool = True

    def whole(self, **more: Any) -> Fit:
        """The same for predicting alone."""
        return partial(self.fit, **more, **({"first_order": True} if self.through else {}))


def fresh(width: int) -> tuple[nn.Module, nn.Module]:
    """An encoder and a head as META's design has them."""
    layers = nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, 32), nn.SiLU()
    return nn.Sequential(*layers), nn.Linear(32, 1)


def way(name: str, rate: float, width: int, seed: int) -> Learnt:
    """One way of adapting, not yet learnt."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, head = fresh(width)
        weights = [*encoder.parameters(), *head.parameters()]
        if name == "none":
            network = nn.Sequential(encoder, head)
            return Learnt(lambda support: network, weights, through=False)
        if name == "ridge":
            ridge = Ridge(32, rate)
            parameters = [*encoder.parameters(), *ridge.parameters()]
            return Learnt(partial(ridge.fitted, encoder), parameters, through=False)
    if name == "meta_sgd":
        rates = learning_rates(encoder, head, rate)
        fit = partial(meta_sgd, encoder, head, rates, loss=squared_error, steps=STEPS)
        return Learnt(fit, [*weights, *rates])
    adapt = maml if name == "maml" else anil
    loss = pairwise_ranking_loss if name == "anil_order" else squared_error
    return Learnt(partial(adapt, encoder, head, loss=loss, steps=STEPS, rate=rate), weights)


WAYS = {
    "none": (0.0,),
    "maml": RATES[:3],
    "meta_sgd": RATES[:3],
    "anil": RATES[:3],
    "anil_order": RATES[2:],
    "ridge": (0.1, 1.0, 10.0),
}


# -- what is measured ------------------------------------------------------------------------


def figures(target: str, seed: int, episodes: int, draws: int) -> Iterator[dict[str, Any]]:
    """Every way on one task left out, from one draw of sources."""
    known = networks()
    rng = np.random.default_rng([seed, sorted(known.values).index(target)])
    values = known.drawn(rng)
    others = rng.permutation([task for task in sorted(values) if task != target])[:SOURCES]
    tasks = []
    for task in others:
        rows = rng.permutation(len(known.features))[:LABELLED]
        labels = torch.tensor(normal_scores(values[task][rows]), dtype=torch.float32)
        tasks.append((known.features[torch.from_numpy(rows)], labels))
    orders = [rng.permutation(len(known.features)) for _ in range(draws)]
    about = {"target": target, "seed": seed, "sources": [str(each) for each in others]}
    for k in KNOWN:
        found = [from_structure(order, k, values[target]) for order in orders]
        yield about | {"way": "gp", "rate": 0.0, "k": k, "spearman": float(np.mean(found))}
    for name, rates in WAYS.items():
        for rate in rates:
            learnt = way(name, rate, known.features.shape[1], seed)
            began = time.process_time()
            line: dict[str, Any] = {"rate": rate, "error": ""}
            try:
                meta_train(learnt.fit, learnt.parameters, tasks, episodes=episodes, seed=seed)
            except ConfigError as error:  # it diverged; what is left may still rank
                line["error"] = str(error)
            line["cpu_s"] = round(time.process_time() - began, 2)
            for each, k, spearman in judged(name, learnt, orders, values[target]):
                yield about | line | {"way": each, "k": k, "spearman": spearman}


def from_structure(order: Numbers, k: int, values: Floats) -> float:
    """The correlation that a Gaussian process over the structure reaches without sources."""
    kernel, observed = networks().kernel, order[:k]
    y = normal_scores(values[observed])
    best = max(settings(kernel, observed, y), key=lambda each: each.evidence)
    mean, _ = Process(kernel, best, observed.tolist()).predict(y)
    return correlation(mean, values, order[k:])


def judged(
    name: str, learnt: Learnt, orders: Sequence[Numbers], values: Floats
) -> Iterator[tuple[str, int, float]]:
    """Mean correlation on what was not labelled: way, k, correlation."""
    for k in KNOWN:
        found: dict[str, list[float]] = defaultdict(list)
        for order in orders:
            for each, fitted in adapted(name, learnt, order[:k], values[order[:k]]):
                found[each].append(correlation(scores_by(fitted), values, order[k:]))
        for each, correlations in found.items():
            yield each, k, float(np.mean(correlations))


def scores_by(fitted: Callable[[], nn.Module]) -> Floats:
    """Of all networks; all alike where the steps led nowhere."""
    try:
        with torch.no_grad():
            scores = fitted()(networks().features).squeeze(-1).double().numpy()
    except ConfigError:
        return np.zeros(len(networks().features))
    return np.asarray(np.nan_to_num(scores))


def correlation(scores: Floats, values: Floats, rows: Numbers) -> float:
    """Spearman's, over some networks; 0 of scores that are all alike."""
    if np.ptp(scores[rows]) == 0:
        return 0.0
    return float(spearmanr(scores[rows], values[rows]).statistic)


def adapted(
    name: str, learnt: Learnt, rows: Numbers, labels: Floats
) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """What adapts what was learnt to labelled networks: all, and with the worst third crashed."""
    features = networks().features[torch.from_numpy(rows)]
    fit = learnt.whole()
    yield name, partial(fit, (features, scored(labels)))
    if name not in ("ridge", "anil_order"):
        return
    known = torch.from_numpy(labels.argsort().argsort() >= len(labels) // 3)
    alive = (features[known], scored(labels[known.numpy()]))
    kind = "ridge" if name == "ridge" else "order"
    yield f"{kind}_known", partial(fit, alive)
    if name == "ridge":
        least = np.where(known.numpy(), labels, labels[known.numpy()].min())
        yield "ridge_least", partial(fit, (features, scored(least)))
    else:
        censored = learnt.whole(loss=partial(censored_ranking_loss, known=known))
        hidden = torch.full((len(labels),), torch.nan)
        hidden[known] = alive[1]
        yield "order_censored", partial(censored, (features, hidden))


def scored(labels: Floats) -> Tensor:
    """Normal scores."""
    return torch.tensor(normal_scores(labels), dtype=torch.float32)


# -- tables -----------------------------------------------------------------------------------


def summary(lines: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The mean of each way at each k, its rate chosen on the other tasks, and beside ridge."""
    cells: dict[tuple[str, int], dict[tuple[str, float], dict[int, float]]] = defaultdict(dict)
    for line in lines:
        of = cells[line["way"], line["k"]].setdefault((line["target"], line["rate"]), {})
        of[line["seed"]] = line["spearman"]
    best = {cell: by_others(found) for cell, found in cells.items()}
    chosen = {
        cell: {(target, seed): value for target, rate in rates.items()
               for seed, value in cells[cell][target, rate].items()}
        for cell, rates in best.items()
    }  # fmt: skip
    for (name, k), found in chosen.items():
        beside = chosen[("ridge" if name.partition("_")[2] not in CRASHED else "ridge_least"), k]
        less = np.array([value - beside[key] for key, value in found.items()])
        values = np.array(list(found.values()))
        apart = np.array([key[0] == DISSIMILAR for key in found])
        yield {
            "way": name,
            "k": k,
            "cases": len(found),
            "spearman": round(float(values.mean()), 3),
            "six_similar": round(float(values[~apart].mean()), 3),
            DISSIMILAR: round(float(values[apart].mean()), 3) if apart.any() else None,
            "less_ridge": round(float(less.mean()), 3),
            "standard_error": round(float(less.std(ddof=1) / len(less) ** 0.5), 3),
            "rates": sorted(set(best[name, k].values())),
        }


CRASHED = ("known", "censored", "least")


def by_others(found: dict[tuple[str, float], dict[int, float]]) -> dict[str, float]:
    """By task, the rate that is best in the mean over the other tasks."""
    targets, rates = {target for target, _ in found}, {rate for _, rate in found}

    def elsewhere(rate: float, target: str) -> float:
        others = [found[each, rate] for each in targets if each != target]
        return float(np.mean([value for other in others for value in other.values()] or [0]))

    return {
        target: max(sorted(rates), key=partial(elsewhere, target=target))
        for target in sorted(targets)
    }


def main() -> None:
    """Measure what is not in the file yet, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seeds", 3), ("first", 0), ("episodes", 300), ("draws", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lines", type=Path, default=Path(os.devnull))
    given = parser.parse_args()
    lines: list[dict[str, Any]] = []
    if given.lines.is_file():
        lines = [json.loads(line) for line in given.lines.read_text().splitlines()]
    done = {(line["target"], line["seed"]) for line in lines}
    for seed in range(given.first, given.first + given.seeds):
        for target in sorted(networks().values):
            if (target, seed) in done:
                continue
            with on_threads(1):
                new = list(figures(target, seed, given.episodes, given.draws))
            lines += new
            with given.lines.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in new)
    for line in summary(lines):
        print(json.dumps(line))
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "torch": torch.__version__}
    print(json.dumps({"episodes": given.episodes, "draws": given.draws} | machine), flush=True)


if __name__ == "__main__":
    main()
