"""Scores are computed once, whoever asks, and hang on nothing but what they are asked for."""

from __future__ import annotations

import math
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metanas.core.errors import HomeError
from metanas.core.space import Architecture, Choice, Space, Values, check, sample
from metanas.core.task import Part
from metanas.measures.zero_cost import SCORES
from metanas.meta import cache
from metanas.meta.scores import Scoring, batch_of, data_print, matrix
from metanas.spaces.nasbench201 import nasbench201
from metanas.tasks.digits import digits

BUILT: list[Values] = []


def build(values: Values, shape: tuple[int, ...], outputs: int) -> nn.Module:
    BUILT.append(values)
    if values["width"] == 3:
        raise ValueError("three is too many")
    width = int(values["width"])
    units = math.prod(shape)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(units, width), nn.ReLU(), nn.Linear(width, outputs)
    )


TINY = Space("tiny", (Choice("width", (1, 2, 3, 64, 128)),), build)
TASK = digits()


def members(*widths: int) -> list[Architecture]:
    return [check(TINY, {"width": width}) for width in widths]


def same(one: Any, other: Any) -> bool:
    return np.array_equal(matrix(one), matrix(other), equal_nan=True)


def test_scores_come_in_the_order_asked_for_and_are_columns_of_a_matrix() -> None:
    both = Scoring(TINY, TASK)(members(128, 64))
    assert tuple(both[0]) == SCORES
    assert same(both, Scoring(TINY, TASK)(members(64, 128))[::-1])
    assert matrix(both).shape == (2, len(SCORES))
    assert matrix([]).shape == (0, len(SCORES))


def test_what_was_scored_is_not_built_again(tmp_path: Path) -> None:
    first = Scoring(TINY, TASK, home=tmp_path)(members(64, 128))
    BUILT.clear()
    told: list[int] = []
    again = Scoring(TINY, TASK, home=tmp_path)(members(128, 64), told.append)
    assert same(again, first[::-1])
    assert told == []
    printed = len(BUILT)  # the networks that tell spaces apart
    Scoring(TINY, TASK, home=tmp_path)(members(2))
    assert len(BUILT) == 2 * printed + 1


def test_a_network_that_cannot_be_built_has_no_scores_and_is_not_kept(tmp_path: Path) -> None:
    scoring = Scoring(TINY, TASK, home=tmp_path)
    good, bad = scoring(members(64, 3))
    assert all(map(math.isnan, bad.values()))
    assert not math.isnan(good["snip"])
    assert scoring.path
    assert len(cache.read(scoring.path)) == 1


def test_a_score_that_is_not_finite_is_kept_as_such(tmp_path: Path) -> None:
    # One unit gives 64 rows two codes only.
    (fresh,) = Scoring(TINY, TASK, home=tmp_path)(members(1))
    (kept,) = Scoring(TINY, TASK, home=tmp_path)(members(1))
    assert math.isnan(fresh["nwot"])
    assert same([fresh], [kept])


def test_another_seed_task_or_skeleton_is_scored_anew() -> None:
    architecture = sample(nasbench201(), np.random.default_rng(0))
    first = Scoring(nasbench201(), TASK)
    others = (
        Scoring(nasbench201(), TASK, seed=1),
        Scoring(nasbench201(channels=16), TASK),
        Scoring(nasbench201(), replace(TASK, name="other")),
        Scoring(nasbench201(), replace(TASK, load=lambda seed: half(TASK.load(seed)))),
    )
    keys = {each.key(architecture) for each in (first, *others)}
    assert len(keys) == 5
    assert Scoring(nasbench201(), TASK).key(architecture) == first.key(architecture)


def half(data: Any) -> Any:
    part = data.train
    return replace(data, train=Part(part.inputs[: len(part) // 2], part.targets[: len(part) // 2]))


def test_rows_are_told_apart_by_inputs_targets_and_number() -> None:
    part = TASK.load(0).train
    other_targets = Part(part.inputs, part.targets[::-1])
    other_inputs = Part(255 - part.inputs, part.targets)
    prints = {data_print(p) for p in (part, other_targets, other_inputs, half(TASK.load(0)).train)}
    assert len(prints) == 4
    assert data_print(Part(part.inputs.copy(), part.targets.copy())) in prints


def test_a_batch_is_scaled_as_in_training_and_no_larger_than_the_task() -> None:
    from metanas.estimators._training import Scale

    part = TASK.load(0).train
    batch = batch_of(TASK, part, seed=3)
    rows = np.random.default_rng(3).permutation(len(part))[:64]
    trained = Scale(part, torch.device("cpu")).inputs(torch.from_numpy(part.inputs[rows]))
    assert torch.allclose(batch.inputs, trained, atol=1e-6)
    assert batch.targets.tolist() == part.targets[rows].tolist()
    assert len(batch_of(TASK, Part(part.inputs[:5], part.targets[:5]), seed=0).inputs) == 5


def test_it_can_be_ended_and_gone_on_with(tmp_path: Path) -> None:
    begun = Scoring(TINY, TASK, home=tmp_path)(members(64, 128, 2), lambda done: done < 2)
    assert len(begun) == 2
    whole = Scoring(TINY, TASK, home=tmp_path)(members(64, 128, 2))
    assert same(whole, Scoring(TINY, TASK)(members(64, 128, 2)))


def write_many(path: Path, name: str) -> None:
    for number in range(200):
        cache.append(path, {f"{name}{number}": {"text": name * 3000}})


def test_two_processes_keep_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "records.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = cache.read(path)
    assert set(found) == {f"{name}{number}" for name in "ab" for number in range(200)}
    assert found["a7"] == {"text": "a" * 3000}


def test_a_line_that_was_cut_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    cache.append(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"key": "b", "val')
    assert cache.read(path) == {"a": 1}
    cache.append(path, {"c": 3, "a": 9})
    assert cache.read(path) == {"a": 1, "c": 3}


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"cannot (read|write) .*file"):
        Scoring(TINY, TASK, home=tmp_path / "file")(members(64))
