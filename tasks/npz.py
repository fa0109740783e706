"""A NumPy archive (.npz) of images and labels, named as Keras, MedMNIST or we name them.

Nothing in it is unpickled. Images are ``[n, h, w]``, ``[n, h, w, c]`` or ``[n, c, h, w]``
with 1, 3 or 4 channels, channels last where both would do; uint8, or numbers from 0 to
255, or floats from 0 to 1. Labels are ``[n]`` or ``[n, 1]``, integers or text.
"""

from __future__ import annotations

import lzma
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import DataError
from metanas.core.task import Task
from metanas.tasks._images import check_options, common_sides, refuse_where
from metanas.tasks.classification import Rows, classification

Array = npt.NDArray[Any]
Pairs = Mapping[str, tuple[str, str]]

KERAS: Pairs = {
    "train": ("x_train", "y_train"),
    "test": ("x_test", "y_test"),
    "val": ("x_val", "y_val"),
}
MEDMNIST: Pairs = {part: (f"{part}_images", f"{part}_labels") for part in ("train", "test", "val")}
ACCEPTED = "; or ".join(
    [
        "images, labels (and split)",
        "x_train, y_train, x_test, y_test (and x_val, y_val)",
        "train_images, train_labels, test_images, test_labels (and val_images, val_labels)",
    ]
)
NAMED = 10
"""So many arrays are named in a message."""
CHANNELS = (1, 3, 4)
DARK = 2.0
"""Floats whose largest value lies between 1 and this are in no range that is known."""
UNREADABLE = (
    *(EOFError, MemoryError, NotImplementedError, OSError, RuntimeError, ValueError),
    *(lzma.LZMAError, zipfile.BadZipFile, zlib.error),
)


def npz(*, path: str = "", where: str = "", size: int = 0) -> Task:
    """The task that an archive describes.

    Args:
        path: Of the file.
        where: Must be "": rows of a table only can be picked.
        size: Pixels of the longer side to which all images are brought; 0 to leave them.

    Raises:
        ConfigError: If `size` is negative or `where` is given.
        DataError: If the file cannot be read, or its arrays are others than expected.
    """
    check_options("npz", "file", path, size)
    refuse_where("npz", where)
    try:
        state = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return _read(path, size, (state.st_mtime_ns, state.st_size))


def archive(path: str | os.PathLike[str], images: Any, labels: Any, split: Any = None) -> None:
    """Write arrays as a file that `npz` reads; it is there whole or not at all.

    Args:
        path: Of the file; its folder exists.
        images: ``n`` of them, as the module's text says; stored as uint8.
        labels: ``[n]``, integers or text.
        split: ``[n]``, each train, val or test; None to hold some rows out.

    Raises:
        DataError: If the arrays are no task, or the file cannot be written.
    """
    where = "arrays"
    given = {"images": images, "labels": labels} | ({} if split is None else {"split": split})
    arrays: dict[str, Any] = _checked(
        {name: _array(value, name, where) for name, value in given.items()}, where
    )
    classification(where, _rows(arrays, where), where=where)
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            unfinished.unlink()


@lru_cache(maxsize=4)
def _read(path: str, size: int, state: tuple[int, int]) -> Task:
    rows = _rows(_checked(_loaded(path), path), path)
    if size:
        rows = Rows(_resized(rows.images, size), rows.labels, rows.split)
    return classification(Path(path).stem, rows, where=path)


def _loaded(path: str) -> dict[str, Array]:
    try:
        opened = np.load(path, allow_pickle=False)
    except UNREADABLE:
        raise DataError(f"{path}: not a NumPy archive of arrays (numpy.savez)") from None
    if isinstance(opened, np.ndarray):
        raise DataError(f"{path}: a single array, expected an archive of {ACCEPTED}")
    with opened as members:
        _pairs(members.files, path)
        return {name: _member(members, name, path) for name in members.files}


def _member(members: Any, name: str, where: str) -> Array:
    try:
        found = members[name]
    except UNREADABLE as error:
        raise DataError(
            f"{where}: array '{name}' cannot be read, expected numbers or text: "
            f"{(str(error) or type(error).__name__).splitlines()[0]}"
        ) from None
    if not isinstance(found, np.ndarray):
        raise DataError(f"{where}: '{name}' is no array")
    return found


