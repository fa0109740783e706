"""The description of a search: plain values, checked where they enter."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, JournalError
from metanas.core.paths import whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
WHOLE = {"trials": 1, "epochs": 1, "workers": 0, "seed": 0, "repeats": 0}
"""Options that are whole numbers, and the least that each can be."""
SECONDS = ("max_seconds", "max_trial_seconds")
TEXT = ("task", "where", "space", "strategy", "estimator", "executor", "name", "prior")


DEFAULTS = {
    "space": "cnn",
    "estimator": "train",
    "epochs": 5,
    "final_epochs": "3x",
    "executor": "tune",
}
TABLE_DEFAULTS = {
    "space": "table",
    "estimator": "table",
    "epochs": 1,
    "final_epochs": "1",
    "executor": "inline",
}
"""The same where the task is a table: nothing is trained, and a row is read in no time."""

TABLE = re.compile(r"(?P<path>.*\.(?:parquet|pq)):(?P<target>.+)", re.IGNORECASE)
PACKAGED = re.compile(r"(?P<path>\w+):(?P<target>\w+)")


@dataclass(frozen=True)
class SearchConfig:
    """What a user asks for, under the names of the command line.

    What is left out of `DEFAULTS` is filled in.

    Raises:
        ConfigError: If a value is out of range.
    """

    task: str
    where: str = ""
    space: str = ""
    strategy: str = "evolution"
    estimator: str = ""
    objective: tuple[str, ...] = ()
    trials: int = 24
    epochs: int = field(default=None)  # type: ignore[assignment] # until `__post_init__`
    final_epochs: str = ""
    repeats: int = 0
    max_seconds: float | None = None
    max_trial_seconds: float | None = None
    workers: int = 0
    executor: str = ""
    prior: str = "none"
    seed: int = 0
    name: str = ""
    set: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        table = isinstance(self.task, str) and table_of(self.task) is not None
        for key, value in (TABLE_DEFAULTS if table else DEFAULTS).items():
            if getattr(self, key) == ("" if key != "epochs" else None):
                object.__setattr__(self, key, value)
        self._check_types()
        for key, low in WHOLE.items():
            if getattr(self, key) < low:
                raise ConfigError(f"search.{key} is {getattr(self, key)}, expected at least {low}")
        for key in SECONDS:
            limit = getattr(self, key)
            if limit is not None and not limit > 0:
                raise ConfigError(f"search.{key} is {limit}, expected more than 0")
        if self.name and not NAME.fullmatch(self.name):
            raise ConfigError(
                f"search.name is '{self.name}', expected letters, digits, '.', '_' and '-'"
            )
        self.last_epochs()

    def _check_types(self) -> None:
        """For programs: the command line gives the right ones."""
        expected: dict[str, tuple[type | tuple[type, ...], str]] = {
            **dict.fromkeys(WHOLE, (int, "a whole number")),
            **dict.fromkeys(SECONDS, ((int, float, type(None)), "seconds or None")),
            **dict.fromkeys(TEXT, (str, "text")),
        }
        for key, (kind, words) in expected.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, kind):
                raise ConfigError(f"search.{key} is {value!r}, expected {words}")
        names = self.objective
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"search.objective is {names!r}, expected names")
        if not self.prior:
            raise ConfigError("search.prior is '', expected none, auto, NAME or NAME@VERSION")

    def last_epochs(self) -> int:
        """Epochs of the winner's training: a number, or a multiple of `epochs` such as 3x."""
        text = str(self.final_epochs)
        try:
            factor = float(text[:-1]) * self.epochs if text.endswith("x") else int(text)
        except ValueError:
            factor = -1
        if not 0 <= factor < 1e9:
            raise ConfigError(
                f"search.final_epochs is {self.final_epochs!r}, expected a number of epochs or, "
                "as '3x', a multiple of those of a trial"
            )
        return max(1, round(factor)) if factor else 0

    def task_name(self) -> str:
        """Under which its trials are stored."""
        table = table_of(self.task)
        if table is not None:
            return f"{Path(table[0]).stem}-{table[1]}"
        if not is_file(self.task):
            return self.task.rpartition(":")[2]
        value = self.where.partition("=")[2]
        path = whole(self.task)
        return (path.name if os.path.isdir(path) else path.stem) + (f"-{value}" if value else "")


def path_of(task: str) -> str:
    """TASK as it is stored: a path whole, so that it is found from any working directory."""
    return str(whole(task)) if is_file(task) else task


def table_of(task: str) -> tuple[str, str] | None:
    """The file and the task of a TASK such as ``t.parquet:cifar100``; None for any other."""
    match = TABLE.fullmatch(task)
    if match is None and (match := PACKAGED.fullmatch(task)) is not None:
        from metanas import tables

        match = match if match["path"] in tables.PACKAGED else None
    return None if match is None else (match["path"], match["target"])


def is_file(task: str) -> bool:
    """Whether TASK is a path rather than the name of a task, built in or in a user's file."""
    if ".py:" in task:
        return False
    return os.sep in task or bool(Path(task).suffix) or _is_folder(task)


def _is_folder(task: str) -> bool:
    """A folder is one where its name is no task's: to use it then, write ``./digits``."""
    from metanas.core.plugins import listing

    return Path(task).is_dir() and task not in (listed.name for listed in listing("tasks"))


def config_of(events: Sequence[Mapping[str, Any]], path: Path) -> SearchConfig:
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
