"""What a search starts from: the prior that `--prior` names, and its task's fingerprint.

Which version it is, is decided once, before the first proposal, and journalled with each
attempt; resuming takes that version and no other, from a copy beside the journal or else
from the registry. Whatever goes wrong with a prior ends no search: it says so in one line
and starts from nothing. Only a version that does not exist is refused, before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metanas.api.config import SearchConfig
from metanas.api.prior import DEFAULT_NAME, refreshed, registry_of
from metanas.api.sameness import task_record
from metanas.core.errors import ConfigError, HomeError, MetanasError, PriorError

if TYPE_CHECKING:
    from metanas.core.protocols import Prior as Expected
    from metanas.core.search import Search
    from metanas.core.task import Task
    from metanas.meta.prior import Prior
    from metanas.meta.registry import Version

NONE, AUTO = "none", "auto"
COPY = "prior"
"""The folder beside a journal."""
Record = Mapping[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """What past tasks expect, and what the journal says of it.

    Args:
        expected: None for a search that starts from nothing.
        record: `name`, `version`, `learnt` (a hash), `tasks` with how many trials, `left_out`
            and `why` there is none; empty without `--prior`.
    """

    expected: Expected | None = None
    record: Record = field(default_factory=dict)


def known_start(events: Sequence[Mapping[str, Any]]) -> Record | None:
    """What the first attempt started from; None where there was none yet."""
    for event in events:
        if event.get("event") == "attempt":
            found = event.get("prior")
            return found if isinstance(found, dict) else {}
    return None


def told(record: Record | None) -> dict[str, Any] | None:
    """What JSON says of the prior: None for a search that started from nothing."""
    if not record or record.get("why"):
        return None
    return {name: record.get(name) for name in ("name", "version", "tasks", "left_out")}


def named(config: SearchConfig, known: Record | None, home: Path) -> Version | str:
    """The version that `--prior NAME` names; "" where none is named, or a line on why not.

    Raises:
        ConfigError: If there is no such version, or the strategy takes no prior.
    """
    if known is not None or config.prior in (NONE, AUTO):
        return ""
    from metanas.meta.registry import parse

    parse(config.prior)
    if not takes_prior(config):
        raise ConfigError(f"--prior is '{config.prior}', and {_takes_none(config)}")
    try:
        return registry_of(home).find(config.prior)
    except HomeError as error:
        return str(error)


def takes_prior(config: SearchConfig) -> bool:
    """Whether the strategy starts from a prior where there is one."""
    from metanas.core.plugins import reference, resolve

    found = reference("strategies", config.strategy, source=config.sources.get("strategy"))
    return bool(getattr(resolve(found), "takes_prior", False))


def _takes_none(config: SearchConfig) -> str:
    return f"strategy '{config.strategy}' takes no prior"


def start_of(
    config: SearchConfig,
    search: Search,
    version: Version | str,
    known: Record | None,
    places: tuple[Path, Path],
    say: Say,
) -> Start:
    """Decide what a search starts from, or take what it started from.

    Args:
        config: Its description.
        search: Its space and objectives.
        version: As `named` gives it.
        known: As `known_start` gives it.
        places: The home folder, and the search's own.
        say: Told, in one line, what it starts from, or why from nothing.
    """
    if config.prior == NONE or (known is not None and not known):
        return Start()
    if known is not None:
        return _again(search, known, places, say)
    if not takes_prior(config):
        return _cold({}, f"{_takes_none(config)}: --prior {AUTO} is ignored", say)
    about: dict[str, Any] = {}
    try:
        if isinstance(version, str) and version:
            raise PriorError(version)
        prior = _fetched(version, places[0], say)
        about = {"name": prior.name, "version": prior.version}
        return _warm(search, prior, places[1], say)
    except MetanasError as error:
        return _cold(about, str(error), say)
    except Exception as error:  # noqa: BLE001 - a search never fails because of its prior
        return _cold(about, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", say)


def _fetched(version: Version | str, home: Path, say: Say) -> Prior:
    if isinstance(version, str):
        return refreshed(home, DEFAULT_NAME, say)
    return registry_of(home).load(version)


def _warm(search: Search, prior: Prior, folder: Path, say: Say) -> Start:
    from metanas.meta import saved

    found = _expected(prior, search)
    saved.write(prior, folder / COPY)
    record = {**found.about, "learnt": saved.learnt(prior)}
    tasks = ", ".join(f"{task} ({count} trials)" for task, count in record["tasks"].items())
    say(f"starts from {prior.name}@{prior.version}: {tasks}{_left_out(record['left_out'])}")
    return Start(found, record)


def _left_out(reasons: Mapping[str, str]) -> str:
    return "".join(f"; without {task}: {why}" for task, why in sorted(reasons.items()))


def _cold(about: Mapping[str, Any], why: str, say: Say) -> Start:
    say(f"starts without a prior: {why}")
    return Start(None, {"name": "", "version": 0, **about, "tasks": {}, "left_out": {}, "why": why})


def _expected(prior: Prior, search: Search) -> Any:
    free = [each for each in search.objectives if each.limit is None]
    found = prior.on(search.space, (free or search.objectives)[0])
    if isinstance(found, str):
        raise PriorError(f"{prior.name}@{prior.version}: {found}")
    return found


def _again(search: Search, known: Record, places: tuple[Path, Path], say: Say) -> Start:
    """What an earlier attempt started from, exactly."""
    if known.get("why"):
        return Start(None, known)
    try:
        prior = _same(known, places[0], places[1] / COPY)
        return Start(_expected(prior, search), known)
    except Exception as error:  # noqa: BLE001 - a search never fails because of its prior
        why = " ".join(str(error).split())[:300]
        say(f"goes on without its prior {known.get('name')}@{known.get('version')}: {why}")
        return Start(None, {**known, "lost": why})


def _same(known: Record, home: Path, copy: Path) -> Prior:
    """The prior that was journalled: the copy, or the version where the copy is lost."""
    from metanas.meta import saved

    name, number = str(known["name"]), int(known["version"])
    try:
        prior = saved.read(copy, name=name, number=number)
    except PriorError:
        registry = registry_of(home)
        prior = registry.load(registry.find(f"{name}@{number}"))
    if saved.learnt(prior) != known["learnt"]:
        raise PriorError("it is not what the search started from")
    return prior


def fingerprint_of(task: Task, known: Sequence[Mapping[str, Any]], home: Path) -> Mapping[str, Any]:
    """A task's fingerprint, computed once for the same rows; empty where it cannot be.

    Args:
        task: Loaded before.
        known: The journal's events.
        home: Its file of fingerprints is shared by all searches.
    """
    for event in known:
        if event.get("event") == "attempt" and isinstance(event.get("fingerprint"), dict):
            found: Mapping[str, Any] = event["fingerprint"]
            return found
    try:
        return _fingerprint(task, home / "fingerprints.jsonl")
    except Exception:  # noqa: BLE001 - of use to later searches, and no reason to end this one
        return {}


def _fingerprint(task: Task, path: Path) -> Mapping[str, Any]:
    from metanas.measures import zero_cost
    from metanas.meta import cache
    from metanas.meta.fingerprint import VERSION, fingerprint
    from metanas.meta.scores import PART_SEED

    # Cut as the fingerprint cuts it, whatever the search's seed.
    about = task_record(task, PART_SEED)
    key = cache.digest(VERSION, zero_cost.VERSION, task.kind, about)
    found = cache.read(path).get(key)
    if not isinstance(found, dict):
        found = dict(fingerprint(task))
        cache.append(path, {key: found})
    return found
