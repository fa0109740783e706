from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from metanas.core.errors import ConfigError, DataError
from metanas.tasks.npz import archive, npz
from metanas.testing import check_task

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(20) % 2
SPLIT = np.array(["train"] * 10 + ["val"] * 4 + ["test"] * 6)
KERAS, MEDMNIST = "x_{0} y_{0}", "{0}_images {0}_labels"


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "some.npz", **arrays)
    return str(folder / "some.npz")


def in_parts(style: str, images: Any = IMAGES, labels: Any = LABELS) -> dict[str, Any]:
    """Images and labels of each part, as `SPLIT` cuts them, in the names of a style."""
    return {
        name: values[part == SPLIT]
        for part in ("train", "val", "test")
        for name, values in zip(style.format(part).split(), (images, labels), strict=True)
    }


def arrived(folder: Path, images: npt.NDArray[Any], size: int = 0) -> npt.NDArray[np.uint8]:
    """All images as a search gets them, in the order in which they were given."""
    path = saved(folder, images=images, labels=LABELS, split=SPLIT)
    data = npz(path=path, size=size).load(0)
    return np.concatenate([data.train.inputs, data.validation.inputs, data.test.inputs])


def refused(folder: Path, **arrays: Any) -> str:
    """The one line that says what is wrong, without the file's own name."""
    path = saved(folder, **arrays)
    with pytest.raises(DataError) as caught:
        npz(path=path)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(path)


def test_images_and_labels_keep_the_laws(tmp_path: Path) -> None:
    task = npz(path=saved(tmp_path, images=IMAGES, labels=LABELS))
    check_task(task)
    assert (task.name, task.shape, task.facts["classes"]) == ("some", (1, 6, 5), ["0", "1"])


@pytest.mark.parametrize("style", [KERAS, MEDMNIST])
def test_parts_in_arrays_of_their_own_are_kept(tmp_path: Path, style: str) -> None:
    arrays = in_parts(style)
    data = npz(path=saved(tmp_path, **arrays)).load(0)
    for part, name in ((data.train, "train"), (data.validation, "val"), (data.test, "test")):
        images, labels = style.format(name).split()
        assert np.array_equal(part.inputs[:, 0], arrays[images])
        assert np.array_equal(part.targets, arrays[labels])


@pytest.mark.parametrize("style", [KERAS, MEDMNIST])
def test_without_val_a_fifth_of_train_serves(tmp_path: Path, style: str) -> None:
    arrays = {n: array for n, array in in_parts(style).items() if "val" not in n}
    data = npz(path=saved(tmp_path, **arrays)).load(0)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 2, 6]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_may_come_last_or_first(tmp_path: Path, channels: int) -> None:
    images = RNG.integers(0, 256, (20, channels, 6, 5), dtype=np.uint8)
    assert np.array_equal(arrived(tmp_path, images), images)
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    assert np.array_equal(arrived(tmp_path, last), images)


def test_where_both_would_do_channels_come_last(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (20, 3, 5, 4), dtype=np.uint8)
    assert np.array_equal(arrived(tmp_path, images), images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_of_either_range_arrive_as_the_bytes_that_they_were(
    tmp_path: Path, dtype: npt.DTypeLike
) -> None:
    assert np.array_equal(arrived(tmp_path, IMAGES.astype(dtype))[:, 0], IMAGES)
    assert np.array_equal(arrived(tmp_path, (IMAGES / 255).astype(dtype))[:, 0], IMAGES)


def test_all_parts_decide_together_which_range_floats_have(tmp_path: Path) -> None:
    dark = np.where((SPLIT == "test")[:, None, None], IMAGES > 127, IMAGES).astype(np.float32)
    data = npz(path=saved(tmp_path, **in_parts(KERAS, dark))).load(0)
    assert data.test.inputs.max() == 1


def test_integers_up_to_255_are_taken_as_they_are(tmp_path: Path) -> None:
    assert np.array_equal(arrived(tmp_path, IMAGES.astype(np.int64))[:, 0], IMAGES)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABELS[:, None], ["0", "1"]),
        (LABELS.astype(np.uint64) + 7, ["7", "8"]),
        (LABELS == 1, ["0", "1"]),
        (np.array(["cats", "dogs"] * 10), ["cats", "dogs"]),
        (np.array(["Katzen", "Mäuse"] * 10), ["Katzen", "Mäuse"]),
        (np.array([b"cats", b"dogs"] * 10), ["cats", "dogs"]),
    ],
)
def test_labels_may_be_integers_or_text(tmp_path: Path, labels: Any, classes: list[str]) -> None:
    task = npz(path=saved(tmp_path, images=IMAGES, labels=labels, split=SPLIT))
    assert task.facts["classes"] == classes
    assert task.load(0).test.targets.tolist() == [0, 1, 0, 1, 0, 1]


