"""Data that changed since a search: what still works, and what is refused and why."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import last_json, metanas
from metanas.api import SearchConfig, export, record, resume, retrain, search, show
from metanas.api.exporting import trained
from metanas.api.sameness import check_classes, rows_differ, task_record
from metanas.core.errors import DataError
from metanas.tasks.digits import digits
from metanas.tasks.npz import TASK

NAMES = ("down", "left", "up")


def write(path: Path, names: tuple[str, ...] = NAMES, side: int = 8, seed: int = 0) -> Path:
    """Twelve images a class, each class brighter than the one before."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(names), 12)
    images = rng.integers(0, 40, (len(labels), side, side), dtype=np.uint8)
    images += np.repeat(np.arange(len(names), dtype=np.uint8) * 60, 12)[:, None, None]
    np.savez(path, images=images, labels=labels)
    return path


CONFIG = SearchConfig("", trials=1, epochs=1, final_epochs="1", executor="inline", name="one")


@pytest.fixture
def searched(home: Path, tmp_path: Path) -> Path:
    path = write(tmp_path / "data.npz")
    search(replace(CONFIG, task=str(path)), home)
    return path


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"side": 9}, "shape [1, 8, 8] then and [1, 9, 9] now"),
        ({"names": ("down", "left")}, "outputs 3 then and 2 now; it lacks class 'up'"),
        ({"names": ("down", "left", "over")}, "it lacks class 'up'; it has besides class 'over'"),
    ],
)
def test_data_that_the_winner_does_not_fit_is_refused_with_what_differs(
    searched: Path, home: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    write(searched, **changed)
    wanted = re.escape(f"task '{searched}' is not what the search ran on: {message}")
    with pytest.raises(DataError, match=wanted):
        export("one", home, tmp_path / "out", onnx=False)
    with pytest.raises(DataError, match=wanted):
        trained(show("one", home), home)
    with pytest.raises(DataError, match=wanted):
        resume("one", home, trials=2)
    assert not (tmp_path / "out").exists()


def test_other_rows_end_no_export_but_are_told_and_no_trial_joins_those_before(
    searched: Path, home: Path, tmp_path: Path
) -> None:
    assert export("one", home, tmp_path / "out", onnx=False).changed == ""
    write(searched, seed=1)
    told = export("one", home, tmp_path / "out", onnx=False).changed
    assert told == "other values in the same rows"
    with pytest.raises(DataError, match=f"not what the search ran on: {told}"):
        resume("one", home, trials=2)


def test_the_command_says_that_rows_changed(searched: Path, home: Path, tmp_path: Path) -> None:
    write(searched, seed=1)
    command = ("export", "one", "--to", str(tmp_path / "out"), "--no-onnx", "--json")
    process = metanas(*command, home=home)
    assert last_json(process)["folder"] == str(tmp_path / "out")
    assert process.stderr.startswith("the task's data changed since the search, other values in")


def test_of_a_search_before_data_were_noted_weights_that_do_not_fit_are_one_line(
    searched: Path, home: Path, tmp_path: Path
) -> None:
    path = home / "searches" / "one" / "journal.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        event.pop("task", None)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    export("one", home, tmp_path / "out", onnx=False)
    write(searched, names=("down", "left"))
    with pytest.raises(DataError, match="the winner's weights do not fit task 'data' of shape"):
        export("one", home, tmp_path / "other", onnx=False)


def test_retraining_takes_other_rows_and_sizes_but_no_other_classes(
    searched: Path, home: Path, tmp_path: Path
) -> None:
    more = write(tmp_path / "more.npz", side=9, seed=2)
    searched.unlink()  # the first data need not be there any more
    exported, test = retrain("one", home, tmp_path / "out", data=str(more), epochs=1)
    assert set(test) == {"accuracy", "loss"}
    assert exported.changed == ""
    told: list[int] = []
    other = write(tmp_path / "other.npz", names=("down", "left", "over"))
    with pytest.raises(DataError, match="has not the classes .*: it lacks class 'up'; it has"):
        retrain(
            "one", home, tmp_path / "no", data=str(other), epochs=1,
            report=lambda epoch, metrics: told.append(epoch),
        )  # fmt: skip
    assert told == []


def test_the_same_classes_in_another_order_are_others(searched: Path, home: Path) -> None:
    known = show("one", home).task
    task = replace(TASK(path=str(searched)), facts={"classes": ["up", "left", "down"]})
    with pytest.raises(DataError, match="the same classes in another order"):
        check_classes(known, task, "it")


def test_retraining_says_which_options_the_new_data_cannot_take(home: Path, tmp_path: Path) -> None:
    names = tuple("0123456789")
    path = write(tmp_path / "data.npz", names=names)
    options = (("size", "9"), ("task.where", ""))
    search(replace(CONFIG, task=str(path), set=options), home)
    told: list[str] = []
    retrain("one", home, tmp_path / "out", data="digits", epochs=1, say=told.append)
    assert told == [
        "--set task.size of the search is left out: 'digits' has no such option",
        "--set task.where of the search is left out: 'digits' has no such option",
    ]
    again = write(tmp_path / "again.npz", names=names)
    exported, _ = retrain("one", home, tmp_path / "two", data=str(again), epochs=1)
    recipe = json.loads((exported.folder / "recipe.json").read_text())
    assert recipe["task"]["shape"] == [1, 9, 9]


def test_a_search_is_shown_after_its_data_have_moved(searched: Path, home: Path) -> None:
    before = record(show("one", home))
    searched.rename(searched.with_name("elsewhere.npz"))
    assert record(show("one", home)) == before
    with pytest.raises(DataError, match=f"there is no '{searched}'"):
        resume("one", home)


def test_the_hash_sees_every_row_and_every_target() -> None:
    task = digits()
    known = task_record(task, 0)
    assert task_record(task, 0) == known
    data = task.load(0)
    for array in (data.test.inputs, data.validation.targets):
        changed = array.copy()
        changed.flat[-1] += 1
        part = "test" if array is data.test.inputs else "validation"
        name = "inputs" if part == "test" else "targets"
        other = replace(data, **{part: replace(getattr(data, part), **{name: changed})})
        found = task_record(replace(task, load=lambda seed, other=other: other), 0)
        assert rows_differ(known, found) == "other values in the same rows"
