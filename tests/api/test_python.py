"""The public functions of the package, as a program calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import metanas
from metanas.core.errors import ConfigError, DataError

QUICK: dict[str, Any] = {"executor": "inline", "epochs": 1, "progress": False}
OWN = Path(__file__).parents[1] / "examples"


def stripes(n: int = 40, size: int = 8) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Upright stripes are one class, lying ones the other."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (n, size, size), dtype=np.uint8)
    images[::2, :, ::2] += 150
    images[1::2, ::2, :] += 150
    return images, np.array(["upright", "lying"] * (n // 2))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, template_database: Path) -> metanas.Found:
    import shutil

    home = tmp_path_factory.mktemp("home")
    shutil.copy(template_database, home / "mlflow.db")
    return metanas.search(
        stripes(), home=home, objective=["accuracy", "flops<1e6"], trials=4,
        name="stripes", final_epochs="4", **QUICK,
    )  # fmt: skip


def test_arrays_are_searched_and_the_front_is_among_the_trials(found: metanas.Found) -> None:
    frame = found.frame()
    assert frame["number"].tolist() == [0, 1, 2, 3]
    assert {"accuracy", "flops", "stages", "status", "seconds"} <= set(frame.columns)
    assert found.best is not None
    assert found.best.number in frame[frame["front"]]["number"].tolist()
    assert [t.number for t in found.front] == sorted(
        frame[frame["front"]]["number"], key=lambda n: (-frame["accuracy"][n], frame["flops"][n])
    )
    assert "flops<1e+06" in found.why


def test_the_model_takes_pixels_and_scores_as_its_test_says(found: metanas.Found) -> None:
    import torch

    from metanas.tasks.classification import Rows, classification

    images, labels = stripes()
    data = classification("again", Rows(images[:, None], labels), where="again").load(0)
    with torch.no_grad():
        scores = found.model()(torch.from_numpy(data.test.inputs))
    hits = (scores.argmax(dim=1).numpy() == data.test.targets).mean()
    assert found.test["accuracy"] == pytest.approx(hits)


def test_a_search_is_gone_on_with_and_shown(found: metanas.Found) -> None:
    longer = metanas.resume(found.name, trials=5, home=found.home, progress=False)
    assert len(longer.frame()) == 5
    again = metanas.show(found.name, home=found.home)
    assert again.frame().equals(longer.frame())


def test_a_data_set_of_pytorch_is_searched(home: Path) -> None:
    import torch
    from torch.utils.data import TensorDataset

    images, labels = stripes()
    tensors = torch.from_numpy(images)[:, None].float() / 255
    dataset = TensorDataset(tensors, torch.from_numpy((labels == "lying").astype(int)))
    result = metanas.search(dataset, home=home, trials=1, final_epochs="0", **QUICK)
    assert result.frame()["status"].tolist() == ["completed"]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (stripes(), {"trails": 3}, "search has no option 'trails'. Known: .*trials"),
        (stripes(), {"trials": 0}, "search.trials is 0, expected at least 1"),
        (3, {}, "task is a int, expected a name, a path, "),
        (stripes(), {"trials": "3"}, "search.trials is '3', expected a whole number"),
        (stripes(), {"workers": None}, "search.workers is None, expected a whole number"),
        (stripes(), {"seed": 1.5}, "search.seed is 1.5, expected a whole number"),
        (stripes(), {"objective": 3}, "search.objective is 3, expected a name or several"),
        (stripes(), {"set": ["a=1"]}, "search.set is .'a=1'., expected options of parts"),
        (stripes(), {"space": None}, "search.space is a NoneType, expected a name, a file's"),
        (stripes(), {"objective": "speed"}, "no objective 'speed' on task"),
        (stripes(), {"objective": "accuracy<0.5"}, "of accuracy more is better, expected"),
        (stripes(), {"objective": ["flops", "flops<3"]}, "--objective flops is given 2 times"),
        (stripes(), {"objective": "flops<nan"}, "--objective is 'flops<nan', expected a name"),
        (stripes(), {"objective": "flops<x"}, "--objective is 'flops<x', expected a name"),
    ],
)
def test_what_is_wrong_is_said_and_leaves_no_search(
    home: Path, task: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        metanas.search(task, home=home, **{**QUICK, **options})
    assert list((home / "searches").iterdir()) == []


class Broken:
    """A data set that cannot be read."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, row: int) -> Any:
        raise RuntimeError("the disk\nis gone")


