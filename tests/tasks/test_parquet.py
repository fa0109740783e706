from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from metanas.core.errors import ConfigError, DataError
from metanas.tasks.parquet import parquet


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


GREY = [png(np.full((4, 4), 10 * n, np.uint8)) for n in range(20)]


def written(folder: Path, images: Sequence[bytes | None] = GREY, **columns: Sequence[Any]) -> str:
    path = folder / "some.parquet"
    table = {"image": list(images), "label": [n % 2 for n in range(len(images))], **columns}
    pq.write_table(pa.table(table), path)
    return str(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.parquet: No such file or directory"):
        parquet(path=str(tmp_path / "none.parquet"))


@pytest.mark.parametrize("content", [b"", b"image,label\n", b"PAR1 and nothing else"])
def test_a_file_that_is_no_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match="some.parquet: not a Parquet file") as caught:
        parquet(path=str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_parquet_files_is_no_task(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        parquet(path=str(tmp_path))


def test_where_keeps_some_rows_and_names_the_task_after_them(tmp_path: Path) -> None:
    path = written(tmp_path, family=["a"] * 10 + ["b"] * 10)
    task = parquet(path=path, where="family=b")
    assert (task.name, task.facts["rows"]) == ("some-b", 10)


def test_where_can_name_a_number(tmp_path: Path) -> None:
    path = written(tmp_path, group=[n // 10 for n in range(20)])
    assert parquet(path=path, where="group=1").facts["rows"] == 10


def test_where_on_a_column_that_is_no_plain_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--where names column 'boxes'.*list") as caught:
        parquet(path=written(tmp_path, boxes=[[1.0, 2.0]] * 20), where="boxes=1")
    assert "\n" not in str(caught.value)


def test_where_on_the_images_themselves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--where names column 'image'"):
        parquet(path=written(tmp_path), where="image=1")


def test_a_broken_image_is_named_by_its_row_in_the_file(tmp_path: Path) -> None:
    images = [*GREY[:15], b"broken", *GREY[16:]]
    path = written(tmp_path, images, family=["a"] * 10 + ["b"] * 10)
    for where in ("", "family=b"):
        with pytest.raises(DataError, match="image of row 15 cannot be decoded"):
            parquet(path=path, where=where)


def test_a_missing_label_is_named_by_its_row_in_the_file(tmp_path: Path) -> None:
    labels = [None if n == 12 else n % 2 for n in range(20)]
    path = written(tmp_path, label=labels, family=["a"] * 10 + ["b"] * 10)
    for where in ("", "family=b"):
        with pytest.raises(DataError, match="row 12 has no label"):
            parquet(path=path, where=where)


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 3 has no image"):
        parquet(path=written(tmp_path, [*GREY[:3], None, *GREY[4:]]))


def test_a_size_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="parquet.size is -1, expected at least 0"):
        parquet(path=written(tmp_path), size=-1)


def test_pixels_arrive_as_they_were(tmp_path: Path) -> None:
    split = ["train"] * 18 + ["test"] * 2
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 6, 4, 3), dtype=np.uint8)
    data = parquet(path=written(tmp_path, [png(p) for p in pixels], split=split)).load(0)
    assert np.array_equal(data.test.inputs, pixels[18:].transpose(0, 3, 1, 2))
    assert data.test.targets.tolist() == [0, 1]


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    pixels = np.array([[0, 65_535], [32_768, 65_535]], np.uint16)
    split = ["train"] * 18 + ["test"] * 2
    data = parquet(path=written(tmp_path, [png(pixels)] * 20, split=split)).load(0)
    assert data.test.inputs[0].tolist() == [[[0, 255], [127, 255]]]


def test_images_wrapped_in_a_struct_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    rows = [{"bytes": image, "path": None} for image in GREY]
    pq.write_table(pa.table({"image": rows, "label": [n % 2 for n in range(20)]}), path)
    assert parquet(path=str(path)).shape == (1, 4, 4)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert parquet(path=written(tmp_path)).facts["rows"] == 20
    assert parquet(path=written(tmp_path, GREY[:10])).facts["rows"] == 10