def test_size_is_the_longer_side_and_0_leaves_images_alone(tmp_path: Path) -> None:
    large = np.zeros((20, 100, 50, 3), np.uint8)
    assert arrived(tmp_path, large).shape[1:] == (3, 100, 50)
    assert arrived(tmp_path, large, size=20).shape[1:] == (3, 20, 10)
    brought = arrived(tmp_path, COLOUR, size=12)
    expected = np.asarray(Image.fromarray(COLOUR[7]).resize((10, 12)))
    assert np.array_equal(brought[7], expected.transpose(2, 0, 1))


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS)
    assert npz(path=path) is npz(path=path)
    saved(tmp_path, images=IMAGES[:10], labels=LABELS[:10])
    assert npz(path=path).facts["rows"] == 10


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"images": IMAGES},
        {"images": IMAGES, "labels": LABELS, "splits": SPLIT},
        {"x_train": IMAGES, "y_train": LABELS},
        {k: v for k, v in in_parts(KERAS).items() if k != "y_val"},
        in_parts(KERAS) | {"images": IMAGES, "labels": LABELS},
        {k: v for k, v in (in_parts(KERAS) | in_parts(MEDMNIST)).items() if "val" not in k},
    ],
)
def test_other_sets_of_arrays_are_refused_with_those_that_are_known(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    message = refused(tmp_path, **arrays)
    found = ", ".join(repr(name) for name in sorted(arrays)[:10]) or "none"
    assert message.startswith(f": found arrays {found}")
    assert "expected images, labels (and split); or x_train, y_train, x_test" in message


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (IMAGES[0, 0], "'images' has shape [5], expected [n, h, w], [n, h, w, c] or"),
        (np.uint8(3), "'images' has shape [], expected"),
        (IMAGES[:0], "'images' has shape [0, 6, 5], expected"),
        (np.zeros((20, 6, 5, 2), np.uint8), "'images' has shape [20, 6, 5, 2], expected"),
        (IMAGES / 127.5 - 1, "images are float64 from -1 to 1, expected uint8, or floats from 0"),
        (IMAGES / 255 * 1.01, "images are float64 from 0 to 1.01, expected uint8"),
        (IMAGES.astype(np.uint16) * 200, "images are uint16 from 0 to 51000, expected uint8"),
        (np.full((20, 6, 5), np.nan), "images are float64 from nan to nan, expected uint8"),
        (np.full((20, 6, 5), np.inf), "images are float64 from inf to inf, expected uint8"),
        (IMAGES > 5, "images are bool, expected uint8"),
        (np.full((20, 6, 5), "a"), "images are <U1, expected uint8"),
    ],
)
def test_images_that_are_none_are_refused(tmp_path: Path, images: Any, reason: str) -> None:
    assert refused(tmp_path, images=images, labels=LABELS).startswith(f": {reason}")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"labels": LABELS[:19]}, "'labels' has shape [19], expected [20] or [20, 1] as 'images'"),
        ({"labels": np.eye(20)}, "'labels' has shape [20, 20], expected [20] or [20, 1]"),
        ({"labels": LABELS / 2}, "'labels' is float64, expected integers or text"),
        ({"labels": np.array([b"\xff", b"a"] * 10)}, "'labels' is |S1, expected integers or text"),
        ({"labels": LABELS * 0}, "one class only ([0])"),
        ({"labels": np.arange(20)}, "label 0 has one row, expected at least 3"),
        ({"split": SPLIT[:3]}, "'split' has shape [3], expected [20]"),
        ({"split": np.where(SPLIT == "val", "dev", SPLIT)}, "split 'dev', expected train, val or"),
        ({"labels": np.where(SPLIT == "val", 0, LABELS)}, "labels differ between splits: no row"),
    ],
)
def test_labels_and_splits_that_are_none_are_refused(
    tmp_path: Path, arrays: dict[str, Any], reason: str
) -> None:
    split = {"split": SPLIT} if "differ" in reason else {}
    message = refused(tmp_path, **{"images": IMAGES, "labels": LABELS, **split, **arrays})
    assert message.startswith(f": {reason}")


