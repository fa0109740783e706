"""MLflow as a projection of the journal: real databases, a real process that follows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import last_json, metanas, runs
from metanas.core.trial import Report
from metanas.trackers.mlflow import public

SEARCH = ("search", "digits", "--trials", "3", "--epochs", "2", "--executor", "inline", "--json")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, template_database: Path) -> Path:
    import shutil

    home = tmp_path_factory.mktemp("searched")
    shutil.copy(template_database, home / "mlflow.db")
    last_json(metanas(*SEARCH, "--name", "one", "--final-epochs", "1", home=home))
    return home


def test_a_search_is_one_parent_and_a_child_a_trial(searched: Path) -> None:
    found = runs(searched)
    parents = [run for run in found if run.data.tags["metanas.key"] == "search"]
    children = [run for run in found if run.data.tags["metanas.key"] != "search"]
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert len(children) == 3
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert {run.info.status for run in children} == {"FINISHED"}


def test_a_childs_choices_are_params_and_its_metrics_have_an_epoch(searched: Path) -> None:
    from mlflow import MlflowClient

    child = next(run for run in runs(searched) if run.data.tags["metanas.key"] == "trial/0")
    trial = json.loads(child.data.tags["metanas.trial"])
    assert child.data.params["choice.block"] in ("plain", "residual", "separable")
    assert child.data.tags["metanas.task"] == "digits"
    assert child.data.metrics["accuracy"] == pytest.approx(trial["metrics"]["accuracy"])
    client = MlflowClient(tracking_uri=f"sqlite:///{searched}/mlflow.db")
    curve = client.get_metric_history(child.info.run_id, "accuracy")
    assert [point.step for point in curve] == [1, 2]


def test_choices_keep_their_types_in_a_tag_and_the_parent_says_what_decides(searched: Path) -> None:
    from helpers import journal

    child = next(run for run in runs(searched) if run.data.tags["metanas.key"] == "trial/0")
    proposed = next(e["proposal"] for e in journal(searched, "one") if e["event"] == "proposed")
    kept = json.loads(child.data.tags["metanas.proposal"])
    assert kept == {name: proposed[name] for name in ("number", "values", "epochs")}
    parent = next(run for run in runs(searched) if run.data.tags["metanas.key"] == "search")
    objectives = json.loads(parent.data.tags["metanas.objectives"])
    assert [(each["name"], each["goal"]) for each in objectives] == [("accuracy", "max")]
    assert parent.data.tags["metanas.space_name"] == "cnn"
    assert parent.data.tags["metanas.kind"] == "classification"


def test_the_winners_test_score_is_in_the_parent_run(searched: Path) -> None:
    parent = next(run for run in runs(searched) if run.data.tags["metanas.key"] == "search")
    assert 0 <= parent.data.metrics["test_accuracy"] <= 1
    assert parent.data.tags["metanas.best_trial"] in ("0", "1", "2")


def test_following_again_from_the_start_changes_nothing(searched: Path) -> None:
    def facts() -> list[object]:
        return sorted(
            (r.info.run_id, r.info.status, sorted(r.data.metrics)) for r in runs(searched)
        )

    before = facts()
    (searched / "searches" / "one" / "mlflow.json").unlink()
    last_json(metanas("resume", "one", "--json", home=searched))
    assert facts() == before


def test_while_the_server_is_away_the_search_goes_on_and_nothing_is_lost(home: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    process = metanas(*SEARCH, "--name", "away", home=home, environment=away)
    assert last_json(process)["trials"] == 3
    assert "metanas resume away" in process.stderr
    assert runs(home) == []
    last_json(metanas("resume", "away", "--json", home=home))
    assert len(runs(home)) == 4


def test_passwords_are_not_shown() -> None:
    assert public("http://me:secret@server:5000") == "http://server:5000"
    assert public("sqlite:////home/a@b/mlflow.db") == "sqlite:////home/a@b/mlflow.db"
    assert public("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"


def test_a_trial_that_failed_is_a_failed_run(home: Path) -> None:
    from metanas.core.space import Choice, Space, check
    from metanas.core.trial import Proposal, Trial, proposal_record, trial_record
    from metanas.trackers._projection import Projection

    space = Space("tiny", (Choice("a", (1, 2)),), lambda *_: None)
    proposal = Proposal(0, check(space, {"a": 1}), 1)
    trial = Trial(proposal, "t", 0, "diverged", {}, error="loss is nan", time_s=2.0)
    config = {"name": "s", "task_name": "t", "space": "tiny", "strategy": "random", "seed": 0}
    header = {"event": "search", "time_s": 1.0, "id": "x", "version": "0", "config": config}
    attempt = {"event": "attempt", "number": 0, "trials": 1, "time_s": 1.0}
    events = [
        header,
        attempt | {"objectives": [{"name": "accuracy", "goal": "max"}]},
        {"event": "proposed", "time_s": 1.0, "id": "i", "proposal": proposal_record(proposal)},
        {"event": "finished", "time_s": 2.0, "trial": trial_record(trial)},
        {"event": "finished", "time_s": 2.0, "trial": trial_record(replace(trial))},
        {"event": "ended", "time_s": 3.0, "trials": 1},
    ]
    uri = f"sqlite:///{home}/mlflow.db"
    Projection(uri, home / "mlartifacts", header).send(events)
    status = {run.data.tags["metanas.key"]: run for run in runs(home)}
    assert status["trial/0"].info.status == "FAILED"
    assert status["trial/0"].data.tags["metanas.status"] == "diverged"
    assert status["trial/0"].data.tags["metanas.error"] == "loss is nan"
    assert status["search"].info.status == "FAILED"


def test_epochs_of_a_dead_attempt_are_there_once(home: Path) -> None:
    from mlflow import MlflowClient

    from metanas.core.space import Choice, Space, check
    from metanas.core.trial import Proposal, Trial, proposal_record, trial_record
    from metanas.trackers._projection import Projection

    space = Space("tiny", (Choice("a", (1, 2)),), lambda *_: None)
    proposal = Proposal(0, check(space, {"a": 1}), 2)
    record = proposal_record(proposal)
    curve = tuple(Report(epoch, {"accuracy": epoch / 10}, 20.0 + epoch) for epoch in (1, 2))
    trial = Trial(proposal, "t", 0, "completed", curve[-1].metrics, curve, time_s=23.0)
    config = {"name": "s", "task_name": "t", "space": "tiny", "strategy": "random", "seed": 0}
    header = {"event": "search", "time_s": 1.0, "id": "x", "version": "0", "config": config}
    aim = {"event": "attempt", "trials": 1, "objectives": [{"name": "accuracy", "goal": "max"}]}
    first = [
        header,
        aim | {"number": 0, "time_s": 2.0},
        {"event": "proposed", "time_s": 3.0, "id": "i", "proposal": record},
    ]
    report = {"event": "progress", "number": 0, "epoch": 1, "metrics": {"accuracy": 0.1}}
    dead = [report | {"time_s": 4.0}]
    second = [
        aim | {"number": 1, "time_s": 19.0},
        {"event": "proposed", "time_s": 20.0, "id": "i", "proposal": record},
        report | {"time_s": 21.0},
        {"event": "finished", "time_s": 23.0, "trial": trial_record(trial)},
    ]
    uri = f"sqlite:///{home}/mlflow.db"
    Projection(uri, home / "a", header).send(first + dead)
    Projection(uri, home / "a", header).send(first + second)
    again = Projection(uri, home / "a", header)
    for event in first + second:
        again.send([event])
    child, parent = runs(home)
    assert (child.info.status, parent.data.tags["metanas.key"]) == ("FINISHED", "search")
    history = MlflowClient(tracking_uri=uri).get_metric_history(child.info.run_id, "accuracy")
    assert [(point.step, point.timestamp) for point in history] == [(1, 21_000), (2, 22_000)]
