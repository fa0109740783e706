"""A search from its description: what the command line and Python programs call.

`SearchConfig` is the border: plain values, checked where they enter. From it come the
search's parts, the same way for a new search and for one that is resumed from the
description in its journal.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metanas import __version__
from metanas.core.errors import ConfigError, HomeError, JournalError, MetanasError, unknown

if TYPE_CHECKING:
    from metanas.core.evaluation import Evaluation
    from metanas.core.objective import Objective
    from metanas.core.plugins import Reference
    from metanas.core.protocols import Tracker
    from metanas.core.search import Result, Search
    from metanas.core.space import Space
    from metanas.core.task import Task
    from metanas.core.trial import Job, Outcome, Report, Trial
    from metanas.stores.journal import FileJournal

JOURNAL = "journal.jsonl"
LOG = "log.txt"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
READERS = {".parquet": "parquet", ".pq": "parquet"}
MEASURED = ("params", "flops")
"""Objectives that are measured and logged whether they decide or not."""

OPTION_KINDS = {
    "space": "spaces",
    "strategy": "strategies",
    "estimator": "estimators",
    "task": "tasks",
}


@dataclass(frozen=True)
class SearchConfig:
    """What a user asks for, under the names of the command line.

    Raises:
        ConfigError: If a value is out of range.
    """

    task: str
    where: str = ""
    space: str = "cnn"
    strategy: str = "evolution"
    estimator: str = "train"
    objective: tuple[str, ...] = ()
    trials: int = 24
    epochs: int = 5
    final_epochs: str = "3x"
    max_seconds: float | None = None
    max_trial_seconds: float | None = None
    workers: int = 0
    executor: str = "tune"
    seed: int = 0
    name: str = ""
    set: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lows = (("trials", 1), ("epochs", 1), ("workers", 0), ("seed", 0))
        for key, low in lows:
            if getattr(self, key) < low:
                raise ConfigError(f"search.{key} is {getattr(self, key)}, expected at least {low}")
        for key in ("max_seconds", "max_trial_seconds"):
            limit = getattr(self, key)
            if limit is not None and not limit > 0:
                raise ConfigError(f"search.{key} is {limit}, expected more than 0")
        if len(self.objective) > 1:
            raise ConfigError(
                f"search.objective is given {len(self.objective)} times, expected once: "
                "one objective decides, the others are measured and logged all the same"
            )
        if self.name and not NAME.fullmatch(self.name):
            raise ConfigError(
                f"search.name is '{self.name}', expected letters, digits, '.', '_' and '-'"
            )
        self.last_epochs()

    def last_epochs(self) -> int:
        """Epochs of the winner's training: a number, or a multiple of `epochs` such as 3x."""
        text = str(self.final_epochs)
        try:
            factor = float(text[:-1]) * self.epochs if text.endswith("x") else int(text)
        except ValueError:
            factor = -1
        if not 0 <= factor < 1e9:
            raise ConfigError(
                f"search.final_epochs is '{text}', expected a number of epochs or, as '3x', "
                "a multiple of those of a trial"
            )
        return max(1, round(factor)) if factor else 0

    def task_name(self) -> str:
        """Under which its trials are stored."""
        if not _is_file(self.task):
            return self.task.rpartition(":")[2]
        value = self.where.partition("=")[2]
        return Path(self.task).stem + (f"-{value}" if value else "")


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


@dataclass(frozen=True)
class Finished:
    """A search that has ended, for whoever reports it."""

    config: SearchConfig
    result: Result
    objective: Objective
    seconds: float
    tracking_uri: str
    log: Path


def home_folder(given: str | None = None) -> Path:
    """The home folder of metanas: as given, METANAS_HOME, or ``~/.metanas``; made if need be.

    Raises:
        HomeError: If it cannot be made or written.
    """
    home = Path(given or os.environ.get("METANAS_HOME") or "~/.metanas").expanduser().absolute()
    try:
        (home / "searches").mkdir(parents=True, exist_ok=True)
        probe = home / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HomeError(f"home {home} cannot be written: {error.strerror}") from None
    return home


def search(
    config: SearchConfig, home: Path, console: Callable[..., Tracker] | None = None
) -> Finished:
    """Run a new search.

    The journal is begun before anything heavy is imported; if the description turns out
    to be wrong, it is removed again.

    Args:
        config: What to search.
        home: As `home_folder` gives it.
        console: Makes the tracker that a person watches; called with the search, its past
            trials and the number of workers.

    Raises:
        MetanasError: If the description cannot be searched; nothing is left behind.
    """
    config = replace(config, sources=_sources(config))
    if _is_file(config.task):
        config = replace(config, task=str(Path(config.task).expanduser().absolute()))
    name, folder = _claim(config, home)
    config = replace(config, name=name)
    from metanas.stores.journal import FileJournal

    with FileJournal(folder / JOURNAL) as journal:
        if journal.events():
            raise HomeError(f"a search '{name}' has just been started by another process")
        journal.append(
            {
                "event": "search",
                "time_s": time.time(),
                "version": __version__,
                "id": uuid.uuid4().hex,
                "config": {**asdict(config), "task_name": config.task_name()},
            }
        )
        try:
            parts = assemble(config)
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return _run(config, parts, journal, home, console)