def test_parts_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    arrays = in_parts(KERAS)
    cut = {**arrays, "x_test": arrays["x_test"][:, :4]}
    assert refused(tmp_path, **cut).startswith(
        ": 'x_test' holds images of shape [4, 5] and uint8, 'x_train' of [6, 5] and uint8"
    )
    scaled = {**arrays, "x_test": arrays["x_test"] / 255}
    assert "[6, 5] and float64, 'x_train' of [6, 5] and uint8" in refused(tmp_path, **scaled)
    text = {**arrays, "y_test": arrays["y_test"].astype(str)}
    assert refused(tmp_path, **text).startswith(": 'y_val' holds integers and 'y_test' text")


class Evil:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("unpickled"),)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.array([Evil()] * 20, dtype=object)
    assert "array 'labels' cannot be read, expected numbers or text: " in refused(
        tmp_path, images=IMAGES, labels=labels
    )
    labels.dump("pickled.npz")
    with pytest.raises(DataError, match="pickled.npz: not a NumPy archive"):
        npz(path="pickled.npz")
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"image,label\n"])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(DataError, match="some.npz: not a NumPy archive of arrays"):
        npz(path=str(tmp_path / "some.npz"))


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, images=IMAGES, labels=LABELS))
    content = bytearray(path.read_bytes())
    content[300:320] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(DataError, match="some.npz: array 'images' cannot be read"):
        npz(path=str(path))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match="one.npz: a single array, expected an archive of images"):
        npz(path=str(tmp_path / "one.npz"))


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS)
    with pytest.raises(ConfigError, match="npz.size is -1, expected at least 0"):
        npz(path=path, size=-1)
    with pytest.raises(ConfigError, match="npz.where is 'a=b', expected none"):
        npz(path=path, where="a=b")
    with pytest.raises(ConfigError, match="task 'npz' reads a file"):
        npz()
    with pytest.raises(DataError, match="none.npz: No such file or directory"):
        npz(path=str(tmp_path / "none.npz"))


@pytest.mark.parametrize("images", [IMAGES, COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR / 255])
def test_what_archive_wrote_is_read_as_it_was(tmp_path: Path, images: npt.NDArray[Any]) -> None:
    archive(tmp_path / "a.npz", images, ["cats", "dogs"] * 10, list(SPLIT))
    task = npz(path=str(tmp_path / "a.npz"))
    check_task(task)
    path = saved(tmp_path, images=images, labels=np.array(["cats", "dogs"] * 10), split=SPLIT)
    one, two = task.load(0), npz(path=path).load(0)
    assert np.array_equal(one.train.inputs, two.train.inputs)
    assert np.array_equal(one.test.inputs, two.test.inputs)
    assert np.array_equal(one.test.targets, two.test.targets)
    assert task.facts["classes"] == ["cats", "dogs"]


def test_archive_stores_bytes_and_text_only(tmp_path: Path) -> None:
    archive(tmp_path / "a.npz", IMAGES / 255, np.array(["cats", "dogs"] * 10, dtype=object))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert {name: found[name].dtype.kind for name in found.files} == {
            "images": "u",
            "labels": "U",
        }
        assert np.array_equal(found["images"], IMAGES)


def test_archive_leaves_a_whole_file_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(tmp_path / "a.npz", IMAGES, LABELS)
    before = (tmp_path / "a.npz").read_bytes()

    def fill_up(file: Any, **arrays: Any) -> None:
        file.write(b"some of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_up)
    with pytest.raises(DataError, match="a.npz: No space left on device"):
        archive(tmp_path / "a.npz", COLOUR, LABELS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert (tmp_path / "a.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (IMAGES, LABELS[:3], "arrays: 'labels' has shape [3], expected [20]"),
        ([[1, 2], [3]], LABELS, "arrays: 'images' cannot be one array: "),
        (IMAGES, [object()] * 20, "arrays: 'labels' is object, expected integers or text"),
        (IMAGES, np.arange(20), "arrays: label 0 has one row"),
    ],
)
def test_archive_refuses_what_is_no_task(
    tmp_path: Path, images: Any, labels: Any, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        archive(tmp_path / "a.npz", images, labels)
    assert str(caught.value).startswith(reason)
    assert not list(tmp_path.iterdir())


def test_archive_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none/a.npz: No such file or directory"):
        archive(tmp_path / "none" / "a.npz", IMAGES, LABELS)
