"""Whether a search's task is still the one that it ran on: data outlive no promise.

Each attempt's event in the journal says what the task was; when it is loaded again, that
is compared. Shape, outputs and classes decide what a network fits; the rows, by a hash of
them, what its metrics mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import DataError

if TYPE_CHECKING:
    from metanas.core.protocols import Journal
    from metanas.core.task import Task

Known = Mapping[str, Any]
PARTS = ("train", "validation", "test")
NAMED = 5
"""So many classes are named in a message."""


@dataclass(frozen=True)
class Noting:
    """A journal whose attempts say which task they run on, and what they start from.

    Args:
        journal: The search's own.
        task: As `task_record` gives it.
        more: What else attempts say.
    """

    journal: Journal
    task: Known
    more: Mapping[str, Any] = field(default_factory=dict)

    def events(self) -> Sequence[Mapping[str, Any]]:
        """Everything appended so far, by earlier processes too."""
        return self.journal.events()

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event; it survives the death of this process once this returns."""
        more = {"task": self.task, **self.more} if event.get("event") == "attempt" else {}
        self.journal.append({**event, **more})


def task_record(task: Task, seed: int) -> dict[str, Any]:
    """What a network must fit, and a hash of all rows, as plain JSON.

    Args:
        task: Loaded once more, which costs little where it was loaded before.
        seed: Of the search: it cuts validation from train.
    """
    about = {"shape": list(task.shape), "outputs": task.outputs, "classes": classes_of(task)}
    if task.recorded is not None:
        return {**about, "rows": {"table": task.facts["rows"]}, "data": task.facts["digest"]}
    data = task.load(seed)
    digest = hashlib.sha256()
    for part in PARTS:
        for array in (getattr(data, part).inputs, getattr(data, part).targets):
            _add(digest, np.asarray(array))
    return {
        **about,
        "rows": {part: len(getattr(data, part)) for part in PARTS},
        "data": digest.hexdigest(),
    }


def _add(digest: Any, array: npt.NDArray[Any]) -> None:
    digest.update(repr((array.shape, array.dtype.str)).encode())
    if array.dtype.hasobject:  # its bytes would be addresses
        digest.update(repr(array.tolist()).encode())
    else:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def classes_of(task: Task) -> list[str] | None:
    """The names of a task's classes, in the order of its outputs, where it says them."""
    classes = task.facts.get("classes")
    return None if classes is None else [str(each) for each in classes]


def known_task(events: Sequence[Mapping[str, Any]]) -> Known:
    """What the first attempt that says so ran on; empty where none does."""
    found: list[Known] = [
        event["task"]
        for event in events
        if event.get("event") == "attempt" and isinstance(event.get("task"), dict)
    ]
    return found[0] if found else {}


def check_fit(known: Known, task: Task, what: str) -> None:
    """Show that a network of the search fits a task, and means the same classes.

    Args:
        known: What the search ran on; empty if that is not known.
        task: What there is now.
        what: What it is called in the message.

    Raises:
        DataError: With all that differs.
    """
    found = {"shape": list(task.shape), "outputs": task.outputs}
    texts = [
        f"{key} {known[key]} then and {value} now"
        for key, value in found.items()
        if key in known and known[key] != value
    ]
    texts += _classes_differ(known, task)
    if texts:
        raise DataError(f"{what} is not what the search ran on: {'; '.join(texts)}")


def check_classes(known: Known, task: Task, what: str) -> None:
    """Show that a task has the classes of the search, in the same order.

    Raises:
        DataError: If it has others, or another number of outputs.
    """
    texts = _classes_differ(known, task)
    if not texts and known and known["outputs"] != task.outputs:
        texts = [f"outputs {known['outputs']} then and {task.outputs} now"]
    if texts:
        raise DataError(f"{what} has not the classes that the search ran on: {'; '.join(texts)}")


def check_rows(known: Known, found: Known, what: str) -> None:
    """Show that the rows are those of the search.

    Args:
        known: What the search ran on; empty if that is not known.
        found: `task_record` of what there is now.
        what: What it is called in the message.

    Raises:
        DataError: If they differ.
    """
    text = rows_differ(known, found)
    if text:
        raise DataError(f"{what} is not what the search ran on: {text}")


def rows_differ(known: Known, found: Known) -> str:
    """In words, how rows of two records differ; "" if they do not, or one is not known."""
    if not known or known.get("data") == found["data"]:
        return ""
    then, now = (_rows(each.get("rows", {})) for each in (known, found))
    return f"{then} then and {now} now" if then != now else "other values in the same rows"


def _rows(rows: Mapping[str, int]) -> str:
    return f"{sum(rows.values())} rows ({', '.join(f'{n} {part}' for part, n in rows.items())})"


def _classes_differ(known: Known, task: Task) -> list[str]:
    then, now = known.get("classes"), classes_of(task)
    if then is None or now is None or then == now:
        return []
    gone, new = ([c for c in a if c not in set(b)] for a, b in ((then, now), (now, then)))
    if not gone and not new:
        return ["the same classes in another order"]
    texts = (("lacks", gone), ("has besides", new))
    return [f"it {verb} {_named(classes)}" for verb, classes in texts if classes]


def _named(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return f"class {', '.join(map(repr, classes[:NAMED]))}{more}"