def resume(
    name: str,
    home: Path,
    trials: int | None = None,
    console: Callable[..., Tracker] | None = None,
) -> Finished:
    """Go on with a search, or give its result again where nothing is missing.

    Args:
        name: Of the search.
        home: As `home_folder` gives it.
        trials: Extends it to so many.
        console: As for `search`.

    Raises:
        HomeError: If there is no such search, or it is running.
        JournalError: If its journal is damaged.
    """
    from metanas.stores.journal import FileJournal

    with FileJournal(_existing(name, home) / JOURNAL) as journal:
        config = _config_of(journal.events(), journal.path)
        aims = [e.get("trials", 0) for e in journal.events() if e.get("event") == "attempt"]
        aim = max([config.trials, *aims])
        if trials is not None and trials < aim:
            raise ConfigError(f"search '{name}' has {aim} trials, expected at least as many")
        config = replace(config, trials=trials or aim)
        with _naming(journal.path):
            return _run(config, assemble(config), journal, home, console)


def show(name: str, home: Path) -> Finished:
    """What a search has found so far, from its journal alone.

    Raises:
        HomeError: If there is no such search.
        JournalError: If its journal is damaged.
    """
    from metanas.core.plugins import reference
    from metanas.core.search import result_so_far
    from metanas.stores.journal import read_events
    from metanas.trackers.mlflow import public, tracking_uri

    path = _existing(name, home) / JOURNAL
    events = read_events(path)
    config = _config_of(events, path)
    references = _references(config)
    attempts = [event for event in events if event.get("event") == "attempt"]
    if attempts:
        from metanas.core.objective import Objective

        first = attempts[-1]["objectives"][0]
        objective = Objective(first["name"], "", first["goal"])
        config = replace(config, trials=max(config.trials, int(attempts[-1]["trials"])))
    else:
        objective = reference_objective(reference("objectives", "accuracy"))
    with _naming(path):
        result = result_so_far(events, _space(references["space"]), objective)
    seconds = _span(events)
    uri = public(tracking_uri(home))
    return Finished(config, result, objective, seconds, uri, path.parent / LOG)


def searches(home: Path) -> list[tuple[str, str]]:
    """The searches of a home folder: their names, and what each is about, newest first."""
    from metanas.stores.journal import read_events

    found = []
    paths = (home / "searches").glob(f"*/{JOURNAL}")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            events = read_events(path)
            config = _config_of(events, path)
        except MetanasError as error:
            found.append((path.parent.name, str(error)))
            continue
        done = sum(event.get("event") == "finished" for event in events)
        aims = [config.trials, *(e.get("trials", 0) for e in events if e.get("event") == "attempt")]
        about = f"{config.task_name()}, {config.space}, {config.strategy}"
        found.append((path.parent.name, f"{about}: {done} of {max(aims)} trials"))
    return found


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

    references = _references(config)
    space = _space(references["space"])
    strategy = resolve(references["strategy"])
    task = _task(references["task"], config.task_name())
    task.load(config.seed)
    chosen = _objectives(config, task)
    objectives = tuple(objective for objective, _ in chosen)
    plan = Plan(
        references["space"],
        references["task"],
        config.task_name(),
        references["estimator"],
        tuple(found for objective, found in chosen if found and objective.measure),
    )
    resolve(references["estimator"])()
    strategy(Context(space, objectives, config.epochs, config.seed))
    reference("executors", config.executor)
    found = Search(
        name=config.name,
        space=space,
        task=config.task_name(),
        objectives=objectives,
        strategy=strategy,
        evaluate=plan,
        trials=config.trials,
        epochs=config.epochs,
        final_epochs=config.last_epochs(),
        seed=config.seed,
        workers=config.workers or os.cpu_count() or 1,
        max_seconds=config.max_seconds,
        max_trial_seconds=config.max_trial_seconds,
    )
    return Parts(found, task)


