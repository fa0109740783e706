"""A folder of class folders of images, with or without train, val and test above them.

``cats/a.jpg`` and ``dogs/b.png`` are two classes; ``train/cats/a.jpg`` and
``test/cats/c.jpg`` are one class in two splits. Hidden files are passed over.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from metanas.core.errors import DataError
from metanas.core.task import Task
from metanas.tasks._images import Encoded, check_options, decoded, refuse_where
from metanas.tasks.classification import SPLITS, Rows, classification

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
NAMED = 5
"""So many files are named in a message."""


@dataclass(frozen=True)
class File:
    """An image as it lies on disk; the same values mean that it need not be read again."""

    path: Path
    label: str
    split: str
    size_bytes: int
    modified_ns: int


def folder(*, path: str = "", where: str = "", size: int = 0) -> Task:
    """The task that a folder's folders describe; their names are the labels.

    Args:
        path: Of the folder.
        where: Must be "": rows of a table only can be picked.
        size: Pixels of the longer side to which all images are brought; 0 for the
            median side, at most 64.

    Raises:
        ConfigError: If `size` is negative or `where` is given.
        DataError: If the folder cannot be read or is laid out otherwise, a class folder
            holds no image, or an image cannot be decoded (it is named).
    """
    check_options("folder", "folder", path, size)
    refuse_where("folder", where)
    return _read(path, size, _files(Path(path)))


@lru_cache(maxsize=4)
def _read(path: str, size: int, files: tuple[File, ...]) -> Task:
    def stream(row: int) -> BinaryIO:
        return files[row].path.open("rb")

    images = decoded(Encoded(len(files), stream, lambda row: f"{files[row].path}: image"), size)
    split = np.array([file.split for file in files]) if files[0].split else None
    labels = np.array([file.label for file in files])
    return classification(Path(path).resolve().name, Rows(images, labels, split), where=path)


def _files(root: Path) -> tuple[File, ...]:
    """All images, in the order of the names of their splits, classes and files."""
    splits = _splits(root)
    if not splits:
        return tuple(_of_classes(root, ""))
    return tuple(file for split in splits for file in _of_classes(split, split.name.lower()))


def _splits(root: Path) -> list[Path]:
    """The folders of splits; none where the root holds classes (one may be called 'train')."""
    folders, images, _ = _listed(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    others = [*images, *(folder for folder in folders if folder not in splits)]
    if others and any(_listed(split)[0] for split in splits):
        named = ", ".join(split.name for split in splits)
        raise DataError(f"{others[0]}: lies beside splits ({named}), expected nothing else there")
    return [] if others else splits


def _of_classes(place: Path, split: str) -> list[File]:
    folders, images, _ = _listed(place)
    if images:
        name = images[0].name
        raise DataError(f"{images[0]}: in no class folder, expected {place / 'LABEL' / name}")
    if not folders:
        raise DataError(f"{place}: no class folders, expected one of images for each label")
    return [file for folder in folders for file in _of_class(folder, split)]


def _of_class(place: Path, split: str) -> list[File]:
    folders, images, others = _listed(place)
    if folders:
        raise DataError(
            f"{folders[0]}: a folder in class folder '{place.name}', expected images only there; "
            "splits above classes are called train, val and test"
        )
    if not images:
        found = ", ".join(path.name for path in others[:NAMED]) or "nothing"
        raise DataError(
            f"{place}: no image in this class folder, found: {found}; "
            f"expected names that end in {', '.join(SUFFIXES)}"
        )
    return [_file(image, place.name, split) for image in images]


def _file(path: Path, label: str, split: str) -> File:
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return File(path, label, split, state.st_size, state.st_mtime_ns)


def _listed(place: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Folders, images and other files in a folder, hidden ones left out, sorted by name."""
    folders: list[Path] = []
    images: list[Path] = []
    others: list[Path] = []
    try:
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                path = place / entry.name
                is_image = path.suffix.lower() in SUFFIXES
                (folders if entry.is_dir() else images if is_image else others).append(path)
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}") from None
    return folders, images, others


TASK = folder
READS = ("/",)
