"""Tables searched like trainings, through the API: what is kept, shown, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from made_tables import described, write
from metanas.api import SearchConfig, record, resume, search, show
from metanas.api.exporting import export, retrain
from metanas.core.errors import ConfigError, DataError, HomeError
from metanas.tables import PACKAGED


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Nine rows worth their options, which took an hour each."""
    about = described({"a": ["0", "1", "2"], "b": ["0", "1", "2"]})
    about["tasks"]["t"] |= {"test": "t.test_pct", "cost_s": "t.train_time_s"}
    rows = [(a, b) for a in range(3) for b in range(3)]
    columns: dict[str, Any] = {
        "choice.a": [str(a) for a, _ in rows],
        "choice.b": [str(b) for _, b in rows],
        "t.score_pct": [float(a + 3 * b) for a, b in rows],
        "t.test_pct": [float(10 + a + 3 * b) for a, b in rows],
        "t.train_time_s": [3600.0] * 9,
    }
    return f"{write(tmp_path / 'rows.parquet', about, columns)}:t"


def test_a_table_is_searched_shown_and_resumed_like_trainings(table: str, home: Path) -> None:
    said: list[str] = []
    finished = search(SearchConfig(table, trials=6, strategy="random", name="one"), home)
    found = record(finished)
    assert (found["task"], found["space"], found["trials"]) == ("rows-t", "table", 6)
    assert found["seconds_training"] == 6 * 3600 or finished.result.trials[-1].cached
    best = found["best"]
    assert best["test_score_pct"] == 10 + best["metrics"]["score_pct"]
    assert json.dumps(record(show("one", home))["best"]) == json.dumps(best)
    assert (home / "searches" / "one" / "report.html").exists(), said
    assert record(resume("one", home, trials=9))["trials"] == 9


def test_a_time_limit_is_of_real_time_and_not_of_what_a_table_says(table: str, home: Path) -> None:
    config = SearchConfig(table, trials=8, strategy="random", max_seconds=60.0, name="limited")
    assert record(search(config, home))["trials"] == 8


def test_a_tables_winner_has_nothing_to_export_or_train(table: str, home: Path) -> None:
    search(SearchConfig(table, trials=3, strategy="random", name="one"), home)
    with pytest.raises(HomeError, match="no trained winner"):
        export("one", home, home / "out")
    with pytest.raises(ConfigError, match="read a table of results"):
        retrain("one", home, home / "out", data="digits", epochs=1)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"epochs": 5}, "--epochs is 5, expected 1: 'rows-t' is a table"),
    "final epochs": ({"final_epochs": "3x"}, "--final-epochs is 3, expected 1"),
    "space": ({"space": "cnn"}, "--space is cnn, expected table"),
    "estimator": ({"estimator": "train"}, "--estimator is train, expected table"),
    "where": ({"where": "a=b"}, "--where picks rows of images"),
    "objective": ({"objective": ("params",)}, "does not report objective 'params'"),
    "option of its space": ({"set": (("space.measure", "test_pct"),)}, "no part 'space'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_a_table_is_refused_before_anything_runs(
    table: str, home: Path, what: str
) -> None:
    given, message = REFUSED[what]
    with pytest.raises(ConfigError, match=message):
        search(SearchConfig(table, name="one", **given), home)
    assert not (home / "searches" / "one").exists()


def test_images_are_not_read_as_a_table(home: Path) -> None:
    with pytest.raises(ConfigError, match="has rows to train on"):
        search(SearchConfig("digits", estimator="table", name="one"), home)


def test_another_column_is_searched_where_one_is_named(table: str, home: Path) -> None:
    config = SearchConfig(table, trials=9, name="one", set=(("measure", "train_time_s"),))
    best = record(search(config, home))["best"]
    assert best["metrics"] == {"train_time_s": 3600.0}


def test_the_packaged_table_has_a_name_for_a_path(home: Path) -> None:
    config = SearchConfig(f"{PACKAGED[0]}:cifar10", trials=3, strategy="random")
    assert config.task_name() == "nasbench201-cifar10"
    assert (config.space, config.epochs, config.executor) == ("table", 1, "inline")
    found = record(search(config, home))
    assert (found["task"], found["trials"]) == ("nasbench201-cifar10", 3)
    with pytest.raises(DataError, match="no task 'cifer10'; did you mean 'cifar10'"):
        search(SearchConfig(f"{PACKAGED[0]}:cifer10"), home)