def record(finished: Finished) -> dict[str, Any]:
    """The result as the JSON object that commands print."""
    config, result = finished.config, finished.result

    def described(trial: Trial) -> dict[str, Any]:
        return {
            "number": trial.number,
            "architecture": dict(trial.proposal.architecture.values),
            "metrics": dict(trial.metrics),
        }

    best: dict[str, Any] | None = None
    if result.best is not None:
        best = described(result.best)
        final = result.final
        whole = final is not None and final.outcome.status == "completed"
        if final is not None and whole and final.number == result.best.number:
            best |= {f"test_{name}": value for name, value in final.outcome.metrics.items()}
    return {
        "search": config.name,
        "task": config.task_name(),
        "space": config.space,
        "strategy": config.strategy,
        "seed": config.seed,
        "prior": None,
        "trials": len(result.trials),
        "failed": sum(trial.failed for trial in result.trials),
        "best": best,
        "front": [described(trial) for trial in result.front],
        "seconds": round(finished.seconds, 3),
        "seconds_training": round(sum(trial.seconds for trial in result.trials), 3),
        "tracking_uri": finished.tracking_uri,
    }


# ------------------------------------------------------------------------------ parts


def _run(
    config: SearchConfig,
    parts: Parts,
    journal: FileJournal,
    home: Path,
    console: Callable[..., Tracker] | None,
) -> Finished:
    from metanas.core.plugins import reference, resolve
    from metanas.core.search import read_history, run
    from metanas.trackers.mlflow import MLflowTracker, public, tracking_uri

    started = time.monotonic()
    folder = journal.path.parent
    found = parts.search
    history = read_history(journal.events(), found.space)
    over = history.ended and found.trials <= history.aim
    if over:
        started -= _span(journal.events())
    trackers: list[Tracker] = []
    say: Callable[[str], None] = lambda _: None  # noqa: E731
    if console is not None:
        shown = console(found, history.trials)
        trackers.append(shown)
        say = getattr(shown, "say", say)
    trackers.append(MLflowTracker(home, folder, folder / LOG, say, over))
    executor = resolve(reference("executors", config.executor))(folder=str(home))
    try:
        result = run(found, executor=executor, journal=journal, trackers=trackers)
    finally:
        executor.close()
    uri = public(tracking_uri(home))
    seconds = time.monotonic() - started
    return Finished(config, result, found.objectives[0], seconds, uri, folder / LOG)


@lru_cache(maxsize=4)
def _evaluation(plan: Plan) -> Evaluation:
    from metanas.core.evaluation import Evaluation
    from metanas.core.plugins import resolve

    return Evaluation(
        _space(plan.space),
        _task(plan.task, plan.task_name),
        resolve(plan.estimator)(),
        tuple(reference_objective(reference) for reference in plan.objectives),
    )


def _space(reference: Reference) -> Space:
    """A space is a value, or a function with options that gives one."""
    from metanas.core.plugins import resolve
    from metanas.core.space import Space

    found = resolve(reference)
    space = found() if callable(found) else found
    if not isinstance(space, Space):
        raise ConfigError(f"space '{reference.name}' is a {type(space).__name__}, expected a Space")
    return space


def _task(reference: Reference, name: str) -> Task:
    from metanas.core.plugins import resolve
    from metanas.core.task import Task

    found = resolve(reference)
    task = found() if callable(found) else found
    if not isinstance(task, Task):
        raise ConfigError(f"task '{reference.name}' is a {type(task).__name__}, expected a Task")
    return replace(task, name=name)


def reference_objective(reference: Reference) -> Objective:
    """The objective that a reference names."""
    from metanas.core.objective import Objective
    from metanas.core.plugins import resolve

    found = resolve(reference)
    if not isinstance(found, Objective):
        raise ConfigError(f"objective '{reference.name}' is no Objective")
    return found


def _objectives(config: SearchConfig, task: Task) -> list[tuple[Objective, Reference | None]]:
    """What is measured, the deciding one first, with a reference unless the task reports it."""
    from metanas.core.plugins import listing, reference

    metrics = {metric.name: metric for metric in task.metrics}
    name = config.objective[0] if config.objective else task.metrics[0].name
    first: tuple[Objective, Reference | None]
    if name in metrics:
        first = metrics[name], None
    else:
        measured = [listed.name for listed in listing("objectives")]
        if ":" not in name and name not in measured:
            known = {*metrics, *measured}
            raise ConfigError(f"no objective '{name}' on task '{task.name}'{unknown(name, known)}")
        found = reference("objectives", name, source=config.sources.get("objective"))
        first = reference_objective(found), found
        if first[0].measure is None:
            raise ConfigError(
                f"task '{task.name}' does not report objective '{name}'; it reports "
                f"{', '.join(metrics)}"
            )
    others = [reference("objectives", other) for other in MEASURED if other != name]
    return [first, *((reference_objective(each), each) for each in others)]


