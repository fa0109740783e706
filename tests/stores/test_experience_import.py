"""Runs that were logged by hand with plain mlflow become experience through a mapping file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metanas.api.experience import origin_of
from metanas.core.errors import ConfigError, HomeError
from metanas.core.plugins import reference, resolve
from metanas.core.space import check
from metanas.stores.experience import Imported, census, import_runs, read_mapping, rows, sync

SPACE = """
from metanas.core.space import Choice, Space

space = Space(
    "mine",
    (Choice("width", (16, 32)), Choice("kind", ("plain", "residual")), Choice("on", (True, False))),
    lambda values, shape, outputs: None,
    allowed=lambda values: not (values["width"] == 32 and values["kind"] == "plain"),
)
"""
MAPPING = """
experiment = "by hand"
task = "their task"
space = "my_space.py:space"
epochs = "n_epochs"
seed = "seed"
cost = "train_seconds"

[objective]
metric = "val_acc"
goal = "max"
name = "accuracy"

[choices]
conv_width = "width"
net = "kind"

[values.kind]
Plain = "plain"
ResNet = "residual"

[fixed]
on = true
"""


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    (tmp_path / "my_space.py").write_text(SPACE)
    path = tmp_path / "theirs.toml"
    path.write_text(MAPPING)
    return path


def logged(
    home: Path,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    status: str = "FINISHED",
    experiment: str = "by hand",
) -> str:
    """A run as a program that knows nothing of metanas logs it."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")
    known = client.get_experiment_by_name(experiment)
    number = client.create_experiment(experiment) if known is None else known.experiment_id
    run: str = client.create_run(number, start_time=1_000).info.run_id
    for name, value in params.items():
        client.log_param(run, name, value)
    for name, value in metrics.items():
        for step in (1, 2):
            client.log_metric(run, name, value * step / 2, step=step)
    if status != "RUNNING":
        client.set_terminated(run, status, 5_000)
    return run


def good(home: Path, width: Any = 16, net: str = "Plain", **params: Any) -> str:
    facts = {"conv_width": width, "net": net, "n_epochs": 7, "seed": 3, **params}
    return logged(home, facts, {"val_acc": 0.75, "train_seconds": 60.0, "loss": 0.5})


def imported(home: Path, mapping: Path) -> Imported:
    return import_runs(home, origin_of(home), read_mapping(mapping))


