from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metanas.core.errors import ConfigError, DataError
from metanas.core.task import Task
from metanas.tasks.folder import folder
from metanas.tasks.parquet import parquet
from metanas.testing import check_task

SUFFIXES = ("png", "jpg", "bmp", "gif", "webp", "tif", "JPEG")


def picture(path: Path, shade: int = 100, mode: str = "L", size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade if mode == "L" else (shade,) * len(mode)).save(path)
    return path


def classes(root: Path, names: Iterable[str] = ("cats", "dogs"), count: int = 10) -> Path:
    for name in names:
        for n in range(count):
            picture(root / name / f"{n:02}.png", 10 * n)
    return root


def splits(root: Path, names: Iterable[str] = ("train", "val", "test")) -> Path:
    for name, count in zip(names, (5, 3, 2), strict=False):
        classes(root / name, count=count)
    return root


def sizes(task: Task) -> list[int]:
    data = task.load(0)
    return [len(part) for part in (data.train, data.validation, data.test)]


def refused(root: Path) -> str:
    """The one line that says what is wrong, without the folder's own name."""
    with pytest.raises(DataError) as caught:
        folder(path=str(root))
    assert str(caught.value).startswith(str(root))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(root))


def test_a_folder_of_class_folders_keeps_the_laws(tmp_path: Path) -> None:
    task = folder(path=str(classes(tmp_path / "pets")))
    check_task(task)
    assert (task.name, task.shape, task.outputs) == ("pets", (1, 8, 8), 2)
    assert task.facts == {"rows": 20, "classes": ["cats", "dogs"]}


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "validation", "TEST")])
def test_splits_above_the_classes_are_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    task = folder(path=str(splits(tmp_path, names)))
    check_task(task)
    assert sizes(task) == [10, 6, 4]
    assert task.load(0).test.inputs[:, 0, 0, 0].tolist() == [0, 10, 0, 10]


def test_without_val_a_fifth_of_train_serves(tmp_path: Path) -> None:
    classes(tmp_path / "train", count=10)
    classes(tmp_path / "test", count=3)
    assert sizes(folder(path=str(tmp_path))) == [16, 4, 6]


def test_pixels_arrive_as_they_were_in_the_order_of_names(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 6, 4, 3), dtype=np.uint8)
    for label in (1, 0):
        for n in reversed(range(9)):
            split = "test" if n > 5 else "train"
            path = tmp_path / split / f"class{label}" / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[label, n]).save(path)
    test = folder(path=str(tmp_path)).load(0).test
    assert np.array_equal(test.inputs, pixels[:, 6:].reshape(6, 6, 4, 3).transpose(0, 3, 1, 2))
    assert test.targets.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_folder_and_a_parquet_file_of_the_same_images_are_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = classes(tmp_path / "pets")
    files = sorted(root.glob("*/*.png"))
    table = {"image": [f.read_bytes() for f in files], "label": [f.parent.name for f in files]}
    pq.write_table(pa.table(table), tmp_path / "pets.parquet")
    one, two = folder(path=str(root)).load(3), parquet(path=str(tmp_path / "pets.parquet")).load(3)
    assert np.array_equal(one.train.inputs, two.train.inputs)
    assert np.array_equal(one.test.targets, two.test.targets)


def test_formats_modes_and_sizes_are_brought_to_one(tmp_path: Path) -> None:
    for n in range(14):
        mode = ("L", "RGB")[n % 2]
        picture(tmp_path / "a" / f"{n:02}.{SUFFIXES[n % 7]}", mode=mode, size=(16, 8))
        picture(tmp_path / "b" / f"{n:02}.{SUFFIXES[n % 7]}", mode="L", size=(20, 10))
    assert folder(path=str(tmp_path)).shape == (3, 9, 18)
    assert folder(path=str(tmp_path), size=32).shape == (3, 16, 32)


def test_large_images_are_brought_to_64(tmp_path: Path) -> None:
    for n in range(6):
        picture(tmp_path / "ab"[n % 2] / f"{n}.png", size=(300, 150))
    assert folder(path=str(tmp_path)).shape == (1, 32, 64)


@pytest.mark.parametrize("dtype", [">u2", "<u2", "<i4", "<f4"])
def test_more_than_eight_bits_of_grey_are_scaled_to_eight(tmp_path: Path, dtype: str) -> None:
    for n in range(6):
        path = tmp_path / "ab"[n % 2] / f"{n}.tif"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.array([[0, 30_000], [15_000, 30_000]], dtype)).save(path)
    data = folder(path=str(tmp_path)).load(0)
    assert data.test.inputs[0].tolist() == [[[0, 255], [127, 255]]]


