"""Image classification: rows, labels and an optional split become a task.

Shapes: ``n`` images ``[n, channels, height, width]``, uint8; labels ``[n]``, anything that
can be sorted, brought to classes 0 to ``k - 1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import DataError
from metanas.core.objective import Objective
from metanas.core.task import Data, Part, Task
from metanas.tasks._augment import jitter

if TYPE_CHECKING:
    import torch

METRICS = (Objective("accuracy", "", "max"), Objective("loss", "nats", "min"))
LABEL_SMOOTHING = 0.05
HELD_OUT = 0.2
NAMED = 5
"""So many labels are named in a message."""
TEST_SEED = 20_260
"""Cuts the test part where a data set brings none: the same for every seed of a search,
so that no search ever trains on what another one was scored on."""

SPLITS = {"train": "train", "test": "test", "validation": "validation"} | dict.fromkeys(
    ("val", "valid"), "validation"
)


@dataclass(frozen=True)
class Rows:
    """A data set as read: images, labels, and which part each row is of (or None)."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    split: npt.NDArray[Any] | None = None


def classification(name: str, rows: Rows, *, where: str) -> Task:
    """A task from its rows, checked.

    Args:
        name: Of the task.
        rows: All of them.
        where: What to call the data set in messages.

    Raises:
        DataError: If there is one class only, a part is empty or lacks a class, a class
            has too few rows to hold some out, or the split names something else than
            train, val(id(ation)) and test.
    """
    classes, targets = np.unique(rows.labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{where}: one class only ({classes.tolist()}), expected at least 2")
    whole = Part(rows.images, targets.astype(np.int64))
    fixed = _parts(whole, rows.split, classes, where)
    channels, height, width = rows.images.shape[1:]
    return Task(
        name=name,
        kind="classification",
        shape=(channels, height, width),
        outputs=len(classes),
        load=partial(_load, fixed),
        loss=_loss,
        score=_score,
        metrics=METRICS,
        augment=jitter,
        facts={"rows": len(whole), "classes": [str(name) for name in classes]},
    )


def _load(fixed: Mapping[str, Part], seed: int) -> Data:
    validation = fixed.get("validation")
    train = fixed["train"]
    if validation is None:
        train, validation = _cut(train, seed)
    return Data(train, validation, fixed["test"])


def _parts(
    whole: Part, split: npt.NDArray[Any] | None, classes: npt.NDArray[Any], where: str
) -> dict[str, Part]:
    """The parts that no seed moves, each with all classes, and enough rows to cut from."""
    if split is None:
        _check_enough(whole, classes, ("train", "validation", "test"), where)
        train, test = _cut(whole, TEST_SEED)
        return {"train": train, "test": test}
    parts = _given(whole, split, where)
    _check_classes(parts, classes, where)
    if "validation" not in parts:
        _check_enough(parts["train"], classes, ("train", "validation"), f"{where}: split 'train'")
    return parts


def _given(whole: Part, split: npt.NDArray[Any], where: str) -> dict[str, Part]:
    named = sorted({str(value) for value in split})
    strange = [value for value in named if value not in SPLITS]
    if strange:
        raise DataError(f"{where}: split '{strange[0]}', expected train, val or test")
    parts = np.array([SPLITS[str(value)] for value in split])
    for needed in ("train", "test"):
        if not (parts == needed).any():
            raise DataError(
                f"{where}: split '{needed}' is empty (found: {', '.join(named)}); "
                "without a split a fifth of the rows is held out"
            )
    return {part: _rows(whole, np.flatnonzero(parts == part)) for part in np.unique(parts)}


def _cut(part: Part, seed: int) -> tuple[Part, Part]:
    """Hold out a fifth of each class, at least one row of it."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(part), dtype=bool)
    for target in np.unique(part.targets):
        rows = np.flatnonzero(part.targets == target)
        held[rng.permutation(rows)[: max(1, round(HELD_OUT * len(rows)))]] = True
    return _rows(part, np.flatnonzero(~held)), _rows(part, np.flatnonzero(held))


def _check_enough(part: Part, classes: npt.NDArray[Any], needed: Sequence[str], where: str) -> None:
    """Refuse a class with fewer rows than there are parts to be cut from it."""
    counts = np.bincount(part.targets, minlength=len(classes))
    fewest = int(counts.argmin())
    if counts[fewest] < len(needed):
        found = "one row" if counts[fewest] == 1 else f"{counts[fewest]} rows"
        raise DataError(
            f"{where}: label {classes[fewest]} has {found}, expected at least {len(needed)}: "
            f"one each for {', '.join(needed[:-1])} and {needed[-1]}"
        )


def _check_classes(parts: Mapping[str, Part], classes: npt.NDArray[Any], where: str) -> None:
    for name in ("train", "validation", "test"):
        present = parts[name].targets if name in parts else np.arange(len(classes))
        missing = np.setdiff1d(np.arange(len(classes)), present)
        if len(missing):
            holders = [n for n, part in parts.items() if np.isin(missing, part.targets).any()]
            labels = ", ".join(str(label) for label in classes[missing[:NAMED]])
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            raise DataError(
                f"{where}: labels differ between splits: no row of split '{name}' has label "
                f"{labels}{more}, found in {' and '.join(holders)}"
            )


def _rows(part: Part, rows: npt.NDArray[np.intp]) -> Part:
    return replace(part, inputs=part.inputs[rows], targets=part.targets[rows])


def _loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(outputs, targets, label_smoothing=LABEL_SMOOTHING)


def _score(outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    from torch.nn.functional import cross_entropy

    hits = (outputs.argmax(dim=1) == targets).double().mean()
    return {"accuracy": float(hits), "loss": float(cross_entropy(outputs.double(), targets))}
