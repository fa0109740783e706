"""Objectives as a user writes them, ``accuracy`` or ``latency_ms<5``, looked up and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from metanas.api.config import SearchConfig
from metanas.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from metanas.core.objective import Objective
    from metanas.core.plugins import Reference
    from metanas.core.task import Task

MEASURED = ("params", "flops")
"""Objectives that are measured and logged whether they decide or not."""

WRITTEN = re.compile(r"\s*(?P<name>[^<>=]+?)\s*(?:(?P<sign>[<>])=?\s*(?P<limit>[^<>=]+))?\s*")


@dataclass(frozen=True)
class Wanted:
    """An objective as written: its name, and the limit with its sign where there is one."""

    name: str
    sign: str = ""
    limit: float | None = None


@dataclass(frozen=True)
class Chosen:
    """What the objectives of a description come to.

    Args:
        deciding: With their limits.
        measured: References to what workers measure, deciding or not; the task's own
            metrics are not among them.
    """

    deciding: tuple[Objective, ...]
    measured: tuple[Reference, ...]


def wanted(text: str) -> Wanted:
    """Read an objective as it is written.

    Raises:
        ConfigError: If it is neither a name nor a name with a limit.
    """
    match = WRITTEN.fullmatch(text)
    try:
        assert match is not None
        limit = None if match["limit"] is None else float(match["limit"])
        assert limit is None or math.isfinite(limit)
        return Wanted(match["name"], match["sign"] or "", limit)
    except (AssertionError, ValueError):
        raise ConfigError(
            f"--objective is '{text}', expected a name, or a name with a limit such as flops<1e6"
        ) from None


def bare_references(config: SearchConfig) -> dict[str, Reference]:
    """References to the objectives that are plug-ins, without options, by name.

    Raises:
        ConfigError: If one is written wrongly, or twice.
    """
    from metanas.core.plugins import listing, reference

    known = {listed.name for listed in listing("objectives")}
    found: dict[str, Reference] = {}
    names = [wanted(text).name for text in config.objective]
    for name in [*names, *MEASURED]:
        if names.count(name) > 1:
            raise ConfigError(f"--objective {name} is given {names.count(name)} times")
        if ":" in name or name in known:
            found[name] = reference("objectives", name, source=config.sources.get(name))
    return found


def choose(config: SearchConfig, task: Task, references: Mapping[str, Reference]) -> Chosen:
    """Look up what decides a search on a task, and what is measured beside.

    Raises:
        ConfigError: If nobody measures an objective, its limit has the wrong sign, or it is
            called as another one or as a metric of the task.
    """
    metrics = {metric.name: metric for metric in task.metrics}
    deciding: list[Objective] = []
    measured: list[Reference] = []
    for each in map(wanted, config.objective or (task.metrics[0].name,)):
        objective = metrics.get(each.name)
        if objective is None:
            objective = _plugin(each.name, task, references)
            measured.append(references[each.name])
        deciding.append(_limited(objective, each))
    names = [objective.name for objective in deciding]
    _check_names(names, [each for each in deciding if each.measure is not None], task)
    others = [references[name] for name in MEASURED if name not in names and not task.recorded]
    return Chosen(tuple(deciding), (*measured, *others))


def _check_names(names: Sequence[str], measured: Sequence[Objective], task: Task) -> None:
    """Every value of a trial needs a name of its own: the later one would hide the earlier."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"--objective: {names.count(name)} objectives are called '{name}', "
                "expected names that differ"
            )
    metrics = {metric.name for metric in task.metrics}
    for objective in measured:
        if objective.name in metrics:
            raise ConfigError(
                f"--objective: objective '{objective.name}' has the name of a metric that task "
                f"'{task.name}' reports, expected another"
            )


def _plugin(name: str, task: Task, references: Mapping[str, Reference]) -> Objective:
    from metanas.core.plugins import listing

    metrics = [metric.name for metric in task.metrics]
    if name not in references:
        known = {*metrics, *(listed.name for listed in listing("objectives"))}
        raise ConfigError(f"no objective '{name}' on task '{task.name}'{unknown(name, known)}")
    objective = objective_of(references[name])
    if objective.measure is None or task.recorded is not None:
        raise ConfigError(
            f"task '{task.name}' does not report objective '{name}'; it reports "
            f"{', '.join(metrics)}"
        )
    return objective


def _limited(objective: Objective, each: Wanted) -> Objective:
    better = ">" if objective.goal == "max" else "<"
    if each.sign and each.sign != better:
        raise ConfigError(
            f"--objective {each.name}{each.sign}{each.limit:g}: of {objective.name} "
            f"{'more' if better == '>' else 'less'} is better, expected "
            f"{each.name}{better}{each.limit:g}"
        )
    return replace(objective, limit=each.limit)


def objective_of(reference: Reference) -> Objective:
    """The objective that a reference names: a value, or a function with options that gives one."""
    from metanas.core.objective import Objective
    from metanas.core.plugins import resolve

    found = resolve(reference)
    objective = found() if callable(found) else found
    if not isinstance(objective, Objective):
        kind = type(objective).__name__
        raise ConfigError(f"objective '{reference.name}' is a {kind}, expected an Objective")
    return objective