def test_hidden_files_and_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    classes(tmp_path)
    (tmp_path / "cats" / "notes.txt").write_text("not an image")
    (tmp_path / "cats" / ".broken.png").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.md").write_text("about the pets")
    assert folder(path=str(tmp_path)).facts["rows"] == 20


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    assert folder(path=str(classes(tmp_path, ("plane", "train")))).facts["classes"] == [
        "plane",
        "train",
    ]


def test_a_folder_in_which_something_changed_is_read_again(tmp_path: Path) -> None:
    classes(tmp_path)
    first = folder(path=str(tmp_path))
    assert folder(path=str(tmp_path)) is first
    picture(tmp_path / "cats" / "new.png")
    assert folder(path=str(tmp_path)).facts["rows"] == 21
    same_size = picture(tmp_path / "dogs" / "00.png", 255)
    os.utime(same_size, ns=(1, 1))
    assert folder(path=str(tmp_path)).load(0).train.inputs.max() == 255


@pytest.mark.parametrize(
    ("path", "content"), [("cats/05.png", b"x"), ("dogs/07.jpg", b""), ("dogs/02.png", None)]
)
def test_a_broken_image_is_named(tmp_path: Path, path: str, content: bytes | None) -> None:
    classes(tmp_path)
    whole = (tmp_path / "cats" / "00.png").read_bytes()
    (tmp_path / path).write_bytes(whole[:45] if content is None else content)
    assert refused(tmp_path).startswith(f"/{path}: image cannot be decoded: ")


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (classes(tmp_path) / "cats" / "gone.png").symlink_to(tmp_path / "none.png")
    assert refused(tmp_path) == "/cats/gone.png: No such file or directory"


@pytest.mark.parametrize("name", ["none", "file"])
def test_what_is_no_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / name) in (": No such file or directory", ": Not a directory")


def test_a_class_folder_without_images_is_refused(tmp_path: Path) -> None:
    (classes(tmp_path) / "birds").mkdir()
    assert "/birds: no image in this class folder, found: nothing; expected" in refused(tmp_path)
    (tmp_path / "birds" / "a.heic").write_bytes(b"x")
    assert "found: a.heic; expected names that end in .bmp, .gif" in refused(tmp_path)


def test_images_outside_class_folders_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert refused(tmp_path).startswith("/a.png: in no class folder, expected ")
    classes(tmp_path)
    assert refused(tmp_path).startswith("/a.png: in no class folder, expected ")


def test_a_split_of_images_without_labels_is_refused(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    picture(tmp_path / "test" / "1.png")
    assert refused(tmp_path).startswith("/test/1.png: in no class folder")


@pytest.mark.parametrize("other", ["extra/a.png", "a.png"])
def test_splits_and_other_things_side_by_side_are_refused(tmp_path: Path, other: str) -> None:
    picture(splits(tmp_path) / other)
    assert "lies beside splits (test, train, val), expected nothing else" in refused(tmp_path)


def test_folders_in_class_folders_are_refused(tmp_path: Path) -> None:
    classes(tmp_path / "training")
    assert "/training/cats: a folder in class folder 'training'" in refused(tmp_path)
    assert "splits above classes are called train, val and test" in refused(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(": no class folders")


def test_a_split_is_refused_that_is_empty_or_alone(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    assert refused(tmp_path).startswith(": split 'test' is empty (found: train)")
    (tmp_path / "test").mkdir()
    assert refused(tmp_path).startswith("/test: no class folders")


def test_one_image_a_class_is_refused_by_the_name_of_the_class(tmp_path: Path) -> None:
    assert refused(classes(tmp_path, count=1)) == (
        ": label cats has one row, expected at least 3: one each for train, validation and test"
    )


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_class_that_one_split_lacks_is_refused(tmp_path: Path, split: str) -> None:
    splits(tmp_path)
    for other in {"train", "val", "test"} - {split}:
        classes(tmp_path / other, ["birds"])
    name = "validation" if split == "val" else split
    expected = f": labels differ between splits: no row of split '{name}' has label birds"
    assert refused(tmp_path).startswith(expected)


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    classes(tmp_path)
    with pytest.raises(ConfigError, match="folder.size is -1, expected at least 0"):
        folder(path=str(tmp_path), size=-1)
    with pytest.raises(ConfigError, match="folder.where is 'label=cats', expected none"):
        folder(path=str(tmp_path), where="label=cats")
    with pytest.raises(ConfigError, match="task 'folder' reads a folder: give the folder's path"):
        folder()