PICTURE = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (([[1, 2], [3]], [0, 1]), "'images' cannot be one array: .*inhomogeneous"),
        (([PICTURE] * 2, [[0], [1, 2]]), "'labels' cannot be one array"),
        (([PICTURE] * 2, [None, 1]), "'labels' is object, expected integers or text"),
        (([], []), "'images' has shape .0., expected"),
        (("some", "text"), "'images' has shape .., expected"),
        ([], "the data set has no rows"),
        (["a", "b"], "row 0 of the data set is a str, expected .image, label."),
        ([{"image": 1, "label": 2}], "row 0 of the data set is a dict, expected .image, label."),
        ({"images": 1}, "row 0 of the data set cannot be read: KeyError: 0"),
        (Broken(), "row 0 of the data set cannot be read: RuntimeError: the disk is gone"),
        ([(PICTURE, None)], "label of row 0 of the data set is None, expected one whole number"),
        ([(PICTURE, 0.5)], "label of row 0 of the data set is 0.5, expected one whole number"),
        ([(PICTURE, np.zeros((9, 9)))], "label of row 0 of the data set is array...0., 0., 0"),
        ([(PICTURE, [0, 1])], "label of row 0 of the data set is .0, 1., expected one whole"),
        ([("a.png", 0)], "image of row 0 of the data set is <U5 of shape .., expected pixels"),
        ([([[1], [2, 3]], 0)], "'image of row 0 of the data set' cannot be one array"),
    ],
)
def test_data_that_are_none_are_one_line(home: Path, task: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as told:
        metanas.search(task, home=home, **QUICK)
    assert len(str(told.value).splitlines()) == 1
    assert list((home / "searches").iterdir()) == []


def test_labels_may_be_text_numbers_or_tensors() -> None:
    import torch

    from metanas.api.arrays import arrays_of

    labels: list[Any] = ["cat", np.str_("dog")]
    assert arrays_of([(PICTURE, each) for each in labels])[1].tolist() == ["cat", "dog"]
    labels = [torch.tensor(0), torch.tensor([1]), np.int64(2), 3, 4.0, True]
    found = arrays_of([(torch.zeros(1, 4, 4, requires_grad=True), each) for each in labels])
    assert found[0].shape == (6, 4, 4, 1)
    assert found[1].tolist() == [0, 1, 2, 3, 4, 1]


def test_numbers_of_numpy_are_taken_as_options(home: Path) -> None:
    found = metanas.search(
        stripes(), home=home, seed=np.int64(2), trials=np.int32(1), final_epochs="0", **QUICK
    )
    assert (found.finished.config.seed, len(found.frame())) == (2, 1)


SCRIPT = """
import sys

import metanas
from metanas import Choice, Space
from torch import nn


def build(values, shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], outputs))


space = Space("mine", (Choice("width", (1, 2)),), build)
GUARDfound = metanas.search(
    "digits", space=space, home=sys.argv[1], trials=1, epochs=1, final_epochs="0",
    executor="inline", progress=False,
)
"""


@pytest.mark.parametrize("guard", ["", 'if __name__ == "__main__":\n    '])
def test_a_script_that_defines_its_space_needs_its_guard(
    home: Path, tmp_path: Path, guard: str
) -> None:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT.replace("GUARD", guard))
    process = subprocess.run(
        [sys.executable, str(file), str(home)], capture_output=True, text=True, check=False
    )
    if guard:
        assert process.returncode == 0, process.stderr
        return
    assert process.stderr.splitlines()[-1] == (
        "metanas.core.errors.ConfigError: script.py calls metanas.search while it is read as a "
        'plug-in: put the call under if __name__ == "__main__":'
    )
    assert list((home / "searches").iterdir()) == []


def test_images_of_several_shapes_are_refused(home: Path) -> None:
    rows = [(np.zeros((4, 4), np.uint8), 0), (np.zeros((5, 4), np.uint8), 1)]
    with pytest.raises(DataError, match="images of several shapes"):
        metanas.search(rows, home=home, **QUICK)


def test_a_space_that_no_file_defines_is_refused_with_what_to_do(home: Path) -> None:
    from metanas.core.space import Choice, Space

    space = Space("nowhere", (Choice("a", (1, 2)),), lambda *_: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="give space='my_net.py:space'"):
        metanas.search(stripes(), space=space, home=home, **QUICK)


def test_other_arrays_of_the_same_bytes_are_other_data(tmp_path: Path) -> None:
    from metanas.api.python import _task

    images = np.random.default_rng(0).integers(0, 255, (60, 3, 8, 8), dtype=np.uint8)
    labels = np.array(["a", "b"] * 30, dtype=object)
    first = _task((images, labels), tmp_path)
    assert _task((images.reshape(60, 8, 8, 3), labels), tmp_path) != first
    assert _task((images.copy(), np.array(["a", "b"] * 30, dtype=object)), tmp_path) == first
