"""Priors: learnt from the experience of a home folder, registered, looked at."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metanas.api.experience import origin_of
from metanas.core.errors import ConfigError, PriorError, unknown

if TYPE_CHECKING:
    from metanas.meta.fitting import Fitted
    from metanas.meta.prior import Prior
    from metanas.meta.registry import Registry, Version

Say = Callable[[str], None]
DEFAULT_NAME = "metanas-prior"
CARD, PICTURE = "card.md", "tasks.png"


@dataclass(frozen=True)
class FittedPrior:
    """What a fit came to.

    Args:
        prior: With its name, version and card.
        new: Whether that version was made now; else nothing was new since it was.
    """

    prior: Prior
    new: bool


def registry_of(home: Path) -> Registry:
    """The registry of the server that a home folder's searches write to.

    Raises:
        HomeError: If it does not answer.
    """
    from metanas.meta.registry import Registry

    origin = origin_of(home)
    return Registry(origin.uri, origin.name, home)


def fit_prior(
    home: Path,
    *,
    tasks: Collection[str] = (),
    exclude: Collection[str] = (),
    name: str = DEFAULT_NAME,
    say: Say = lambda _: None,
) -> FittedPrior:
    """Learn a prior from what MLflow has, and register it unless nothing is new.

    Args:
        home: As `home_folder` gives it.
        tasks: Only these; empty for all.
        exclude: Not these.
        name: Of the registered model.
        say: Told what a person should know.

    Raises:
        ConfigError: If a task is unknown, or there is nothing to learn from.
        HomeError: If MLflow does not answer.
    """
    from metanas.meta.registry import parse

    if parse(name)[1]:
        raise ConfigError(f"--name is '{name}', expected a name without '@'")
    found = learn(home, tasks=tasks, exclude=exclude, say=say)
    registry = registry_of(home)
    before = registry.newest(name)
    if before is not None and is_of(before, found.prior):
        prior = _loaded(registry, before, say)
        if prior is not None:
            return FittedPrior(prior, new=False)
    return FittedPrior(_registered(registry, found, name), new=True)


def _loaded(registry: Registry, version: Version, say: Say) -> Prior | None:
    """A version that has all that there is to learn; None where it was damaged since."""
    try:
        return registry.load(version)
    except PriorError as error:
        say(f"{error}; it is registered anew")
        return None


def refreshed(home: Path, name: str = DEFAULT_NAME, say: Say = lambda _: None) -> Prior:
    """The current version of a prior, or a new one where there is new experience.

    Raises:
        PriorError: If there is none, and nothing to learn one from; or it cannot be read.
        HomeError: If MLflow does not answer.
    """
    try:
        found = learn(home, say=say)
    except ConfigError as error:
        registry = registry_of(home)
        if registry.newest(name) is None:
            raise PriorError(str(error)) from None
        return registry.load(registry.find(name))
    registry = registry_of(home)
    before = registry.newest(name)
    if before is not None and is_of(before, found.prior):
        prior = _loaded(registry, registry.find(name), say)
        if prior is not None:
            return prior
    return _registered(registry, found, name)


def learn(
    home: Path,
    *,
    tasks: Collection[str] = (),
    exclude: Collection[str] = (),
    say: Say = lambda _: None,
) -> Fitted:
    """Bring the experience up to date and learn from it.

    Raises:
        ConfigError: If a task is unknown, or there is nothing to learn from.
        HomeError: If MLflow does not answer.
    """
    from metanas.meta import fitting
    from metanas.stores import experience

    experience.sync(home, origin_of(home), say=say)
    known = experience.tasks(home)
    for option, names in (("--task", tasks), ("--exclude-task", exclude)):
        for each in names:
            if each not in known:
                raise ConfigError(f"{option} is '{each}'{unknown(each, known)}")
    rows = experience.batches(home, set(tasks) or None, columns=fitting.COLUMNS, say=say)
    return fitting.fit(rows, set(exclude))


def is_of(version: Version, prior: Prior) -> bool:
    """Whether a version was learnt from the same trials."""
    from metanas.meta.saved import learnt

    return version.learnt == learnt(prior)


def _registered(registry: Registry, found: Fitted, name: str) -> Prior:
    from metanas.meta.card import card_of, in_words
    from metanas.meta.similarity import likeness, picture
    from metanas.stores.experience import known_space

    card = card_of(found.prior, found.left_out, known_space) | {"made_s": round(time.time(), 3)}
    prior = replace(found.prior, card=card)
    text = in_words(name, 0, card)
    tags = {
        "metanas.tasks": str(len({each.task for each in prior.sources})),
        "metanas.trials": str(sum(each.trials for each in prior.sources)),
        "metanas.version": str(card["versions"]["metanas"]),
    }
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / CARD).write_text(text, encoding="utf-8")
        (Path(place) / PICTURE).write_bytes(picture(likeness(prior, known_space)))
        return registry.register(prior, name, text, tags, Path(place))


def show_prior(home: Path, reference: str = DEFAULT_NAME) -> Prior:
    """A registered prior.

    Raises:
        ConfigError: If there is none.
        HomeError: If MLflow does not answer.
        PriorError: If it cannot be used.
    """
    registry = registry_of(home)
    return registry.load(registry.find(reference))


def prior_record(prior: Prior) -> dict[str, Any]:
    """A prior as the JSON object that commands print."""
    return {"name": prior.name, "version": prior.version, **prior.card}
