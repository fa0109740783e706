"""What a program gives as a task (arrays, lists, tensors, a data set) as images and labels.

Whether they are a task is for `metanas.tasks.npz.archive` to say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import ConfigError, DataError

Array = npt.NDArray[Any]
SHOWN = 60
"""So many characters of a strange label are shown."""


def arrays_of(task: Any) -> tuple[Array, Array]:
    """Images ``[n, ...]`` and labels ``[n]``.

    Args:
        task: A pair of them, or a data set of (image, label).

    Raises:
        ConfigError: If it is neither.
        DataError: If they cannot be read, or are no arrays.
    """
    if isinstance(task, tuple) and len(task) == 2:
        return _array(task[0], "images"), _array(task[1], "labels")
    return _stacked(task)


def _stacked(dataset: Any) -> tuple[Array, Array]:
    """A data set of (image, label): images as arrays, channels last."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        kind = type(dataset).__name__
        raise ConfigError(
            f"task is a {kind}, expected a name, a path, (images, labels) or a data set"
        )
    rows = [_row(dataset, row) for row in range(len(dataset))]
    if not rows:
        raise DataError("the data set has no rows")
    shapes = {image.shape for image, _ in rows}
    if len(shapes) > 1:
        raise DataError(f"the data set has images of several shapes: {sorted(shapes)[:4]}")
    return np.stack([image for image, _ in rows]), np.array([label for _, label in rows])


def _row(dataset: Any, row: int) -> tuple[Array, int | str | bytes]:
    """One image and its label.

    Raises:
        DataError: If they are not to be had, or are something else.
    """
    place = f"row {row} of the data set"
    try:
        found = dataset[row]
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{place} cannot be read: {text}") from error
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise DataError(f"{place} is a {type(found).__name__}, expected (image, label)")
    image, label = _array(found[0], f"image of {place}"), _array(found[1], f"label of {place}")
    if image.ndim not in (2, 3) or image.dtype.kind not in "biuf":
        shape = list(image.shape)
        raise DataError(f"image of {place} is {image.dtype} of shape {shape}, expected pixels")
    value = label.item() if label.size == 1 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int | str | bytes):
        shown = " ".join(repr(found[1]).split())[:SHOWN]
        raise DataError(f"label of {place} is {shown}, expected one whole number or text")
    # A tensor is channels first; a picture or an array is as it is.
    first = _is_tensor(found[0]) and image.ndim == 3
    return (image.transpose(1, 2, 0) if first else image), value


def _array(value: Any, what: str) -> Array:
    """Anything like an array as one, from whichever device.

    Raises:
        DataError: If it is none, as lists of several lengths are.
    """
    try:
        return np.asarray(value.detach().cpu() if _is_tensor(value) else value)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"arrays: '{what}' cannot be one array: {reason}") from None


def _is_tensor(value: Any) -> bool:
    """Without importing torch, of which it may be a subclass."""
    return any(
        (kind.__module__, kind.__name__) == ("torch", "Tensor") for kind in type(value).__mro__
    )