def _references(config: SearchConfig) -> dict[str, Reference]:
    """References to the parts, with the options that `--set` gives each."""
    from metanas.core.plugins import Reference, options_of, reference

    options: dict[str, dict[str, Any]] = {part: {} for part in OPTION_KINDS}
    names = {"space": config.space, "strategy": config.strategy, "estimator": config.estimator}
    names["task"], options["task"] = _reader(config)
    bare = {
        part: reference(kind, names[part], source=config.sources.get(part))
        for part, kind in OPTION_KINDS.items()
    }
    for key, value in config.set:
        part, dot, option = key.partition(".")
        if not dot:
            owners = [part for part, found in bare.items() if key in options_of(found)]
            if len(owners) != 1:
                known = [f"{p}.{o}" for p, found in bare.items() for o in options_of(found)]
                raise ConfigError(f"--set {key}: no option '{key}'{unknown(key, known)}")
            part, option = owners[0], key
        if part not in options:
            raise ConfigError(f"--set {key}: no part '{part}'{unknown(part, options)}")
        options[part][option] = value
    if "split_seed" in options_of(bare["estimator"]):
        options["estimator"].setdefault("split_seed", config.seed)
    return {
        part: reference(found.kind, found.name, options[part], found.source)
        if isinstance(found, Reference)
        else found
        for part, found in bare.items()
    }


def _reader(config: SearchConfig) -> tuple[str, dict[str, Any]]:
    """The plug-in that reads a task, and its options."""
    if not _is_file(config.task):
        if config.where:
            raise ConfigError(f"--where picks rows of a file, and task '{config.task}' is none")
        return config.task, {}
    suffix = Path(config.task).suffix.lower()
    if suffix not in READERS:
        raise ConfigError(
            f"task '{config.task}': no reader for '{suffix}' files{unknown(suffix, READERS)}"
        )
    if config.where and "=" not in config.where:
        raise ConfigError(f"--where is '{config.where}', expected COLUMN=VALUE")
    return READERS[suffix], {"path": config.task, "where": config.where}


def _is_file(task: str) -> bool:
    """Whether TASK is a path rather than the name of a task, built in or in a user's file."""
    return ".py:" not in task and (os.sep in task or bool(Path(task).suffix))


def _sources(config: SearchConfig) -> dict[str, str]:
    """The texts of the user's own files."""
    from metanas.core.plugins import read_source

    texts = {}
    for part, kind in OPTION_KINDS.items():
        given = getattr(config, part)
        if part == "task" and _is_file(given):
            continue
        text = read_source(kind, given)[1]
        if text is not None:
            texts[part] = text
    for given in config.objective:
        text = read_source("objectives", given)[1]
        if text is not None:
            texts["objective"] = text
    return texts


# --------------------------------------------------------------------------- folders


def _claim(config: SearchConfig, home: Path) -> tuple[str, Path]:
    """Make the search's folder, which no two searches can; a derived name counts up.

    Raises:
        HomeError: If a search has the name already.
    """
    root = home / "searches"
    if config.name:
        folder = root / config.name
        folder.mkdir(exist_ok=True)
        path = folder / JOURNAL
        # A folder without a first event is what a kill in the first instant leaves.
        if path.exists() and path.stat().st_size:
            raise HomeError(
                f"a search '{config.name}' exists already: `metanas resume {config.name}` goes "
                "on with it, or choose another --name"
            )
        return config.name, folder
    stem = f"{config.task_name()}-{_stem(config.space)}-{_stem(config.strategy)}-{config.seed}"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:90]
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        try:
            (root / name).mkdir()
        except FileExistsError:
            number += 1
            continue
        return name, root / name


def _stem(name: str) -> str:
    return name.rpartition(":")[2]


def _existing(name: str, home: Path) -> Path:
    folder = home / "searches" / name
    if not NAME.fullmatch(name) or not (folder / JOURNAL).is_file():
        names = [path.parent.name for path in (home / "searches").glob(f"*/{JOURNAL}")]
        raise HomeError(f"no search '{name}' in {home}{unknown(name, names)}")
    return folder


def _config_of(events: Sequence[Mapping[str, Any]], path: Path) -> SearchConfig:
    """The description in a journal's first event.

    Raises:
        JournalError: If it has none.
    """
    try:
        known = {each.name for each in fields(SearchConfig)}
        given = {k: v for k, v in events[0]["config"].items() if k in known}
        given["set"] = tuple((key, value) for key, value in given["set"])
        given["objective"] = tuple(given["objective"])
        return SearchConfig(**given)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError):
        raise JournalError(f"{path}:1: no description of a search") from None


def _span(events: Sequence[Mapping[str, Any]]) -> float:
    """Seconds in which a search ran: from each attempt's begin to its last event."""
    spans, began, last = 0.0, None, 0.0
    for event in events:
        if event.get("event") == "attempt":
            spans += 0.0 if began is None else last - began
            began = float(event["time_s"])
        last = float(event.get("time_s", last))
    return spans + (0.0 if began is None else last - began)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file a wrong event is in."""
    try:
        yield
    except JournalError as error:
        text = str(error)
        raise JournalError(text if str(path) in text else f"{path}: {text}") from None
