"""From the description of a search to its parts: the same for a new one and a resumed one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from metanas.api.config import SearchConfig, is_file, table_of
from metanas.api.objectives import bare_references, choose, objective_of, wanted
from metanas.api.probing import probe
from metanas.core.errors import ConfigError, DataError, unknown
from metanas.core.paths import expanded

if TYPE_CHECKING:
    from metanas.core.evaluation import Evaluation
    from metanas.core.plugins import Reference
    from metanas.core.search import Search
    from metanas.core.space import Space
    from metanas.core.task import Task
    from metanas.core.trial import Job, Outcome, Report

FOLDER = "/"
"""Stands for a folder among the suffixes that readers announce."""

OPTION_KINDS = {
    "space": "spaces",
    "strategy": "strategies",
    "estimator": "estimators",
    "task": "tasks",
}


@dataclass(frozen=True)
class Parts:
    """What a description comes to, once everything in it has been looked up and checked."""

    search: Search
    task: Task


def assemble(config: SearchConfig) -> Parts:
    """Look up and check everything that a description names.

    Raises:
        MetanasError: With one line on the first thing that is wrong.
    """
    from metanas.core.plugins import reference, resolve
    from metanas.core.protocols import Context
    from metanas.core.search import Search

    references = references_of(config)
    space = space_of(references["space"])
    strategy = resolve(references["strategy"])
    task = task_of(references["task"], config.task_name())
    _check_fit(config, task)
    if task.recorded is None:
        task.load(config.seed)
    chosen = choose(config, task, references)
    objectives = chosen.deciding
    plan = _plan(config, references, chosen.measured)
    resolve(references["estimator"])()
    if references["space"].source is not None:
        probe(space, task, references["space"].name)
    exact = task.recorded is not None
    strategy(Context(space, objectives, config.epochs, config.seed, exact))
    isolated = resolve(reference("executors", config.executor)).isolated
    if plan.resources and not isolated:
        raise ConfigError(
            f"executor '{config.executor}' runs in this process and cannot measure on resource "
            f"'{plan.resources[0]}'; use tune or pool"
        )
    found = Search(
        name=config.name,
        space=space,
        task=config.task_name(),
        objectives=objectives,
        strategy=strategy,
        evaluate=plan,
        trials=config.trials,
        epochs=config.epochs,
        repeats=config.repeats,
        final_epochs=config.last_epochs(),
        seed=config.seed,
        workers=(config.workers or len(os.sched_getaffinity(0))) if isolated else 1,
        max_seconds=config.max_seconds,
        max_trial_seconds=config.max_trial_seconds,
        exact=exact,
        kind=task.kind,
    )
    return Parts(found, task)


def _check_fit(config: SearchConfig, task: Task) -> None:
    """A task of rows is trained on, and a table of results is read, once and within its rows."""
    if task.recorded is None:
        if config.estimator == "table":
            raise ConfigError(f"task '{task.name}' has rows to train on: --estimator is 'table'")
        return
    given = {
        "--estimator": (config.estimator, "table"),
        "--space": (config.space, "table"),
        "--epochs": (config.epochs, 1),
        "--final-epochs": (config.last_epochs(), min(1, config.last_epochs())),
    }
    for option, (value, expected) in given.items():
        if value != expected:
            raise ConfigError(
                f"{option} is {value}, expected {expected}: '{task.name}' is a table of results"
            )


def plan_of(config: SearchConfig) -> Plan:
    """What a worker needs to train on the description's task; nothing else is measured."""
    return _plan(config, references_of(config), ())


def _plan(
    config: SearchConfig, references: Mapping[str, Reference], measured: Sequence[Reference]
) -> Plan:
    return Plan(
        references["space"],
        references["task"],
        config.task_name(),
        references["estimator"],
        tuple(measured),
    )


@dataclass(frozen=True)
class Plan:
    """Everything a worker needs, as plain data; called with a job, it runs it."""

    space: Reference
    task: Reference
    task_name: str
    estimator: Reference
    objectives: tuple[Reference, ...]

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        """Run a job; parts are made once a process."""
        from metanas.core.trial import Outcome

        try:
            evaluation = _evaluation(self)
        except Exception as error:  # noqa: BLE001 - a worker that lacks a file says so
            text = " ".join(f"{type(error).__name__}: {error}".split())
            yield Outcome("crashed", {}, 0.0, f"this worker cannot begin: {text}"[:500])
            return
        yield from evaluation(job)

    @property
    def resources(self) -> tuple[str, ...]:
        """The Ray resources on which something is measured."""
        found = {objective_of(each).resource for each in self.objectives}
        return tuple(sorted(found - {""}))

    def measured_on(self, resource: str, job: Job) -> dict[str, float]:
        """What is measured on a resource, of a job's network; runs on a node that has it."""
        from metanas.core.trial import proposal_from

        space, task = space_of(self.space), task_of(self.task, self.task_name)
        values = proposal_from(job.proposal, space).architecture.values
        module = space.build(values, task.shape, task.outputs)
        return {
            objective.name: objective.measure(module, task.shape)
            for objective in map(objective_of, self.objectives)
            if objective.resource == resource and objective.measure is not None
        }


@lru_cache(maxsize=4)
def _evaluation(plan: Plan) -> Evaluation:
    from metanas.core.evaluation import Evaluation
    from metanas.core.plugins import resolve

    return Evaluation(
        space_of(plan.space),
        task_of(plan.task, plan.task_name),
        resolve(plan.estimator)(),
        tuple(each for each in map(objective_of, plan.objectives) if not each.resource),
    )


