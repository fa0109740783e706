"""A fingerprint tells what rows are like, and a distance which tasks are alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from made_tables import small
from metanas.core.task import Data, Part, Task
from metanas.measures.zero_cost import SCORES
from metanas.meta import _rows
from metanas.meta.fingerprint import PROBES, distance, fingerprint, probes
from metanas.spaces.nasbench201 import nasbench201
from metanas.tasks.classification import Rows, classification
from metanas.tasks.digits import digits
from metanas.tasks.table import table


def made(seed: int, shape: tuple[int, ...] = (3, 8, 8), rows: int = 90) -> Task:
    """Three classes of noise around a pattern each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    patterns = rng.integers(40, 215, (3, *shape))
    images = np.clip(patterns[labels] + rng.normal(0, 20, (rows, *shape)), 0, 255)
    return classification(f"made{seed}", Rows(images.astype(np.uint8), labels), where="made")


@pytest.fixture(scope="module")
def prints() -> Mapping[str, Mapping[str, Any]]:
    tasks = {"digits": digits(), "one": made(0), "two": made(1)}
    return {name: fingerprint(task) for name, task in tasks.items()}


def test_it_is_plain_data_of_the_rows_alone(prints: Mapping[str, Mapping[str, Any]]) -> None:
    found = prints["one"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert fingerprint(replace(made(0), name="another name")) == found
    assert found["rows"] == {"train": 57, "validation": 15, "test": 18}
    assert found["shape"] == [3, 8, 8]
    assert found["outputs"] == 3
    assert set(found["probes"]) == set(SCORES)
    assert all(len(values) == PROBES for values in found["probes"].values())
    assert prints["two"]["data"] != found["data"]


def test_patterns_are_linear_and_shuffled_labels_are_not(
    prints: Mapping[str, Mapping[str, Any]],
) -> None:
    assert prints["one"]["linear"] > 0.9
    assert prints["digits"]["linear"] > 0.8
    data = digits().load(0)
    rng = np.random.default_rng(0)
    shuffled = replace(data, train=Part(data.train.inputs, rng.permutation(data.train.targets)))
    assert _rows.linear(shuffled, 10) < 0.2


def test_a_task_is_nearest_to_itself_and_nearer_to_its_like(
    prints: Mapping[str, Mapping[str, Any]],
) -> None:
    one, two, other = prints["one"], prints["two"], prints["digits"]
    assert distance(one, one) == 0
    assert distance(one, two) == distance(two, one)
    assert 0 < distance(one, two) < distance(one, other)
    assert distance(one, json.loads(json.dumps(two))) == distance(one, two)


def test_each_difference_adds_to_the_distance(prints: Mapping[str, Mapping[str, Any]]) -> None:
    one = dict(prints["one"])
    assert distance(one, {**one, "kind": "detection"}) == pytest.approx(math.sqrt(1 / 3))
    assert distance(one, {**one, "outputs": 12}) == pytest.approx(1 / math.sqrt(10 * 3))
    turned = {name: values[::-1] for name, values in one["probes"].items()}
    assert distance(one, {**one, "probes": turned}) > 0.2
    without = {name: value for name, value in one.items() if name != "probes"}
    assert distance(one, without) == 0


def test_scores_that_are_missing_are_left_out(prints: Mapping[str, Mapping[str, Any]]) -> None:
    one = dict(prints["one"])
    holes = {name: [None, *values[1:]] for name, values in one["probes"].items()}
    assert distance(one, {**one, "probes": holes}) == pytest.approx(0, abs=1e-7)
    gone = {name: [None] * PROBES for name in one["probes"]}
    assert distance(one, {**one, "probes": gone}) == 0


def test_fingerprints_of_different_versions_do_not_compare(
    prints: Mapping[str, Mapping[str, Any]],
) -> None:
    with pytest.raises(ValueError, match="do not compare"):
        distance(prints["one"], {**prints["one"], "version": [0, 1]})


def test_imbalance_is_the_lost_entropy() -> None:
    rows = np.zeros((8, 1, 2, 2), np.uint8)
    assert _rows.imbalance(Part(rows, np.array([0, 1] * 4)), 2) == 0
    uneven = _rows.imbalance(Part(rows, np.array([0] * 6 + [1] * 2)), 2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert uneven == pytest.approx(1 - entropy / math.log(2), abs=1e-6)
    assert _rows.imbalance(Part(rows, np.zeros(8, np.int64)), 2) == 1


def test_images_are_told_by_moments_steps_and_colour() -> None:
    flat = np.full((4, 3, 6, 6), 51, np.uint8)
    flat[:, 2] = 102
    found = _rows.image(Part(flat, np.zeros(4)))
    assert found["mean"] == pytest.approx([0.2, 0.2, 0.4])
    assert found["deviation"] == [0, 0, 0]
    assert found["roughness"] == 0
    assert found["colour"] == pytest.approx(np.std([0.2, 0.2, 0.4]), abs=1e-6)
    board = np.indices((6, 6)).sum(axis=0) % 2 * 255
    checked = _rows.image(Part(np.broadcast_to(board, (4, 1, 6, 6)).astype(np.uint8), np.zeros(4)))
    assert checked["roughness"] == pytest.approx(2)


def test_large_images_are_shrunk_by_means_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(2 * 5 * 4, dtype=np.uint8).reshape(2, 1, 5, 4)
    part = Part(images, np.zeros(2))
    small_images = _rows.shrunk(part, 2).inputs
    assert small_images.shape == (2, 1, 1, 1)
    assert small_images[0, 0, 0, 0] == images[0, 0, :3, :3].mean()
    monkeypatch.setattr(_rows, "AT_ONCE", 1)
    assert np.array_equal(_rows.shrunk(part, 2).inputs, small_images)
    assert _rows.shrunk(part, 5) is part


def test_probes_are_sixteen_different_networks_and_always_the_same() -> None:
    space = nasbench201()
    found = probes(space)
    assert len({each.id for each in found}) == PROBES
    assert [each.key for each in probes(space)] == [each.key for each in found]


def test_a_table_and_rows_that_are_no_images_have_what_they_have(tmp_path: Any) -> None:
    recorded = fingerprint(table(path=str(small(tmp_path / "t.parquet")), target="t"))
    assert recorded["kind"] == "table"
    assert "rows" not in recorded
    task = made(0)
    part = Part(np.zeros((20, 7), np.int64), np.arange(20) % 3)
    words = replace(task, kind="text", shape=(7,), load=lambda seed: Data(part, part, part))
    found = fingerprint(words)
    assert found["rows"]["train"] == 20
    assert "probes" not in found
    assert distance(recorded, found) > 0
