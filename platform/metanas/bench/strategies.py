"""A bench: every strategy with every seed on one table, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metanas.bench.replay import DETECTED, FIT_S, ROW, SUGGESTION_S, Replay
from metanas.bench.scores import Floats, Standing, scores, so_far, standing
from metanas.core.errors import ConfigError, MetanasError
from metanas.core.objective import Objective
from metanas.core.plugins import Reference, resolve
from metanas.core.protocols import Context, Executor
from metanas.core.trial import Job, Outcome, Report
from metanas.tables import load

WARM = "+prior"
"""Ends the name of a strategy that starts from a prior."""


@dataclass(frozen=True)
class Benched:
    """What came of it.

    Args:
        record: As ``metanas bench --json`` prints it.
        standing: Of the table's values.
        rows: By strategy and seed, the rows that were evaluated, in order.
        trials: How many evaluations each had.
        objective: What was searched on.
    """

    record: dict[str, Any]
    standing: Standing
    rows: Mapping[str, Sequence[Sequence[int]]]
    trials: int
    objective: Objective

    def regrets(self, name: str) -> Floats:
        """``[s, t]``: a strategy's normalised regret after each evaluation."""
        return self.standing.regret(so_far(self.standing, self.rows[name], self.trials))


def bench(
    replay: Replay,
    seeds: int,
    executor: Executor,
    workers: int,
    told: Callable[[str], None] = lambda _: None,
) -> Benched:
    """Replay every strategy with seeds 0, 1, ...

    Args:
        replay: On what, and which strategies.
        seeds: How many.
        executor: Runs a replay as a job; its number of workers changes no result.
        workers: How many at a time.
        told: Called with a strategy's name for each replay that has ended.

    Raises:
        ConfigError: If a strategy cannot work on the table, or fails on it.
        DataError: If there is no such table, task or column.
    """
    _check(replay, seeds)
    wanted = [(name, seed) for seed in range(seeds) for name in replay.strategies]
    rows: dict[tuple[str, int], list[int]] = {}
    told_of: dict[str, list[Mapping[str, float]]] = {name: [] for name in replay.strategies}
    left = iter(enumerate(wanted))

    def next_job() -> Job | None:
        number, (name, seed) = next(left, (-1, ("", 0)))
        return Job(number, {"strategy": name}, seed) if number >= 0 else None

    def on_event(job: Job, event: Report | Outcome) -> None:
        name, seed = wanted[job.number]
        if isinstance(event, Report):
            rows.setdefault((name, seed), []).append(int(event.metrics[ROW]))
            return
        if event.status != "completed":
            raise ConfigError(f"strategy '{name}' fails with seed {seed}: {event.error}")
        if (name, seed) not in rows:
            raise ConfigError(f"strategy '{name}' proposes nothing with seed {seed}")
        told_of[name].append(event.metrics)
        told(name)

    executor.open(workers)
    executor(replay, next_job, on_event, workers=workers)
    return _benched(replay, seeds, rows, told_of)


def _check(replay: Replay, seeds: int) -> None:
    """Refuse what cannot be replayed before anything runs."""
    if seeds < 1 or replay.trials < 1:
        raise ConfigError(
            f"bench has {seeds} seeds and {replay.trials} trials, expected at least 1"
        )
    space, task = replay.parts()
    for name, found in replay.strategies.items():
        try:
            resolve(found)(Context(space, task.metrics[:1], 1, 0, exact=True))
        except MetanasError:
            raise
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"strategy '{name}' cannot begin: {text}") from error


def _benched(
    replay: Replay,
    seeds: int,
    rows: Mapping[tuple[str, int], Sequence[int]],
    told_of: Mapping[str, Sequence[Mapping[str, float]]],
) -> Benched:
    table = load(replay.path)
    about = table.task(replay.target)
    column = table.measure(about, replay.measure)
    test = table.read(about.test) if about.test else None
    _, task = replay.parts()
    of = standing(table.read(column), task.metrics[0], test)
    by_name = {name: [rows[name, seed] for seed in range(seeds)] for name in replay.strategies}
    figures = {
        name: scores(of, found, replay.trials) | _told(told_of[name], name in replay.warm)
        for name, found in by_name.items()
    }
    record = {
        "table": table.name,
        "target": replay.target,
        "measure": column,
        "sources": [] if replay.history is None else list(replay.history.sources),
        "trials": replay.trials,
        "seeds": seeds,
        "strategies": figures,
    }
    return Benched(record, of, by_name, replay.trials, task.metrics[0])


def _told(about: Sequence[Mapping[str, float]], warm: bool) -> dict[str, float]:
    """What replays say of themselves: medians of seconds, and how often a prior misled."""
    found = {SUGGESTION_S: float(np.median([each[SUGGESTION_S] for each in about]))}
    if warm:
        found[FIT_S] = float(np.median([each[FIT_S] for each in about]))
        found[DETECTED] = float(np.mean([each[DETECTED] for each in about]))
    return found


def with_priors(strategies: Mapping[str, Reference]) -> tuple[dict[str, Reference], frozenset[str]]:
    """Each strategy, and each that takes a prior a second time as ``NAME+prior``.

    Returns:
        All of them by name, and the names of those that get one.
    """
    found: dict[str, Reference] = {}
    for name, each in strategies.items():
        found[name] = each
        if takes_prior(each):
            found[f"{name}{WARM}"] = each
    return found, frozenset(found.keys() - strategies.keys())


def takes_prior(found: Reference) -> bool:
    """Whether a strategy says that it starts from a prior where there is one."""
    return bool(
        getattr(resolve(Reference(found.kind, found.name, (), found.source)), "takes_prior", False)
    )


LABELLED = re.compile(r"(?P<label>[\w-]+)=(?P<name>.+)")
"""A strategy under a label of its own; what has a ``=`` further on in a path has none."""


def references(names: Sequence[str], settings: Sequence[tuple[str, str]]) -> dict[str, Reference]:
    """Strategies by the labels that results are told under, with options ``LABEL.option``.

    Args:
        names: Of strategies, ``file.py:name`` for one's own; the label is the name, or what
            is asked for with ``LABEL=NAME``.
        settings: Options and their values.

    Raises:
        ConfigError: If two have the same label, or an option is of none of them.
        PluginError: If there is no such strategy.
    """
    from metanas.core.errors import unknown
    from metanas.core.plugins import reference

    labelled: dict[str, str] = {}
    for given in names:
        asked = LABELLED.fullmatch(given)
        name = asked["name"] if asked else given
        label = asked["label"] if asked else name.rpartition(":")[2]
        if label in labelled:
            raise ConfigError(
                f"--strategy names one twice: {labelled[label]} and {name} are both '{label}'; "
                f"give one a label of its own: LABEL={name}"
            )
        labelled[label] = name
    options: dict[str, dict[str, str]] = {label: {} for label in labelled}
    for key, value in settings:
        owner, dot, option = key.rpartition(".")
        if not dot:
            raise ConfigError(f"--set {key}: of which strategy? {', '.join(options)}: LABEL.{key}")
        if owner not in options:
            raise ConfigError(f"--set {key}: no strategy '{owner}'{unknown(owner, options)}")
        options[owner][option] = value
    return {
        label: reference("strategies", name, options[label]) for label, name in labelled.items()
    }
