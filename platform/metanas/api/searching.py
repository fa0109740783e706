"""Running a search from its description, going on with it, and telling what it found."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metanas import __version__
from metanas.api.closing import leave
from metanas.api.config import SearchConfig, config_of, path_of
from metanas.api.home import JOURNAL, LOG, WEIGHTS, claim, existing, keep, naming, span
from metanas.api.parts import (
    assemble,
    sources_of,
    space_of,
    space_reference,
)
from metanas.api.sameness import (
    Known,
    Noting,
    check_fit,
    check_rows,
    known_task,
    task_record,
)
from metanas.api.starting import fingerprint_of, known_start, named, start_of, told
from metanas.core.errors import ConfigError, HomeError

if TYPE_CHECKING:
    from metanas.core.history import Result
    from metanas.core.objective import Objective
    from metanas.core.protocols import Executor, Tracker
    from metanas.core.search import Search
    from metanas.core.task import Task
    from metanas.core.trial import Trial
    from metanas.stores.journal import FileJournal


@dataclass(frozen=True)
class Finished:
    """A search that has ended, for whoever reports it."""

    config: SearchConfig
    result: Result
    objectives: tuple[Objective, ...]
    seconds: float
    tracking_uri: str
    log: Path
    task: Known = field(default_factory=dict)
    """What the task was when it began, as `task_record` gives it; empty if it is not known."""
    prior: Mapping[str, Any] | None = None
    """What it started from, as JSON says it."""


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
    config = replace(config, sources=sources_of(config), task=path_of(config.task))
    name, folder = claim(config, home)
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
            begun = _begin(config, journal, home, console)
        except BaseException:  # nothing has run yet, whoever or whatever ends it here
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return _run(begun)


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
        DataError: If the task's data changed since.
        JournalError: If its journal is damaged.
    """
    from metanas.stores.journal import FileJournal

    with FileJournal(existing(name, home) / JOURNAL) as journal:
        config = config_of(journal.events(), journal.path)
        aims = [e.get("trials", 0) for e in journal.events() if e.get("event") == "attempt"]
        aim = max([config.trials, *aims])
        if trials is not None and trials < aim:
            raise ConfigError(f"search '{name}' has {aim} trials, expected at least as many")
        config = replace(config, trials=trials or aim)
        with naming(journal.path):
            return _run(_begin(config, journal, home, console))


def show(name: str, home: Path) -> Finished:
    """What a search has found so far, from its journal alone.

    Raises:
        HomeError: If there is no such search.
        JournalError: If its journal is damaged.
    """
    from metanas.core.history import result_so_far
    from metanas.core.objective import Objective
    from metanas.stores.journal import read_events
    from metanas.trackers.mlflow import public, tracking_uri

    path = existing(name, home) / JOURNAL
    events = read_events(path)
    config = config_of(events, path)
    attempts = [event for event in events if event.get("event") == "attempt"]
    objectives: tuple[Objective, ...] = ()
    if attempts:
        objectives = tuple(Objective(**each) for each in attempts[-1]["objectives"])
        config = replace(config, trials=max(config.trials, int(attempts[-1]["trials"])))
    with naming(path):
        result = result_so_far(events, space_of(space_reference(config)), objectives)
    seconds = span(events)
    uri = public(tracking_uri(home))
    log = path.parent / LOG
    prior = told(known_start(events))
    return Finished(config, result, objectives, seconds, uri, log, known_task(events), prior)


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
        best = described(result.best) | {"why": result.why}
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
        "prior": finished.prior,
        "trials": len(result.trials),
        "failed": sum(trial.failed for trial in result.trials),
        "best": best,
        "front": [described(trial) for trial in result.front],
        "seconds": round(finished.seconds, 3),
        "seconds_training": round(sum(trial.seconds for trial in result.trials), 3),
        "tracking_uri": finished.tracking_uri,
    }


@dataclass(frozen=True)
class _Begun:
    """A search about to run: everything is looked up, and the workers are there."""

    config: SearchConfig
    search: Search
    journal: Noting
    folder: Path
    executor: Executor
    trackers: list[Tracker]
    home: Path
    before_s: float
    say: Callable[[str], None]


def _begin(
    config: SearchConfig,
    journal: FileJournal,
    home: Path,
    console: Callable[..., Tracker] | None,
) -> _Begun:
    from metanas.core.history import read_history
    from metanas.core.plugins import reference, resolve
    from metanas.trackers.mlflow import MLflowTracker

    parts = assemble(config)
    found, events = parts.search, journal.events()
    task = task_record(parts.task, config.seed)
    _check_task(config, known_task(events), parts.task, task)
    history = read_history(events, found.space)
    over = history.ended and found.trials <= history.aim
    before_s = span(events) if over else 0.0
    known = known_start(events)
    version = named(config, known, home)
    trackers: list[Tracker] = []
    say: Callable[[str], None] = lambda _: None  # noqa: E731
    if console is not None:
        shown = console(found, history.trials)
        trackers.append(shown)
        say = getattr(shown, "say", say)
    folder = journal.path.parent
    noting = Noting(journal, task)
    if not over:
        start = start_of(config, found, version, known, (home, folder), say)
        found = replace(found, prior=start.expected)
        more = {"fingerprint": fingerprint_of(parts.task, events, home)}
        noting = replace(noting, more=more | ({"prior": start.record} if start.record else {}))
    executor: Executor = resolve(reference("executors", config.executor))(folder=str(home))
    try:
        if not over:
            executor.open(found.workers)
    except BaseException:
        executor.close()
        raise
    trackers.append(MLflowTracker(home, folder, folder / LOG, say, over))
    return _Begun(config, found, noting, folder, executor, trackers, home, before_s, say)


def _check_task(config: SearchConfig, known: Known, task: Task, found: Known) -> None:
    """Metrics of trials on other data could not be compared with those before."""
    what = f"task '{config.task}'"
    check_fit(known, task, what)
    check_rows(known, found, what)


def _run(begun: _Begun) -> Finished:
    from metanas.core.search import run
    from metanas.trackers.mlflow import public, tracking_uri

    started = time.monotonic()
    search, journal, folder = begun.search, begun.journal, begun.folder
    try:
        try:
            result = run(
                search,
                executor=begun.executor,
                journal=journal,
                trackers=begun.trackers,
                keep=lambda weights: keep(folder / WEIGHTS, weights),
            )
        finally:
            begun.executor.close()
        seconds = time.monotonic() - started + begun.before_s
        uri = public(tracking_uri(begun.home))
        prior = told(known_start(journal.events()))
        log, objectives = folder / LOG, search.objectives
        finished = Finished(
            begun.config, result, objectives, seconds, uri, log, journal.task, prior
        )
        leave(finished, begun.home, folder, begun.say)
    finally:
        for tracker in begun.trackers:
            tracker.close()
    return finished
