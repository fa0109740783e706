"""Encoded images become one array: one colour mode, one size, and a broken one is named.

Where the bytes come from, and what a label is, are the business of the readers.

Shapes: ``n`` images ``[n, channels, height, width]``, uint8, of 1 channel or 3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from metanas.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SIDE = 64
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
"""Grey of more than 8 bits."""
GREY_MODES = ("1", "L", *WIDE_MODES)
DRAFT = 2
"""A large JPEG is decoded at no less than so many times the size that is wanted."""
ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""
SIDEWAYS = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TURNS = dict(enumerate(("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", *SIDEWAYS), start=2))
"""What brings a picture upright, by the value of the tag."""


@dataclass(frozen=True)
class Encoded:
    """Images that are not decoded yet.

    Args:
        count: ``n``, at least 1.
        stream: ``stream(row)`` opens the bytes of one image.
        place: ``place(row)`` says in messages which image it is.
    """

    count: int
    stream: Callable[[int], BinaryIO]
    place: Callable[[int], str]


def check_options(reader: str, kind: str, path: str, size: int) -> None:
    """Refuse what no reader can work with.

    Args:
        reader: Its name.
        kind: What it reads: "file" or "folder".
        path: Of the data.
        size: Pixels of the longer side, 0 for the reader's own choice.

    Raises:
        ConfigError: If there is no path, or `size` is negative.
    """
    if not path:
        raise ConfigError(f"task '{reader}' reads a {kind}: give the {kind}'s path as TASK")
    if size < 0:
        raise ConfigError(f"{reader}.size is {size}, expected at least 0")


def refuse_where(reader: str, where: str) -> None:
    """For readers of data without columns.

    Raises:
        ConfigError: If some rows only are asked for.
    """
    if where:
        raise ConfigError(
            f"{reader}.where is '{where}', expected none: only rows of a table can be picked"
        )


def decoded(images: Encoded, size: int) -> npt.NDArray[np.uint8]:
    """All images as one array ``[n, channels, height, width]``; one at a time is decoded.

    Grey (one channel) if all of them are, else RGB. Photos are turned as the camera was
    held, and what is transparent becomes white.

    Args:
        images: All of them.
        size: Pixels of the longer side; 0 for that of the median image, at most 64.

    Raises:
        DataError: If one cannot be decoded (it is named).
    """
    headers = [_header(images, row) for row in range(images.count)]
    mode = "L" if all(found in GREY_MODES for found, _ in headers) else "RGB"
    width, height = common_sides([sides for _, sides in headers], size)
    stack = np.empty((images.count, 1 if mode == "L" else 3, height, width), np.uint8)
    for row in range(images.count):
        with _opened(images, row) as picture:
            pixels = _brought(picture, mode, (width, height))
        stack[row] = pixels if mode == "L" else pixels.transpose(2, 0, 1)
    return stack


def common_sides(sizes: Sequence[tuple[int, int]], size: int) -> tuple[int, int]:
    """Width and height to which all images are brought.

    Args:
        sizes: Width and height of each.
        size: Pixels of the longer side; 0 for that of the median image, at most 64.
    """
    width, height = (float(side) for side in np.median(np.array(sizes), axis=0))
    longer = size or min(LARGEST_SIDE, max(width, height))
    factor = longer / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _header(images: Encoded, row: int) -> tuple[str, tuple[int, int]]:
    with _opened(images, row) as picture:
        width, height = picture.size
        turned = _turn(picture) in SIDEWAYS
        return picture.mode, (height, width) if turned else (width, height)


@contextmanager
def _opened(images: Encoded, row: int) -> Iterator[Image.Image]:
    """The picture; what its decoder raises while it is used becomes a DataError."""
    from PIL import Image, UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    try:
        with images.stream(row) as stream, Image.open(stream) as picture:
            yield picture
    except UnidentifiedImageError:
        reason = "it is in no known image format"
    except (OSError, DecompressionBombError, EOFError, IndexError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    except (SyntaxError, TypeError, ValueError, struct.error) as error:
        reason = str(error)
    else:
        return
    raise DataError(f"{images.place(row)} cannot be decoded: {reason}")


def _brought(picture: Image.Image, mode: str, sides: tuple[int, int]) -> npt.NDArray[np.uint8]:
    from PIL.Image import Transpose

    turn = _turn(picture)
    width, height = sides[::-1] if turn in SIDEWAYS else sides
    # A JPEG is decoded at a fraction of its size; other formats ignore this.
    picture.draft(None, (DRAFT * width, DRAFT * height))
    converted = _opaque(picture).convert(mode)
    if converted.size != (width, height):
        converted = converted.resize((width, height))
    if turn:
        converted = converted.transpose(Transpose[turn])
    return np.asarray(converted, dtype=np.uint8)


def _opaque(picture: Image.Image) -> Image.Image:
    """At most 8 bits a channel, and white where it was transparent.

    The colour below full transparency is often black, as what is drawn on it is.
    """
    from PIL import Image

    if picture.mode in WIDE_MODES:  # scaled to 8 bits by the largest value
        values = np.asarray(picture, dtype=np.float64)
        return Image.fromarray((values * (255 / max(values.max(), 1))).astype(np.uint8))
    if not {"A", "a"} & set(picture.getbands()) and "transparency" not in picture.info:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def _turn(picture: Image.Image) -> str:
    """How a picture is to be turned, as the camera was held; "" for not at all.

    As `PIL.ImageOps.exif_transpose`, which fails on some of what cameras write beside it.
    """
    # PIL turns a TIFF itself; what comes after a picture's data would have it decoded whole.
    if "exif" not in picture.info or picture.format == "TIFF":
        return ""
    try:
        return TURNS.get(picture.getexif().get(ORIENTATION, 1), "")
    except Exception:  # noqa: BLE001 - the picture is whole, whatever these notes are
        return ""