def found(home: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = rows(home).to_pylist()
    return listed


def test_a_run_logged_by_hand_is_a_row_with_its_origin(home: Path, mapping: Path) -> None:
    run = good(home)
    result = imported(home, mapping)
    assert (result.rows, result.removed, result.left_out, result.total) == (1, 0, {}, 1)
    (row,) = found(home)
    space = resolve(reference("spaces", f"{mapping.parent}/my_space.py:space"))
    values = {"width": 16, "kind": "plain", "on": True}
    assert json.loads(row["architecture"]) == values
    assert row["architecture_id"] == check(space, values).id
    metrics = {"accuracy": 0.75, "loss": 0.5, "train_seconds": 60.0}
    assert dict(row["metrics"]) == metrics
    assert [(p["epoch"], dict(p["metrics"])) for p in row["curve"]] == [(7, metrics)]
    expected = {
        "origin": "import:theirs", "task": "their task", "space": "mine", "epochs": 7, "seed": 3,
        "status": "completed", "seconds": 60.0, "objective": "accuracy", "goal": "max",
        "experiment": "by hand", "run_id": run, "number": None, "search": "", "time_s": 5.0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_runs_that_do_not_fit_are_counted_by_reason(home: Path, mapping: Path) -> None:
    good(home)
    good(home, width="16.0")
    good(home, width=17)
    good(home, width=17)
    good(home, net="VGG")
    good(home, width=32)
    logged(home, {"net": "Plain"}, {"val_acc": 0.5})
    logged(home, {"conv_width": 16, "net": "Plain", "n_epochs": 7, "seed": 3}, {"loss": 0.5})
    good(home, n_epochs="some")
    logged(home, {"conv_width": 16, "net": "Plain"}, {"val_acc": 0.5}, status="RUNNING")
    result = imported(home, mapping)
    assert result.rows == 2
    assert result.left_out == {
        "'17' is no option of choice 'width'": 2,
        "'VGG' is no option of choice 'kind'": 1,
        "space 'mine' does not allow the combination of its choices": 1,
        "choice 'width' is missing": 1,
        "metric 'val_acc' is missing": 1,
        "param 'n_epochs' is 'some', expected a whole number": 1,
        "it has not ended": 1,
    }


def test_failed_and_diverged_runs_are_rows_too(home: Path, mapping: Path) -> None:
    facts = {"conv_width": 16, "net": "Plain", "n_epochs": 7, "seed": 3}
    spent = {"train_seconds": 1.0}
    logged(home, facts, spent, status="FAILED")
    logged(home, facts, spent | {"val_acc": float("nan")})
    logged(home, facts, spent | {"val_acc": float("inf")})
    assert imported(home, mapping).rows == 3
    assert sorted(row["status"] for row in found(home)) == ["crashed", "diverged", "diverged"]
    assert all("accuracy" not in dict(row["metrics"]) for row in found(home))


def test_without_a_space_options_are_taken_as_params_say_them(home: Path, mapping: Path) -> None:
    mapping.write_text(
        'experiment = "by hand"\ntask = "t"\n[objective]\nmetric = "val_acc"\ngoal = "max"\n'
        '[choices]\nconv_width = "w"\nnet = "n"\nx = "x"\nb = "b"\n[values.n]\nPlain = 0\n'
    )
    good(home, x="1e-3", b="True")
    good(home, net="other", x="nan", b="false")
    good(home)
    result = imported(home, mapping)
    assert result.left_out == {"param 'x' is missing": 1}
    architectures = sorted(json.loads(row["architecture"])["b"] for row in found(home))
    assert architectures == [False, True]
    assert {"w": 16, "n": 0, "x": 0.001, "b": True} in [
        json.loads(row["architecture"]) for row in found(home)
    ]
    assert {(row["space"], row["epochs"], row["curve"] == []) for row in found(home)} == {
        ("", None, True)
    }
    assert len({row["architecture_id"] for row in found(home)}) == 2


def test_importing_again_replaces_what_the_mapping_brought(home: Path, mapping: Path) -> None:
    good(home)
    good(home, net="ResNet")
    imported(home, mapping)
    mapping.write_text(MAPPING.replace('ResNet = "residual"', ""))
    good(home, seed=4)
    result = imported(home, mapping)
    assert (result.rows, result.removed, result.total) == (2, 1, 2)
    other = mapping.with_name("second.toml")
    other.write_text(MAPPING.replace("their task", "another task"))
    assert imported(home, other).total == 5
    assert {each["origin"] for each in census(home)} == {"import:theirs", "import:second"}


def test_a_filter_picks_runs_and_what_metanas_wrote_is_left_out(home: Path, mapping: Path) -> None:
    from mlflow import MlflowClient

    ours = good(home)
    MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db").set_tag(ours, "metanas.key", "trial/0")
    good(home, seed=4)
    good(home, net="ResNet")
    mapping.write_text("filter = \"params.net = 'Plain'\"\n" + MAPPING)
    result = imported(home, mapping)
    assert result.rows == 1
    assert result.left_out == {"metanas wrote it: `metanas experience sync` reads it": 1}


def test_a_sync_leaves_imported_rows_alone_until_their_runs_are_deleted(
    home: Path, mapping: Path
) -> None:
    from mlflow import MlflowClient

    first, _ = good(home), good(home, seed=4)
    imported(home, mapping)
    for full in (False, True):
        assert sync(home, origin_of(home), full=full).rows == 2
    MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db").delete_run(first)
    assert sync(home, origin_of(home)).removed == 1
    assert [row["seed"] for row in found(home)] == [4]
    second = found(home)[0]["run_id"]
    MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db").delete_run(second)
    assert sync(home, origin_of(home), full=True).rows == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("experiment", "experimant"), "'experimant' is no key of a mapping; did you mean"),
        (('task = "their task"', ""), "task is missing"),
        (('task = "their task"', "task = 3"), "task is 3, expected text"),
        (('goal = "max"', 'goal = "more"'), "objective.goal is 'more', expected max or min"),
        (('metric = "val_acc"', 'metrik = "val_acc"'), "'metrik' is no key of objective; did you"),
        (('metric = "val_acc"\n', ""), "objective.metric is missing"),
        (("my_space.py:space", "no_space"), "space: no 'no_space' in spaces"),
        (("my_space.py:space", "my_space.py:spice"), "space: spaces: no 'spice' in my_space.py"),
        (("my_space.py:space", "none.py:space"), "space: spaces: cannot read"),
        (('"width"', '"wdth"'), "'wdth' is no choice of space 'mine'; did you mean 'width'"),
        (("on = true", ""), "choice 'on' of space 'mine' is said by no param and not fixed"),
        (("on = true", "on = 3"), "choice 'on' is 3, expected one of"),
        (("on = true", "on = nan"), "fixed.on is nan, expected a finite number"),
        (("on = true", 'on = true\nwidth = 16'), "choice 'width' is said 2 times"),
        (('ResNet = "residual"', 'ResNet = "resnet"'), "choice 'kind' is 'resnet', expected"),
        (('ResNet = "residual"', "ResNet = [1]"), r"values.kind.ResNet is \[1\], expected text"),
        (("[values.kind]", "[values.kynd]"), "'kynd' is no choice that a param says; did you mean"),
        (('[choices]\nconv_width = "width"\nnet = "kind"', ""), "choices is empty"),
        (("[objective]", "[objective"), "Expected ']'"),
        (('[objective]\nmetric = "val_acc"\ngoal = "max"\nname = "accuracy"', "objective = 1"),
         "fixed|objective"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_one_clear_line(
    mapping: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in MAPPING
    mapping.write_text(MAPPING.replace(*change))
    with pytest.raises(ConfigError, match=message) as caught:
        read_mapping(mapping)
    assert str(mapping) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mapping_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none.toml: No such file"):
        read_mapping(tmp_path / "none.toml")


def test_an_experiment_that_is_not_there_is_said(home: Path, mapping: Path) -> None:
    good(home)
    mapping.write_text(MAPPING.replace('"by hand"', '"by hands"'))
    with pytest.raises(ConfigError, match="no experiment 'by hands'; did you mean 'by hand'"):
        imported(home, mapping)


def test_a_filter_that_mlflow_refuses_is_said_and_nothing_is_changed(
    home: Path, mapping: Path
) -> None:
    good(home)
    imported(home, mapping)
    mapping.write_text('filter = "what ever"\n' + MAPPING)
    with pytest.raises(HomeError, match="MLflow at home cannot be read: .*what ever"):
        imported(home, mapping)
    assert len(found(home)) == 1