def space_of(reference: Reference) -> Space:
    """A space is a value, or a function with options that gives one."""
    from metanas.core.plugins import resolve
    from metanas.core.space import Space

    found = resolve(reference)
    space = found() if callable(found) else found
    if not isinstance(space, Space):
        raise ConfigError(f"space '{reference.name}' is a {type(space).__name__}, expected a Space")
    return space


def task_of(reference: Reference, name: str) -> Task:
    """A task is a value, or a function with options that gives one; it gets the search's name."""
    from metanas.core.plugins import resolve
    from metanas.core.task import Task

    found = resolve(reference)
    task = found() if callable(found) else found
    if not isinstance(task, Task):
        raise ConfigError(f"task '{reference.name}' is a {type(task).__name__}, expected a Task")
    return replace(task, name=name)


def space_reference(config: SearchConfig) -> Reference:
    """The reference to the space alone: it needs no data, and no other part.

    For a description that has been searched: its options are known to be the space's.
    """
    from metanas.core.plugins import options_of, reference

    if config.space == "table":  # its space is its rows
        return references_of(config)["space"]
    bare = reference("spaces", config.space, source=config.sources.get("space"))
    known = options_of(bare)
    options: dict[str, Any] = {}
    for key, value in config.set:
        part, dot, option = key.rpartition(".")
        if part == "space" or (not dot and option in known):
            options[option] = value
    return reference("spaces", bare.name, options, bare.source)


def on_other_data(config: SearchConfig) -> tuple[SearchConfig, tuple[str, ...]]:
    """A description whose task was exchanged, without options that the new reader lacks.

    Returns:
        The description, and the names of the options that were left out.
    """
    from metanas.core.plugins import options_of

    bare = _bare(config)
    known = options_of(bare.pop("task"))
    others = {option: part for part, found in bare.items() for option in options_of(found)}
    kept, lacking = [], []
    for key, value in config.set:
        part, dot, option = key.rpartition(".")
        part = part if dot else others.get(option, "task")
        if part == "task" and option not in known:
            lacking.append(f"task.{option}")
        else:
            kept.append((f"{part}.{option}", value))
    return replace(config, set=tuple(kept)), tuple(lacking)


def _bare(config: SearchConfig) -> dict[str, Reference]:
    """References to the parts and objectives, without options."""
    from metanas.core.plugins import reference

    names = {"space": config.space, "strategy": config.strategy, "estimator": config.estimator}
    names["task"], _ = _reader(config)
    return {
        part: reference(kind, names[part], source=config.sources.get(part))
        for part, kind in OPTION_KINDS.items()
    } | bare_references(config)


def references_of(config: SearchConfig) -> dict[str, Reference]:
    """References to the parts and objectives, with the options that `--set` gives each."""
    from metanas.core.plugins import options_of, reference

    bare = _bare(config)
    options: dict[str, dict[str, Any]] = {part: {} for part in bare}
    options["task"] |= _reader(config)[1]
    # The rows of a table are its space, and take their options from the task.
    owning = {
        part: found for part, found in bare.items() if found.name != "table" or part != "space"
    }
    for key, value in config.set:
        # From the right: my_goal.py:goal.batch is the option of a part with dots in its name.
        part, dot, option = key.rpartition(".")
        if not dot:
            owners = [part for part, found in owning.items() if key in options_of(found)]
            if len(owners) != 1:
                known = [f"{p}.{o}" for p, found in bare.items() for o in options_of(found)]
                raise ConfigError(f"--set {key}: no option '{key}'{unknown(key, known)}")
            part, option = owners[0], key
        if part not in owning:
            raise ConfigError(f"--set {key}: no part '{part}'{unknown(part, owning)}")
        options[part][option] = value
    if config.space == "table":
        options["space"] |= options["task"]
    if "split_seed" in options_of(bare["estimator"]):
        options["estimator"].setdefault("split_seed", config.seed)
    return {
        part: reference(found.kind, found.name, options[part], found.source)
        for part, found in bare.items()
    }


def _reader(config: SearchConfig) -> tuple[str, dict[str, Any]]:
    """The plug-in that reads a task, and its options."""
    from metanas.core.plugins import readers

    table = table_of(config.task)
    if table is not None:
        if config.where:
            raise ConfigError(f"--where picks rows of images, and '{config.task}' is a table")
        return "table", {"path": table[0], "target": table[1]}
    if not is_file(config.task):
        if config.where:
            raise ConfigError(f"--where picks rows of a file, and task '{config.task}' is none")
        return config.task, {}
    path, known = expanded(config.task), readers()
    if not os.path.exists(path):  # also where it may not be looked at
        raise DataError(f"task '{config.task}': there is no '{path}'")
    suffix = FOLDER if path.is_dir() else path.suffix.lower()
    if suffix not in known:
        raise ConfigError(
            f"task '{config.task}': no reader for '{suffix}' files{unknown(suffix, known)}"
        )
    if config.where and "=" not in config.where:
        raise ConfigError(f"--where is '{config.where}', expected COLUMN=VALUE")
    return known[suffix], {"path": config.task, "where": config.where}


def sources_of_task(config: SearchConfig) -> dict[str, str]:
    """The text of the user's own file that defines the task, if one does."""
    from metanas.core.plugins import read_source

    data = is_file(config.task) or table_of(config.task) is not None
    text = None if data else read_source("tasks", config.task)[1]
    return {} if text is None else {"task": text}


def sources_of(config: SearchConfig) -> dict[str, str]:
    """The texts of the user's own files."""
    from metanas.core.plugins import read_source

    texts = sources_of_task(config)
    for part, kind in OPTION_KINDS.items():
        text = None if part == "task" else read_source(kind, getattr(config, part))[1]
        if text is not None:
            texts[part] = text
    for name in (wanted(text).name for text in config.objective):
        text = read_source("objectives", name)[1]
        if text is not None:
            texts[name] = text
    return texts
