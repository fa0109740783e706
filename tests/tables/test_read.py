"""What a table must be, and what is said of one that is not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from helpers import SHARED
from made_tables import described, small, write
from metanas.core.errors import DataError, InfeasibleError
from metanas.core.space import Choice, check, mutate, neighbours, sample
from metanas.spaces.cnn import SPACE as CNN
from metanas.spaces.table import table as space_of
from metanas.tables import TableTask, load, objective_of
from metanas.tasks.parquet import parquet
from metanas.tasks.table import table as task_of
from metanas.testing import check_estimator

NASBENCH201, TRANSNAS = (
    SHARED / "tables" / name for name in ("nasbench201.parquet", "transnas_micro.parquet")
)
needs_tables = pytest.mark.skipif(not NASBENCH201.exists(), reason="needs ../shared/tables")

BEST = {
    "cifar10": (91.607, 94.373),
    "cifar100": (73.493, 73.513),
    "imagenet16_120": (46.733, 47.311),
}
BEST_TRANSNAS = {
    "class_scene": 54.94,
    "class_object": 46.32,
    "jigsaw": 95.37,
    "room_layout": -0.5938,
    "segmentsemantic": 26.27,
    "normal": 0.5962,
    "autoencoder": 0.5772,
}


def test_a_row_is_found_by_its_exact_values(tmp_path: Path) -> None:
    table = load(str(small(tmp_path / "t.parquet")))
    assert [table.row(table.values(row)) for row in range(3)] == [0, 1, 2]
    assert table.values(2) == {"a": "x", "b": "2"}
    assert table.row({"a": "y", "b": "2"}) is None
    assert table.read("t.score_pct").tolist() == [10.0, 30.0, 20.0]


def test_options_that_are_numbers_have_an_order(tmp_path: Path) -> None:
    table = load(str(small(tmp_path / "t.parquet")))
    assert [choice.ordered for choice in table.choices] == [False, True]


def test_choices_that_are_stored_as_numbers_work(tmp_path: Path) -> None:
    about = described({"lr": [0.001, 0.1], "on": [True, False], "n": [4, 8]})
    columns = {"choice.lr": [0.1, 0.001], "choice.on": [True, False], "choice.n": [8, 4]}
    path = write(tmp_path / "t.parquet", about, columns | {"t.score_pct": [1.0, 2.0]})
    assert load(str(path)).values(0) == {"lr": 0.1, "on": True, "n": 8}


def test_numbers_that_are_not_listed_by_size_have_no_order(tmp_path: Path) -> None:
    about = described({"a": ["16", "4", "64"], "b": ["64", "16", "4"]})
    columns = {"choice.a": ["16", "4"], "choice.b": ["64", "4"], "t.score_pct": [1.0, 2.0]}
    table = load(str(write(tmp_path / "t.parquet", about, columns)))
    assert [choice.ordered for choice in table.choices] == [False, True]


def test_options_that_are_equal_but_for_their_type_are_told_apart(tmp_path: Path) -> None:
    about = described({"a": ["1", "true", "1.0"]})
    columns = {"choice.a": ["1", "true", "1.0"], "t.score_pct": [1.0, 2.0, 3.0]}
    path = write(tmp_path / "t.parquet", about, columns)
    typed = replace(load(str(path)), choices=(Choice("a", (1, True, 1.0)),))
    assert [typed.row(typed.values(row)) for row in range(3)] == [0, 1, 2]


def test_of_another_column_its_name_says_which_way_is_better() -> None:
    task = TableTask("t", "t.valid_loss", "max")
    names = ("valid_loss", "test_loss", "negative_loss", "top1_pct", "energy_mJ", "zc_params")
    goals = [objective_of(f"t.{name}", task).goal for name in names]
    assert goals == ["max", "min", "max", "max", "min", "min"]


def test_a_table_names_a_space_and_never_a_file(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    path = small(tmp_path / "t.parquet", space=f"{tmp_path}/evil.py:SPACE")
    assert space_of(path=str(path), target="t").graph is None
    assert not (tmp_path / "ran").exists()


def test_a_table_of_cnn_knows_its_networks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {a.key: a for a in (sample(CNN, rng) for _ in range(20))}.values()
    columns: dict[str, Any] = {
        f"choice.{c.name}": [a.values[c.name] for a in rows] for c in CNN.choices
    }
    columns["t.score_pct"] = [float(at) for at in range(len(rows))]
    about = described({c.name: c.options for c in CNN.choices}, space="cnn")
    space = space_of(path=str(write(tmp_path / "t.parquet", about, columns)), target="t")
    assert space.canonical is CNN.canonical


def test_a_combination_without_a_row_is_no_member(tmp_path: Path) -> None:
    space = space_of(path=str(small(tmp_path / "t.parquet")), target="t")
    rng = np.random.default_rng(0)
    drawn = {sample(space, rng).key for _ in range(60)}
    assert drawn == {("x", "1"), ("y", "1"), ("x", "2")}
    assert space.size == 3
    near = {
        (a, b): [near.key for near in neighbours(check(space, {"a": a, "b": b}))] for a, b in drawn
    }
    assert near == {
        ("x", "1"): [("y", "1"), ("x", "2")],
        ("y", "1"): [("x", "1")],
        ("x", "2"): [("x", "1")],
    }


@pytest.mark.parametrize(("options", "rows"), [(3, 30), (3, 70), (60, 90)])
def test_rows_know_their_neighbours_as_asking_about_each_does(
    tmp_path: Path, options: int, rows: int
) -> None:
    rng = np.random.default_rng(rows)
    codes = rng.integers(options, size=(rows, 4))
    codes[1::3] = codes[: len(codes[1::3])]  # some differ from another in one choice
    codes[1::3, 2] = (codes[1::3, 2] + 1) % options
    codes = np.unique(codes, axis=0)
    columns: dict[str, Any] = {f"choice.c{at}": codes[:, at].astype(str) for at in range(4)}
    columns["t.score_pct"] = np.where(rng.random(len(codes)) < 0.2, np.nan, 1.0)
    about = described({f"c{at}": [str(option) for option in range(options)] for at in range(4)})
    quick = space_of(path=str(write(tmp_path / "t.parquet", about, columns)), target="t")
    asking = replace(quick, members=list(quick.members or ()))
    assert any(neighbours(check(quick, values)) for values in quick.members or ())
    for seed, values in enumerate(quick.members or ()):
        one, other = check(quick, values), check(asking, values)
        assert neighbours(one) == neighbours(other)
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        assert mutate(one, rngs[0]) == mutate(other, rngs[1])
        assert rngs[0].random() == rngs[1].random()


def test_a_row_that_was_not_measured_is_no_member(tmp_path: Path) -> None:
    about = described({"a": ["x", "y", "z"]})
    values = [1.0, None, float("nan")]
    columns = {"choice.a": ["x", "y", "z"], "t.score_pct": values, "t.other_pct": [3.0, 2.0, 1.0]}
    path = str(write(tmp_path / "t.parquet", about, columns))
    assert [m["a"] for m in space_of(path=path, target="t").members or ()] == ["x"]
    whole = space_of(path=path, target="t", measure="other_pct")
    assert (whole.members, whole.size) == (None, 3)


def test_the_record_is_the_trial(tmp_path: Path) -> None:
    about = described({"a": ["x", "y"]})
    about["tasks"]["t"] |= {"test": "t.test_pct", "cost_s": "t.train_time_s"}
    columns = {
        "choice.a": ["x", "y"],
        "t.score_pct": [1.0, 2.0],
        "t.test_pct": [3.0, 4.0],
        "t.train_time_s": [60.0, 70.0],
        "t.params_M": [0.1, None],
    }
    task = task_of(path=str(write(tmp_path / "t.parquet", about, columns)), target="t")
    assert task.recorded is not None
    found, last = (task.recorded({"a": "y"}, final) for final in (False, True))
    assert found is not None
    assert last is not None
    assert (found.metrics, found.cost_s) == ({"score_pct": 2.0, "train_time_s": 70.0}, 70.0)
    assert last.metrics == {"score_pct": 4.0}
    assert [(m.name, m.goal) for m in task.metrics] == [
        ("score_pct", "max"),
        ("train_time_s", "min"),
    ]


def test_a_table_without_its_task_is_no_set_of_images(tmp_path: Path) -> None:
    path = small(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"a table of results: name its task, {path}:TASK"):
        parquet(path=str(path))


def test_a_winner_of_a_table_without_test_values_has_none(tmp_path: Path) -> None:
    task = task_of(path=str(small(tmp_path / "t.parquet")), target="t")
    assert task.recorded is not None
    found = task.recorded({"a": "x", "b": "1"}, True)
    assert found is not None
    assert found.metrics == {}


def test_a_table_keeps_the_laws_of_its_estimator(tmp_path: Path) -> None:
    from metanas.estimators.table import Recall

    path = str(small(tmp_path / "t.parquet"))
    with pytest.raises(ValueError, match="search.epochs is 2"):
        list(
            Recall()(
                space_of(path=path, target="t"),
                sample(space_of(path=path, target="t"), np.random.default_rng(0)),
                task_of(path=path, target="t"),
                epochs=2,
                settings={},
                seed=0,
            )
        )
    about = described({"a": ["x", "y"]})
    about["tasks"]["t"]["test"] = "t.test_pct"
    columns = {"choice.a": ["x", "y"], "t.score_pct": [1.0, 2.0], "t.test_pct": [3.0, 4.0]}
    path = str(write(tmp_path / "u.parquet", about, columns))
    space, task = space_of(path=path, target="t"), task_of(path=path, target="t")
    check_estimator(Recall(), space, task, epochs=1)


def test_a_table_that_names_no_space_cannot_be_built(tmp_path: Path) -> None:
    space = space_of(path=str(small(tmp_path / "t.parquet")), target="t")
    with pytest.raises(InfeasibleError, match="names no space"):
        space.build({"a": "x", "b": "1"}, (1, 8, 8), 3)


@pytest.mark.parametrize("options", [1, 60])
def test_any_number_of_options_works(tmp_path: Path, options: int) -> None:
    names = [f"o{number}" for number in range(options)]
    columns = {"choice.a": names, "t.score_pct": np.arange(float(options))}
    path = write(tmp_path / "t.parquet", described({"a": names}), columns)
    assert space_of(path=str(path), target="t").size == options


def test_26_choices_and_half_a_million_rows_work(tmp_path: Path) -> None:
    count, width = 500_000, 26
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(5, size=(count, width), dtype=np.uint8), axis=0)
    options = [f"op{number}" for number in range(5)]
    names = [f"c{number:02}" for number in range(width)]
    columns: dict[str, Any] = {
        f"choice.{name}": pa.DictionaryArray.from_arrays(codes[:, at], options).cast(pa.string())
        for at, name in enumerate(names)
    }
    columns["t.score_pct"] = rng.normal(size=len(codes))
    path = write(tmp_path / "t.parquet", described(dict.fromkeys(names, options)), columns)
    space = space_of(path=str(path), target="t")
    assert space.size == len(codes) > 499_000
    drawn = sample(space, rng)
    assert load(str(path)).row(drawn.values) is not None


BAD = {
    "no metadata": (None, {}, r"no metadata 'metanas\.table'"),
    "no choices": ({"choices": {}}, {}, "no 'choices'"),
    "a task that is a word": ({"tasks": {"t": "best"}}, {}, "task 't'.*is no object"),
    "choices that are a list": ({"choices": ["a"]}, {}, "'choices' is no object"),
    "a choice without its column": (
        {"choices": {"choice.z": ["x"]}},
        {},
        r"no column 'choice\.z', which its metadata lists",
    ),
    "an option twice": (
        {"choices": {"choice.a": ["x", "x"], "choice.b": ["1", "2"]}},
        {},
        "lists an option twice",
    ),
    "an option that is not listed": (
        {},
        {"choice.a": ["x", "q", "x"]},
        r"row 1 has 'q' in 'choice\.a', expected one of \('x', 'y'\)",
    ),
    "a choice that is null": ({}, {"choice.a": ["x", None, "x"]}, "row 1 has None"),
    "two rows with the same values": (
        {},
        {"choice.a": ["x", "y", "x"], "choice.b": ["1", "1", "1"]},
        "rows 0 and 2 have the same choices",
    ),
    "a metric column that is missing": (
        {"tasks": {"t": {"metric": "t.none_pct", "goal": "max"}}},
        {},
        r"no column 't\.none_pct' of numbers, which task 't' names",
    ),
    "a metric column of words": (
        {},
        {"t.score_pct": ["a", "b", "c"]},
        r"no column 't\.score_pct' of numbers",
    ),
    "a metric column that is all null": (
        {},
        {"t.score_pct": pa.array([None, None, None], pa.float64())},
        r"column 't\.score_pct' holds no number",
    ),
    "a goal that is none": (
        {"tasks": {"t": {"metric": "t.score_pct", "goal": "up"}}},
        {},
        "goal of task 't' is 'up', expected max or min",
    ),
    "a task without a metric": ({"tasks": {"t": {"goal": "max"}}}, {}, "task 't'.*no 'metric'"),
    "another task": ({"tasks": {"u": {"metric": "t.score_pct", "goal": "max"}}}, {}, "no task 't'"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    changed, columns, message = BAD[what]
    about = described({"a": ["x", "y"], "b": ["1", "2"]})
    whole = {
        "choice.a": ["x", "y", "x"],
        "choice.b": ["1", "1", "2"],
        "t.score_pct": [10.0, 30.0, 20.0],
    }
    about = None if changed is None else about | changed  # type: ignore[assignment]
    path = write(tmp_path / "t.parquet", about, whole | columns)
    with pytest.raises(DataError, match=message) as caught:
        task_of(path=str(path), target="t")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_none_or_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load(str(tmp_path / "t.parquet"))
    (tmp_path / "t.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match="not a Parquet file"):
        load(str(tmp_path / "t.parquet"))
    with pytest.raises(DataError, match="did you mean 'nasbench201'"):
        load("nasbench_201")


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    assert len(load(str(small(path)))) == 3
    columns = {"choice.a": ["x"], "t.score_pct": [1.0]}
    assert len(load(str(write(path, described({"a": ["x"]}), columns)))) == 1


@needs_tables
@pytest.mark.parametrize("target", BEST)
def test_nasbench201_is_the_published_one(target: str) -> None:
    table = load(str(NASBENCH201))
    about = table.task(target)
    assert len(table) == 15_625
    found = tuple(float(np.nanmax(table.read(column))) for column in (about.metric, about.test))
    assert found == pytest.approx(BEST[target], abs=6e-4)


@needs_tables
def test_the_rows_of_nasbench201_are_5425_networks() -> None:
    space = space_of(path=str(NASBENCH201), target="cifar10")
    assert space.canonical is not None
    names = [choice.name for choice in space.choices]
    cells = itertools.product(*(choice.options for choice in space.choices))
    forms = {str(space.canonical(dict(zip(names, cell, strict=True)))) for cell in cells}
    assert len(forms) == 5_425


@needs_tables
@pytest.mark.parametrize("target", BEST_TRANSNAS)
def test_transnas_micro_is_the_published_one(target: str) -> None:
    table = load(str(TRANSNAS))
    best = float(np.nanmax(table.read(table.task(target).metric)))
    assert best == pytest.approx(BEST_TRANSNAS[target], rel=2e-4)


@needs_tables
def test_the_packages_nasbench201_agrees_where_all_three_seeds_are_known() -> None:
    ours, theirs = load(str(NASBENCH201)), load("nasbench201")
    rows = [theirs.row(ours.values(row)) for row in range(len(ours))]
    for target in BEST:
        seeds = [ours.read(f"{target}.valid_accuracy_200ep_seed{n}_pct") for n in range(3)]
        whole = np.isfinite(np.stack(seeds)).all(axis=0)
        column = ours.task(target).metric
        gap = np.abs(ours.read(column) - theirs.read(column)[rows])[whole]
        assert whole.sum() > 5_000
        assert np.mean(gap < 2e-3) > 0.95, "a few rows were published with other seeds"
