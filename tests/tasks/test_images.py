"""Encoded images of every kind become one array, and cameras are held in every way."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from metanas.tasks import _images
from metanas.tasks._images import Encoded, decoded


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def arrays(contents: Sequence[bytes], size: int = 0) -> npt.NDArray[np.uint8]:
    return decoded(Encoded(len(contents), lambda row: io.BytesIO(contents[row]), str), size)


def photo(width: int = 48, height: int = 32) -> Image.Image:
    """Soft, and different in each corner."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], 2).astype(np.uint8))


def held(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_the_camera_was_held(orientation: int, form: str) -> None:
    content = encoded(photo(), form, exif=held(orientation))
    (found,) = arrays([content])
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert found.shape == (3, upright.height, upright.width)
    difference = np.abs(found.transpose(1, 2, 0).astype(int) - np.asarray(upright))
    assert difference.max() <= 3
    assert (upright.height > upright.width) == (orientation >= 5)


def test_notes_of_a_camera_that_are_broken_lose_no_picture() -> None:
    good = encoded(photo(), "JPEG", exif=held(6))
    start = good.index(b"Exif\x00\x00") + 6
    broken = good[:start] + b"XX\xff\xff" + good[start + 4 :]
    assert arrays([broken]).shape == (1, 3, 32, 48)


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = encoded(photo(2400, 1600), "JPEG", quality=95, exif=held(6))
    seen: list[tuple[int, int]] = []
    opaque = _images._opaque

    def watched(picture: Image.Image) -> Image.Image:
        picture.load()
        seen.append(picture.size)
        return opaque(picture)

    monkeypatch.setattr(_images, "_opaque", watched)
    (found,) = arrays([content])
    assert found.shape == (3, 64, 43)
    assert seen == [(300, 200)]
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).resize((43, 64))
    assert np.abs(found.transpose(1, 2, 0).astype(int) - np.asarray(whole)).max() <= 8


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16")
FORMATS = {"CMYK": "JPEG", "YCbCr": "JPEG"}


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_every_mode_are_read(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    else:
        picture = photo(8, 8).convert("L" if mode in ("1", "L") else "RGB").convert(mode)
    contents = [encoded(picture, FORMATS.get(mode, "PNG")), encoded(photo(8, 8))]
    found = arrays(contents)
    assert found.shape == (2, 3, 8, 8)
    assert found[0].max() > 100


def test_what_is_transparent_becomes_white_and_not_what_lies_below() -> None:
    below = np.zeros((8, 8, 4), np.uint8)
    below[2:6, 2:6, 3] = 255  # black on black, told apart by the alpha channel alone
    drawing = Image.fromarray(below)
    palette = drawing.convert("P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    palette.putdata([int(alpha == 0) for alpha in below[:, :, 3].flat])
    grey = drawing.convert("LA")
    contents = [encoded(drawing), encoded(palette, transparency=bytes([255, 0])), encoded(grey)]
    contents.append(encoded(palette, transparency=1))
    wanted = np.full((8, 8), 255)
    wanted[2:6, 2:6] = 0
    for image in arrays(contents):
        assert all(np.array_equal(channel, wanted) for channel in image)
