"""Tasks keep the laws, and what a file must be to be one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from helpers import SHARED
from metanas.core.errors import DataError
from metanas.tasks.classification import Rows, classification
from metanas.tasks.digits import digits
from metanas.tasks.mnist5k import mnist5k
from metanas.tasks.parquet import parquet
from metanas.testing import check_task


def encoded(mode: str = "L", size: tuple[int, int] = (8, 8), shade: int = 100) -> bytes:
    buffer = io.BytesIO()
    colour: int | tuple[int, ...] = shade if mode == "L" else (shade,) * len(mode)
    Image.new(mode, size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


def written(path: Path, **columns: list[object]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_digits_keeps_the_laws() -> None:
    check_task(digits())
    assert digits().shape == (1, 8, 8)
    data = digits().load(0)
    assert sum(map(len, (data.train, data.validation, data.test))) == 1797


def test_mnist5k_keeps_the_laws() -> None:
    check_task(mnist5k())
    data = mnist5k().load(0)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [3200, 800, 1000]
    assert np.bincount(data.test.targets).tolist() == [100] * 10


def test_the_seed_moves_validation_and_never_test() -> None:
    first, second = digits().load(0), digits().load(1)
    assert np.array_equal(first.test.inputs, second.test.inputs)
    assert not np.array_equal(first.validation.inputs, second.validation.inputs)


@pytest.mark.parametrize(
    ("modes", "channels"), [(["L"], 1), (["RGB"], 3), (["L", "RGB"], 3), (["RGBA"], 3)]
)
def test_channels_and_sizes_are_brought_to_one(
    tmp_path: Path, modes: list[str], channels: int
) -> None:
    sizes = [(8, 8), (16, 8), (8, 8), (200, 100)]
    images = [encoded(modes[n % len(modes)], sizes[n % 4]) for n in range(20)]
    path = written(tmp_path / "a.parquet", image=images, label=[n % 2 for n in range(20)])
    task = parquet(path=path)
    assert task.shape == (channels, 8, 12)
    check_task(task)
    assert parquet(path=path, size=32).shape == (channels, 21, 32)


def test_a_large_image_is_brought_to_64(tmp_path: Path) -> None:
    images = [encoded("L", (640, 320)) for _ in range(20)]
    path = written(tmp_path / "a.parquet", image=images, label=[n % 2 for n in range(20)])
    assert parquet(path=path).shape == (1, 32, 64)


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    split = ["train"] * 10 + ["val"] * 4 + ["test"] * 6
    images = [encoded(shade=10 * n) for n in range(20)]
    path = written(
        tmp_path / "a.parquet", image=images, label=[n % 2 for n in range(20)], split=split
    )
    data = parquet(path=path).load(5)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [10, 4, 6]
    assert data.test.inputs[0, 0, 0, 0] == 140


def test_labels_may_be_text(tmp_path: Path) -> None:
    images = [encoded(shade=10 * n) for n in range(20)]
    path = written(tmp_path / "a.parquet", image=images, label=["cat", "dog"] * 10)
    assert parquet(path=path).facts["classes"] == ["cat", "dog"]


IMAGES: list[object] = [encoded(shade=10 * n) for n in range(20)]
NOISE = io.BytesIO()
Image.effect_noise((32, 32), 90).save(NOISE, format="JPEG")
NOISE_CUT = NOISE.getvalue()[:200]
LABELS: list[object] = [n % 2 for n in range(20)]


@pytest.mark.parametrize(
    ("columns", "where", "reason"),
    [
        ({"image": IMAGES}, "", "no column 'label', needed for classification; found: image"),
        ({"label": LABELS}, "", "no column 'image'"),
        ({"image": IMAGES, "label": [1] * 20}, "", "one class only"),
        ({"image": IMAGES, "label": [None, *LABELS[1:]]}, "", "row 0 has no label"),
        ({"image": [*IMAGES[:7], b"x", *IMAGES[8:]], "label": LABELS}, "", "image of row 7 "),
        ({"image": [*IMAGES[:7], NOISE_CUT, *IMAGES[8:]], "label": LABELS}, "", "row 7 "),
        ({"image": IMAGES, "label": LABELS, "split": ["train"] * 20}, "", "split 'test' is empty"),
        ({"image": IMAGES, "label": LABELS, "split": ["test"] * 20}, "", "split 'train' is empty"),
        ({"image": IMAGES, "label": LABELS, "split": ["tset"] * 20}, "", "split 'tset', expected"),
        (
            {"image": IMAGES, "label": list(range(20))},
            "",
            "label 0 has one row, expected at least 3: one each for train, validation and test",
        ),
        ({"image": IMAGES, "label": LABELS}, "a=b", "--where names column 'a'; found: image"),
        ({"image": IMAGES, "label": LABELS}, "label=7", "no row where label=7; 'label' has: 0, 1"),
        ({"image": [], "label": []}, "", "no rows"),
    ],
)
def test_a_file_that_is_no_task_is_refused_in_one_line(
    tmp_path: Path, columns: dict[str, list[object]], where: str, reason: str
) -> None:
    path = written(tmp_path / "a.parquet", **columns)
    with pytest.raises(DataError) as caught:
        parquet(path=path, where=where)
    assert str(caught.value).startswith(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def of_labels(labels: str, split: list[str] | None = None) -> Rows:
    images = np.zeros((len(labels), 1, 4, 4), np.uint8)
    return Rows(images, np.array(list(labels)), None if split is None else np.array(split))


def test_a_label_that_train_lacks_is_named() -> None:
    images = np.zeros((6, 1, 4, 4), np.uint8)
    split = np.array(["train"] * 4 + ["test"] * 2)
    rows = Rows(images, np.array(["a", "b", "a", "b", "c", "a"]), split)
    with pytest.raises(DataError, match="no row of split 'train' has label c, found in test"):
        classification("t", rows, where="t")


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("ab ab ac", "no row of split 'train' has label c, found in test"),
        ("ab ac ab", "no row of split 'train' has label c, found in validation"),
        ("ab ac ac", "no row of split 'train' has label c, found in test and validation"),
        ("abc abc ab", "no row of split 'test' has label c, found in train and validation"),
        ("abc ab abc", "no row of split 'validation' has label c, found in test and train"),
        ("abcd ab abcd", "no row of split 'validation' has label c, d, found in test and train"),
        ("abcdefgh ab ab", "no row of split 'validation' has label c, d, e, f, g and 1 more"),
    ],
)
def test_labels_that_differ_between_splits_are_named_with_the_split(
    labels: str, reason: str
) -> None:
    train, validation, test = labels.split()
    split = ["train"] * len(train) + ["val"] * len(validation) + ["test"] * len(test)
    with pytest.raises(DataError) as caught:
        classification("t", of_labels(train + validation + test, split), where="t")
    assert str(caught.value).startswith(f"t: labels differ between splits: {reason}")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (of_labels("aaab"), "t: label b has one row, expected at least 3: "),
        (of_labels("bbbaa"), "t: label a has 2 rows, expected at least 3: one each for train, "),
        (
            of_labels("aabab", ["train"] * 3 + ["test"] * 2),
            "t: split 'train': label b has one row, expected at least 2: "
            "one each for train and validation",
        ),
    ],
)
def test_a_class_with_too_few_rows_is_refused_before_anything_is_loaded(
    rows: Rows, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        classification("t", rows, where="t")
    assert str(caught.value).startswith(reason)


def test_as_many_rows_as_there_are_parts_are_enough() -> None:
    check_task(classification("t", of_labels("aaabbb"), where="t"))
    split = ["train"] * 4 + ["test"] * 2
    check_task(classification("t", of_labels("aabbab", split), where="t"))


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="needs ../shared/data beside the tree")
def test_real_files_are_read_whole() -> None:
    signs = parquet(path=str(SHARED / "data" / "sign_digits.parquet"))
    assert (signs.shape, signs.outputs) == ((3, 64, 64), 10)
    assert len(signs.load(0).test) == 418
    greek = parquet(path=str(SHARED / "data" / "omniglot_mini.parquet"), where="alphabet=Greek")
    assert (greek.shape, greek.outputs) == ((1, 28, 28), 24)
    assert [len(part) for part in (greek.load(0).train, greek.load(0).test)] == [336, 72]


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="needs ../shared/data beside the tree")
def test_every_real_alphabet_has_all_its_labels_in_every_split() -> None:
    path = SHARED / "data" / "omniglot_mini.parquet"
    alphabets = pq.read_table(path, columns=["alphabet"])["alphabet"].unique().to_pylist()
    rows = [parquet(path=str(path), where=f"alphabet={a}").facts["rows"] for a in alphabets]
    assert (len(rows), sum(rows)) == (8, pq.read_metadata(path).num_rows)