def _array(value: Any, name: str, where: str) -> Array:
    """What Python code gave, as an array; text in objects, as pandas keeps it, becomes text."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{where}: '{name}' cannot be one array: {reason}") from None
    if array.dtype == object and all(isinstance(item, str) for item in array.flat):
        return array.astype(np.str_)
    return array


def _pairs(found: Iterable[str], where: str) -> Pairs:
    """Which arrays are images and labels of which part; of the part "" if `split` says that.

    Raises:
        DataError: If they are no set of arrays that is known, or more.
    """
    names = set(found)
    if names - {"split"} == {"images", "labels"}:
        return {"": ("images", "labels")}
    for layout in (KERAS, MEDMNIST):
        pairs = {part: pair for part, pair in layout.items() if names.issuperset(pair)}
        if pairs.keys() >= {"train", "test"} and names == {n for p in pairs.values() for n in p}:
            return pairs
    listed = ", ".join(map(repr, sorted(names)[:NAMED])) or "none"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    raise DataError(f"{where}: found arrays {listed}{more}; expected {ACCEPTED}")


def _checked(arrays: Mapping[str, Array], where: str) -> dict[str, Array]:
    """The same arrays in plain types: images uint8, labels int64 or text, split text."""
    pairs = _pairs(arrays, where)
    pixels = _pixels({name: arrays[name] for name, _ in pairs.values()}, where)
    labels = {name: _column(arrays, name, of, where) for of, name in pairs.values()}
    kinds = {values.dtype.kind: name for name, values in labels.items()}
    if len(kinds) > 1:
        raise DataError(
            f"{where}: '{kinds['i']}' holds integers and '{kinds['U']}' text, expected one of them"
        )
    split = {"split": _column(arrays, "split", "images", where)} if "split" in arrays else {}
    return pixels | labels | split


def _column(arrays: Mapping[str, Array], name: str, of: str, where: str) -> Array:
    """One value for each image of the array `of`: ``[n]``, int64 or text."""
    values, rows = arrays[name], len(arrays[of])
    if values.shape not in ((rows,), (rows, 1)):
        raise DataError(
            f"{where}: '{name}' has shape {list(values.shape)}, "
            f"expected [{rows}] or [{rows}, 1] as '{of}' has {rows} rows"
        )
    values = values.reshape(-1)
    if values.dtype.kind in "biu":
        return values.astype(np.int64)
    if values.dtype.kind == "U":
        return values
    try:
        return np.char.decode(values, "utf-8")
    except (TypeError, UnicodeDecodeError):
        raise DataError(
            f"{where}: '{name}' is {values.dtype}, expected integers or text (UTF-8)"
        ) from None


def _pixels(named: Mapping[str, Array], where: str) -> dict[str, Array]:
    """Images as uint8 in the shape that they have.

    Raises:
        DataError: If they are no images, or not all of one shape, type and range.
    """
    first = next(iter(named))
    for name, array in named.items():
        if 0 in array.shape or _channels(array) is None:
            raise DataError(
                f"{where}: '{name}' has shape {list(array.shape)}, expected "
                "[n, h, w], [n, h, w, c] or [n, c, h, w] with c 1, 3 or 4"
            )
        if (array.shape[1:], array.dtype) != (named[first].shape[1:], named[first].dtype):
            raise DataError(
                f"{where}: '{name}' holds images of shape {list(array.shape[1:])} and "
                f"{array.dtype}, '{first}' of {list(named[first].shape[1:])} and "
                f"{named[first].dtype}, expected the same"
            )
    scale = _scale(named, where)
    return {
        name: array if array.dtype == np.uint8 else np.rint(array * scale).astype(np.uint8)
        for name, array in named.items()
    }


def _scale(named: Mapping[str, Array], where: str) -> int:
    """What brings the images to 0 to 255; all of them decide, as one may be dark."""
    dtype = next(iter(named.values())).dtype
    if dtype == np.uint8:
        return 1
    if dtype.kind in "iuf":
        low = min(float(array.min()) for array in named.values())
        high = max(float(array.max()) for array in named.values())
        if dtype.kind == "f" and low >= 0 and high <= 1:
            return 255
        # Floats that end just above 1 are meant to end there, and would be read as black.
        if low >= 0 and high <= 255 and not (dtype.kind == "f" and high < DARK):
            return 1
        found = f"{dtype} from {low:g} to {high:g}"
    else:
        found = str(dtype)
    raise DataError(
        f"{where}: images are {found}, expected uint8, or floats from 0 to 1 or from 0 to 255"
    )


def _channels(images: Array) -> int | None:
    """The axis of the channels; 0 if there is none, None if these are no images."""
    if images.ndim == 3:
        return 0
    axes = [axis for axis in (3, 1) if images.ndim == 4 and images.shape[axis] in CHANNELS]
    return axes[0] if axes else None


def _rows(arrays: Mapping[str, Array], where: str) -> Rows:
    """Plain arrays of all parts as one, channels first."""
    pairs = _pairs(arrays, where)
    images = np.concatenate([_channels_first(arrays[name]) for name, _ in pairs.values()])
    labels = np.concatenate([arrays[name] for _, name in pairs.values()])
    if "" in pairs:
        return Rows(images, labels, arrays.get("split"))
    sizes = [len(arrays[name]) for name, _ in pairs.values()]
    return Rows(images, labels, np.repeat(list(pairs), sizes))


def _channels_first(images: Array) -> Array:
    axis = _channels(images)
    return np.ascontiguousarray(np.moveaxis(images, axis, 1)) if axis else images[:, None]


def _resized(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Each channel by itself, as nothing says what a fourth one means."""
    from PIL import Image

    count, channels, height, width = images.shape
    sides = common_sides([(width, height)], size)
    stack = np.empty((count, channels, sides[1], sides[0]), np.uint8)
    for row, channel in np.ndindex(count, channels):
        stack[row, channel] = np.asarray(Image.fromarray(images[row, channel]).resize(sides))
    return stack


TASK = npz
READS = (".npz",)
