"""MLflow as a projection of the journal: real databases, a real process that follows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import last_json, metanas, runs
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Proposal, Report, Status, Trial, proposal_record, trial_record

SPACE = Space("tiny", (Choice("a", (1, 2)),), lambda *_: None)  # type: ignore[arg-type, return-value]
CONFIG = {"name": "s", "task_name": "t", "space": "tiny", "strategy": "random", "seed": 0}
HEADER = {"event": "search", "time_s": 1.0, "id": "x", "version": "0", "config": CONFIG}
ACCURACY = {"name": "accuracy", "goal": "max"}
LATENCY = {"name": "latency_ms", "goal": "min", "limit": 5.0}
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


def attempt(number: int, *objectives: Any) -> dict[str, Any]:
    wanted = list(objectives) or [ACCURACY]
    event = {"event": "attempt", "number": number, "trials": 9, "objectives": wanted}
    return event | {"time_s": 10.0 * number + 2}


def proposed(number: int, when: float) -> dict[str, Any]:
    record = proposal_record(Proposal(number, check(SPACE, {"a": 1}), 1))
    return {"event": "proposed", "time_s": when, "id": "i", "proposal": record}


def finished(
    number: int, when: float, status: Status = "completed", **metrics: float
) -> dict[str, Any]:
    proposal = Proposal(number, check(SPACE, {"a": 1}), 1)
    trial = Trial(proposal, "t", 0, status, metrics, time_s=when)
    return {"event": "finished", "time_s": when, "trial": trial_record(trial)}


def final(number: int, when: float, status: str, **metrics: float) -> dict[str, Any]:
    outcome = {"status": status, "metrics": metrics, "seconds": 1.0, "error": "oh"}
    return {"event": "final", "time_s": when, "number": number, "epochs": 1, "outcome": outcome}


def by_key(home: Path) -> dict[str, Any]:
    return {run.data.tags["metanas.key"]: run for run in runs(home)}


def projection(home: Path) -> Any:
    from metanas.trackers._projection import Projection

    return Projection(f"sqlite:///{home}/mlflow.db", home / "artifacts", HEADER)


EXTENDED = [
    HEADER,
    attempt(0),
    proposed(0, 3.0),
    finished(0, 4.0, accuracy=0.5),
    final(0, 5.0, "completed", accuracy=0.4),
    {"event": "ended", "time_s": 6.0, "trials": 1},
    attempt(1),
    proposed(1, 13.0),
    finished(1, 14.0, accuracy=0.7),
    final(1, 15.0, "diverged", accuracy=0.1),
]


@pytest.mark.parametrize("together", [True, False])
def test_where_a_new_winners_training_fails_the_test_scores_keep_their_trial(
    home: Path, together: bool
) -> None:
    project = projection(home)
    for events in [EXTENDED] if together else [[event] for event in EXTENDED]:
        project.send(events)
    parent = by_key(home)["search"]
    assert parent.data.metrics["test_accuracy"] == 0.4
    assert parent.data.tags["metanas.best_trial"] == "0"
    assert parent.data.tags["metanas.final_trial"] == "1"
    assert parent.data.tags["metanas.final_status"] == "diverged"
    assert parent.data.tags["metanas.error"] == "oh"
    assert parent.info.status == "FAILED"
    again = [attempt(2), final(1, 25.0, "completed", accuracy=0.6)]
    project.send(again)
    assert by_key(home)["search"].info.status == "RUNNING"
    project.send([{"event": "ended", "time_s": 26.0, "trials": 2}])
    parent = by_key(home)["search"]
    assert parent.data.metrics["test_accuracy"] == 0.6
    assert parent.data.tags["metanas.best_trial"] == "1"
    assert parent.data.tags["metanas.final_status"] == "completed"
    assert parent.info.status == "FINISHED"


INTERRUPTED = [
    HEADER,
    attempt(0),
    proposed(0, 3.0),
    finished(0, 4.0, accuracy=0.5),
    proposed(1, 5.0),
    {"event": "interrupted", "time_s": 6.0, "trials": 1},
]


@pytest.mark.parametrize("together", [True, False])
def test_an_interrupted_search_and_its_open_trial_are_killed_until_it_goes_on(
    home: Path, together: bool
) -> None:
    def states() -> dict[str, str]:
        return {key: run.info.status for key, run in by_key(home).items()}

    def send(events: list[dict[str, Any]]) -> None:
        project = projection(home)  # each attempt has a follower, which begins at the begin
        for batch in [events] if together else [[event] for event in events]:
            project.send(batch)

    stopped = {"search": "KILLED", "trial/0": "FINISHED", "trial/1": "KILLED"}
    send(INTERRUPTED)
    assert states() == stopped
    send(INTERRUPTED)
    assert states() == stopped
    going = [*INTERRUPTED, attempt(1), proposed(1, 13.0)]
    send(going)
    assert states() == {"search": "RUNNING", "trial/0": "FINISHED", "trial/1": "RUNNING"}
    over = [*going, finished(1, 14.0, accuracy=0.6), {"event": "ended", "time_s": 15, "trials": 2}]
    send(over)
    assert states() == {"search": "FINISHED", "trial/0": "FINISHED", "trial/1": "FINISHED"}


def test_a_search_whose_process_was_killed_does_not_look_running(home: Path) -> None:
    killed = projection(home)
    killed.send(INTERRUPTED[:-1])
    assert {run.info.status for run in runs(home)} == {"RUNNING", "FINISHED"}
    killed.deliver(home)
    found = by_key(home)
    assert found["search"].info.status == found["trial/1"].info.status == "KILLED"
    assert found["trial/1"].info.end_time == 5_000
    # Its follower may have read on into the next attempt, and taken that for dead.
    projection(home).send(INTERRUPTED[:-1])
    assert by_key(home)["trial/1"].info.status == "RUNNING"


def test_the_best_so_far_keeps_the_limits_and_is_one_trial(home: Path) -> None:
    from mlflow import MlflowClient

    project = projection(home)
    project.send([HEADER, attempt(0, ACCURACY, LATENCY)])
    measured = [(0.6, 6.0), (0.5, 4.0), (0.9, 7.0), (0.7, 4.5), (0.4, 1.0)]
    for number, (accuracy, latency_ms) in enumerate(measured):
        project.send([proposed(number, 3.0)])
        project.send([finished(number, 4.0 + number, accuracy=accuracy, latency_ms=latency_ms)])
    client = MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")
    parent = by_key(home)["search"].info.run_id
    for name, values in (("accuracy", [0.5, 0.5, 0.7, 0.7]), ("latency_ms", [4, 4, 4.5, 4.5])):
        history = client.get_metric_history(parent, f"best.{name}")
        assert [(p.step, p.value) for p in history] == list(zip(range(2, 6), values, strict=True))
