"""Experience: real MLflow databases, searches of the real loop, other processes that die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from helpers import Trivial, journal, last_json, metanas, runs
from made_runs import made_runs
from metanas.api.experience import origin_of
from metanas.core.objective import Objective
from metanas.core.plugins import reference, resolve
from metanas.core.search import Search, run
from metanas.core.space import Choice, Space, check
from metanas.executors.inline import Inline
from metanas.stores import _experience_reader, _experience_sync
from metanas.stores._experience_manifest import Manifest, read_manifest
from metanas.stores._experience_parts import Writer, folder_of
from metanas.stores._experience_rows import SCHEMA, row_of
from metanas.stores.experience import Synced, batches, census, rows, sync
from metanas.stores.journal import MemoryJournal
from metanas.strategies.random import STRATEGY as RANDOM

TINY = Space(
    "tiny",
    (Choice("width", (1, 2, 3, 4)), Choice("text", ("1", "2")), Choice("on", (True, False))),
    lambda *_: None,  # type: ignore[arg-type,return-value]
)
ACCURACY = Objective("accuracy", "", "max")
SEARCH = ("search", "digits", "--trials", "3", "--epochs", "2", "--executor", "inline", "--json")


def events(
    name: str = "one",
    trials: int = 4,
    *,
    task: str = "some task",
    space: Space = TINY,
    past: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
) -> list[Mapping[str, Any]]:
    """What a search of the real loop journals, with an evaluation that costs nothing."""
    header = {
        "event": "search",
        "time_s": time.time(),
        "version": "0",
        "id": f"id-of-{name}",
        "config": {
            "name": name, "task_name": task, "space": "tiny", "strategy": "random", "seed": seed
        },
    }  # fmt: skip
    kept = MemoryJournal()
    for event in past or [header]:
        kept.append(event)
    search = Search(
        name, space, task, (ACCURACY,), RANDOM, Trivial(), trials=trials, epochs=2, seed=seed,
        kind="toy",
    )  # fmt: skip
    run(search, executor=Inline(), journal=kept)
    return list(kept.events())


def send(home: Path, happened: Sequence[Mapping[str, Any]]) -> None:
    """Bring a search's events to the home folder's MLflow, as the tracker does."""
    from metanas.trackers._projection import Projection

    uri = f"sqlite:///{home}/mlflow.db"
    Projection(uri, home / "mlartifacts", happened[0]).send(happened[1:])


def synced(home: Path, **options: Any) -> Synced:
    return sync(home, origin_of(home), **options)


def found(home: Path, **options: Any) -> list[dict[str, Any]]:
    options = {"cached": True} | options
    listed: list[dict[str, Any]] = rows(home, **options).to_pylist()
    return sorted(listed, key=lambda row: str(row.get("key", "")))


def child(home: Path, number: int = 0) -> str:
    """The run of a trial."""
    key = f"trial/{number}"
    return next(r.info.run_id for r in runs(home) if r.data.tags.get("metanas.key") == key)


def client(home: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")


# -- what a row holds ------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, template_database: Path) -> Path:
    home = tmp_path_factory.mktemp("searched")
    shutil.copy(template_database, home / "mlflow.db")
    last_json(metanas(*SEARCH, "--name", "one", "--final-epochs", "1", home=home))
    synced(home)
    return home


def test_a_search_leaves_a_row_a_trial_with_all_that_its_journal_says(searched: Path) -> None:
    cnn = resolve(reference("spaces", "cnn"))
    told = journal(searched, "one")
    proposed = {e["proposal"]["number"]: e for e in told if e["event"] == "proposed"}
    finished = {e["trial"]["number"]: e["trial"] for e in told if e["event"] == "finished"}
    listed = found(searched)
    assert sorted(row["number"] for row in listed) == [0, 1, 2]
    for row in listed:
        proposal, trial = proposed[row["number"]]["proposal"], finished[row["number"]]
        assert check(cnn, json.loads(row["architecture"])).id == row["architecture_id"]
        assert json.loads(row["architecture"]) == proposal["values"]
        assert dict(row["metrics"]) == trial["metrics"]
        curve = [(point["epoch"], dict(point["metrics"])) for point in row["curve"]]
        assert curve == [(point["epoch"], point["metrics"]) for point in trial["curve"]]
        for name in ("status", "seed", "seconds", "task", "cached", "time_s"):
            assert row[name] == trial[name], name
        expected = {
            "kind": "classification", "space": "cnn", "objective": "accuracy", "goal": "max",
            "epochs": 2, "settings": "{}", "search": "one", "strategy": "evolution",
            "parent_trial": None, "origin": "metanas", "experiment": "metanas",
        }  # fmt: skip
        attempt = next(e for e in told if e["event"] == "attempt")
        assert json.loads(row["fingerprint"]) == attempt["fingerprint"]
        assert attempt["fingerprint"]["outputs"] == 10
        assert {name: row[name] for name in expected} == expected
        assert row["search_id"] == told[0]["id"]
        assert row["version"] == told[0]["version"]
    ids = {r.info.run_id for r in runs(searched) if r.data.tags["metanas.key"] != "search"}
    assert {row["run_id"] for row in listed} == ids


def test_options_that_look_alike_as_text_keep_their_types(home: Path) -> None:
    send(home, events(trials=6))
    synced(home)
    for row in found(home):
        values = json.loads(row["architecture"])
        assert check(TINY, values).id == row["architecture_id"]
        assert [type(value) for _, value in sorted(values.items())] == [bool, str, int]


def test_rows_have_all_statuses(home: Path) -> None:
    happened = [dict(event) for event in events(trials=3)]
    statuses = ("diverged", "stopped", "out_of_memory")
    ends = [event for event in happened if event["event"] == "finished"]
    for end, status in zip(ends, statuses, strict=True):
        end["trial"] = {**end["trial"], "status": status, "metrics": {}, "curve": []}
    send(home, happened)
    synced(home)
    assert [(row["status"], row["metrics"]) for row in found(home)] == [(s, []) for s in statuses]


def test_a_trial_answered_from_an_earlier_one_is_kept_and_left_out_of_reading(home: Path) -> None:
    small = Space("tiny", TINY.choices[:1], TINY.build)
    happened = events(trials=12, space=small)
    cached = sum(e["trial"]["cached"] for e in happened if e["event"] == "finished")
    assert cached
    send(home, happened)
    assert synced(home).rows == 12
    assert rows(home).num_rows == 12 - cached
    assert sum(row["cached"] for row in found(home)) == cached
    assert synced(home).new == 0


def test_a_trial_too_long_for_a_tag_is_read_from_its_artifact(home: Path) -> None:
    happened = [dict(event) for event in events(trials=1)]
    end = next(event for event in happened if event["event"] == "finished")
    curve = [
        {"epoch": e, "metrics": {"accuracy": e / 1000}, "time_s": 1.0 + e} for e in range(1, 301)
    ]
    end["trial"] = {**end["trial"], "curve": curve}
    send(home, happened)
    synced(home)
    (row,) = found(home)
    assert [point["epoch"] for point in row["curve"]] == list(range(1, 301))


def test_an_artifact_that_cannot_be_fetched_now_is_read_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_a_trial_too_long_for_a_tag_is_read_from_its_artifact(home)
    shutil.rmtree(home / "experience")
    (home / "mlartifacts").rename(home / "away")
    assert synced(home).broken == {"its artifact could not be fetched": 1}
    assert found(home) == []
    (home / "away").rename(home / "mlartifacts")
    assert synced(home).new == 1


def test_runs_of_a_version_that_kept_choices_as_text_get_their_types_from_the_space(
    home: Path,
) -> None:
    cnn = resolve(reference("spaces", "cnn"))
    happened = [dict(event) for event in events(trials=2, space=cnn)]
    happened[0] = {**happened[0], "config": {**happened[0]["config"], "space": "cnn"}}
    send(home, happened)
    for number in (0, 1):
        client(home).delete_tag(child(home, number), "metanas.proposal")
    assert synced(home).broken == {}
    for row in found(home):
        assert check(cnn, json.loads(row["architecture"])).id == row["architecture_id"]


def test_a_run_that_no_search_wrote_is_counted_and_left_out(home: Path) -> None:
    send(home, events(trials=5))
    proposal = '{"number": 3, "values": {"width": [1]}, "epochs": 2}'
    client(home).set_tag(child(home, 3), "metanas.proposal", proposal)
    client(home).set_tag(child(home, 0), "metanas.trial", "no JSON")
    client(home).set_tag(child(home, 1), "metanas.trial", '{"status": "completed"}')
    client(home).delete_tag(child(home, 2), "metanas.proposal")
    result = synced(home)
    assert (result.new, sum(result.broken.values())) == (1, 4)
    assert any("space 'tiny' is not installed" in reason for reason in result.broken)


# -- what is new -----------------------------------------------------------------------


def test_with_nothing_new_nothing_is_read_or_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(home, events("one", 5))
    assert synced(home).new == 5
    before = {path: path.stat().st_mtime_ns for path in (home / "experience").rglob("*")}
    monkeypatch.setattr(_experience_sync, "row_of_run", None)
    monkeypatch.setattr(_experience_reader.Reader, "children_of", None)
    result = synced(home)
    assert (result.new, result.removed, result.rows) == (0, 0, 5)
    after = {path: path.stat().st_mtime_ns for path in (home / "experience").rglob("*")}
    assert {p: t for p, t in after.items() if p.name != "lock"} == {
        p: t for p, t in before.items() if p.name != "lock"
    }


def test_a_search_that_is_extended_has_each_trial_once(home: Path) -> None:
    first = events("one", 3)
    send(home, first)
    assert synced(home).new == 3
    longer = events("one", 7, past=first)
    send(home, longer)
    assert synced(home).new == 4
    assert [row["number"] for row in found(home)] == list(range(7))


def test_a_trial_that_ran_again_after_a_kill_is_there_once(home: Path) -> None:
    whole = events("one", 2)
    attempt, proposed = whole[1], whole[2]
    report = {"event": "progress", "number": 0, "epoch": 1, "metrics": {"accuracy": 0.5}}
    again = {**attempt, "number": 1}
    send(home, [whole[0], attempt, proposed, {**report, "time_s": 1.0}])
    assert synced(home).rows == 0
    send(home, [whole[0], attempt, proposed, again, proposed, *whole[3:]])
    assert synced(home).rows == 2
    assert [row["number"] for row in found(home)] == [0, 1]


def test_trials_that_were_sent_late_are_found_however_old_they_are(home: Path) -> None:
    old = events("old", 4)
    late = [{**e, "time_s": float(e["time_s"]) - 1e6} for e in old]
    for event in late:
        if "trial" in event:
            event["trial"] = {**event["trial"], "time_s": event["trial"]["time_s"] - 1e6}
    send(home, late[:4])
    send(home, events("new", 2))
    assert synced(home).rows == 3
    send(home, late)
    assert synced(home).new == 3
    assert len(found(home)) == 6


def test_a_clock_that_is_ahead_hides_nothing(home: Path) -> None:
    ahead = [{**e, "time_s": float(e["time_s"]) + 1e8} for e in events("ahead", 2)]
    send(home, ahead)
    assert synced(home).new == 2
    send(home, events("later", 3))
    assert synced(home).new == 3


def test_what_a_parent_run_says_later_reaches_its_rows(home: Path) -> None:
    send(home, events("one", 3))
    send(home, events("two", 2, seed=1))
    synced(home)
    fingerprint = json.dumps({"classes": 10})
    parent = found(home, where=pc.field("search") == "one")[0]["parent_run"]
    client(home).set_tag(parent, "metanas.fingerprint", fingerprint)
    assert synced(home).new == 3
    told = {row["search"]: row["fingerprint"] for row in found(home)}
    assert told == {"one": fingerprint, "two": ""}
    assert synced(home).new == 0
    client(home).set_tag(parent, "metanas.fingerprint", "no JSON")
    synced(home)
    assert {row["fingerprint"] for row in found(home)} == {""}


def test_a_search_sent_to_a_second_server_too_is_there_once(
    home: Path, tmp_path: Path, template_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = events("one", 3)
    send(home, happened)
    synced(home)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(template_database, other / "mlflow.db")
    send(other, happened)
    send(other, events("two", 2))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}/mlflow.db")
    assert synced(home).new == 2
    assert len(found(home)) == 5


def test_a_home_folder_that_moved_has_each_trial_once(home: Path, tmp_path: Path) -> None:
    send(home, events("one", 3))
    synced(home)
    moved = home.rename(tmp_path / "moved")
    assert (synced(moved).new, len(found(moved))) == (0, 3)


# -- what is gone ----------------------------------------------------------------------


def test_a_deleted_run_vanishes_and_a_restored_one_is_back(home: Path) -> None:
    send(home, events("one", 4))
    synced(home)
    gone = child(home, 2)
    client(home).delete_run(gone)
    assert (synced(home).removed, [row["number"] for row in found(home)]) == (1, [0, 1, 3])
    assert synced(home).removed == 0
    client(home).restore_run(gone)
    assert (synced(home).new, len(found(home))) == (1, 4)


def test_a_trial_whose_run_was_deleted_and_sent_again_stays(home: Path) -> None:
    happened = events("one", 3)
    send(home, happened)
    synced(home)
    client(home).delete_run(child(home, 1))
    send(home, happened)
    assert (synced(home).removed, [row["number"] for row in found(home)]) == (0, [0, 1, 2])
    assert found(home)[1]["run_id"] == child(home, 1)


def test_deleted_runs_are_found_among_many(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_experience_reader, "PAGE", 2)
    monkeypatch.setattr(_experience_reader, "DELETED_AT_ONCE", 2)
    monkeypatch.setattr(_experience_reader, "IDS_A_QUERY", 3)
    send(home, events("one", 8))
    assert synced(home).new == 8
    for number in (1, 4, 5, 6):
        client(home).delete_run(child(home, number))
    assert synced(home).removed == 4
    assert [row["number"] for row in found(home)] == [0, 2, 3, 7]


def test_a_deleted_experiment_takes_its_trials_along(home: Path) -> None:
    send(home, events("one", 3))
    synced(home)
    number = client(home).get_experiment_by_name("metanas").experiment_id
    client(home).delete_experiment(number)
    assert (synced(home).removed, found(home)) == (3, [])
    client(home).restore_experiment(number)
    assert synced(home).new == 3


def test_a_search_whose_parent_run_is_deleted_is_no_experience(home: Path) -> None:
    send(home, events("one", 3))
    send(home, events("two", 2))
    synced(home)
    parent = found(home, where=pc.field("search") == "one")[0]["parent_run"]
    client(home).delete_run(parent)
    assert synced(home).removed == 3
    assert {row["search"] for row in found(home)} == {"two"}
    assert synced(home, full=True).rows == 2


def test_runs_that_were_removed_for_good_go_with_a_full_sync(home: Path) -> None:
    send(home, events("one", 3))
    synced(home)
    run_id = child(home, 1)
    with sqlite3.connect(home / "mlflow.db") as database:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run_id,))
    synced(home)
    result = synced(home, full=True)
    assert (result.removed, [row["number"] for row in found(home)]) == (1, [0, 2])


def test_a_full_sync_reads_what_was_edited(home: Path) -> None:
    send(home, events("one", 2))
    synced(home)
    tag = json.loads(client(home).get_run(child(home, 0)).data.tags["metanas.trial"])
    edited = json.dumps({**tag, "seconds": 77.0})
    client(home).set_tag(child(home, 0), "metanas.trial", edited)
    assert synced(home).new == 0
    synced(home, full=True)
    assert found(home)[0]["seconds"] == 77.0


# -- processes -------------------------------------------------------------------------

SYNC = """
import sys
from pathlib import Path
from metanas.api.experience import origin_of
from metanas.stores.experience import sync
from metanas.stores import _experience_manifest, _experience_parts
{before}
home = Path(sys.argv[1])
print(sync(home, origin_of(home)).new)
"""
DIES = """
import os, signal
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{where} = die
"""


def process(home: Path, before: str = "") -> subprocess.Popen[str]:
    code = SYNC.format(before=before)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(home)], text=True, stdout=subprocess.PIPE, env=os.environ
    )


def test_two_syncs_at_once_read_each_trial_once(home: Path, template_database: Path) -> None:
    made_runs(template_database, home, 300)
    both = [process(home), process(home)]
    new = sorted(int(each.communicate(timeout=200)[0]) for each in both)
    assert new == [0, 300]
    assert len({row["key"] for row in found(home)}) == len(found(home)) == 300


@pytest.mark.parametrize(
    "where",
    ["_experience_parts.Writer.commit", "_experience_parts.Writer._merged",
     "_experience_manifest.os.replace", "_experience_parts.Writer._sweep"],
)  # fmt: skip
def test_a_sync_killed_anywhere_leaves_all_or_nothing_and_the_next_one_the_rest(
    home: Path, where: str
) -> None:
    send(home, events("one", 3))
    synced(home)
    send(home, events("two", 2))
    client(home).delete_run(found(home)[0]["run_id"])
    killed = process(home, DIES.format(where=where))
    assert killed.wait(200) == -signal.SIGKILL
    before = 3 if where != "_experience_parts.Writer._sweep" else 4
    assert len(found(home)) == before
    synced(home)
    assert len(found(home)) == 4
    manifest = read_manifest(home / "experience")
    assert manifest is not None
    known = {part.file for part in manifest.parts} | set(manifest.retired)
    files = (home / "experience").glob("*/*.parquet")
    assert {str(path.relative_to(home / "experience")) for path in files} == known


def test_a_reader_that_began_before_a_sync_reads_what_was_there(home: Path) -> None:
    send(home, events("one", 3))
    send(home, events("two", 3, task="another"))
    synced(home)
    reading = batches(home, cached=True)
    first = next(reading).num_rows
    client(home).delete_experiment(client(home).get_experiment_by_name("metanas").experiment_id)
    assert synced(home).removed == 6
    assert first + sum(batch.num_rows for batch in reading) == 6


def test_replaced_files_go_after_an_hour(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        send(home, events(f"search-{number}", 2))
        synced(home)
    files = list((home / "experience").glob("*/*.parquet"))
    assert len(files) == 4
    monkeypatch.setattr("metanas.stores._experience_parts.KEPT_S", 0.0)
    synced(home)
    assert len(list((home / "experience").glob("*/*.parquet"))) == 1
    assert len(found(home)) == 8


def test_a_server_that_does_not_answer_is_one_line_and_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metanas.core.errors import HomeError

    send(home, events("one", 2))
    synced(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(HomeError, match="MLflow at http://127.0.0.1:1 cannot be read") as caught:
        synced(home)
    assert "secret" not in str(caught.value)
    assert len(found(home)) == 2


# -- reading ---------------------------------------------------------------------------


def row(number: int, task: str = "t", **changed: Any) -> dict[str, Any]:
    facts = {
        "key": f"s/{number}", "task": task, "origin": "metanas", "space": "tiny",
        "architecture": '{"width":1}', "status": "completed", "metrics": {"accuracy": number / 100},
        "curve": [(1, {"accuracy": 0.1}), (2, {"accuracy": number / 100})], "goal": "max",
        "objective": "accuracy", "time_s": 1.0, "epochs": 2, "number": number,
    }  # fmt: skip
    return row_of(facts | changed)


def stored(home: Path, *given: dict[str, Any]) -> None:
    """Put rows in beside what is there, checked or not."""
    folder = home / "experience"
    folder.mkdir(exist_ok=True)
    manifest = read_manifest(folder)
    assert manifest is not None
    writer = Writer(folder, manifest)
    for each in given:
        writer.add(each)
    writer.commit((), manifest.servers)


def test_columns_tasks_and_conditions_narrow_what_is_read(home: Path) -> None:
    stored(home, *(row(n, task=f"task {n % 3}") for n in range(30)))
    assert rows(home, columns=["number"]).column_names == ["number"]
    assert set(rows(home, ["task 1"])["task"].to_pylist()) == {"task 1"}
    assert set(rows(home, exclude=["task 1"])["task"].to_pylist()) == {"task 0", "task 2"}
    few = rows(home, where=pc.field("number") < 5, columns=["key", "task"])
    assert (few.num_rows, few.column_names) == (5, ["key", "task"])
    assert rows(home, ["no such task"]).num_rows == 0
    assert rows(home).schema.equals(SCHEMA)


def test_a_column_that_is_not_there_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="no column 'tusk'.*did you mean 'task'"):
        rows(home, columns=["tusk"])


def test_where_nothing_was_stored_there_are_no_rows(home: Path) -> None:
    said: list[str] = []
    assert (rows(home, say=said.append).num_rows, census(home), said) == (0, [], [])


@pytest.mark.parametrize(
    "changed",
    [
        {"metrics": [("accuracy", float("nan"))]},
        {"metrics": [("a", 0.5), ("b", float("inf"))]},
        {"metrics": [("a", sys.float_info.max)]},  # infinity, as MLflow stores it
        {"metrics": None},
        {"curve": [{"epoch": 1, "metrics": [("a", 1.0)]},
                   {"epoch": 2, "metrics": [("a", float("-inf"))]}]},
        {"curve": None},
        {"architecture": "no JSON"},
        {"architecture": "[1]"},
        {"architecture": '{"a": NaN}'},
        {"settings": ""},
        {"fingerprint": "{"},
        {"status": "finished"},
        {"status": None},
        {"goal": "more"},
        {"seconds": float("nan")},
        {"time_s": None},
    ],
)  # fmt: skip
def test_broken_rows_are_counted_and_left_out_in_one_line(
    home: Path, changed: dict[str, Any]
) -> None:
    good = [row(0), row(1), row(3)]
    stored(home, good[0], good[1], {**row(2), **changed}, good[2])
    said: list[str] = []
    assert [each["number"] for each in found(home, say=said.append)] == [0, 1, 3]
    assert len(said) == 1
    assert "1 broken rows" in said[0]
    untouched = [name for name in SCHEMA.names if name not in changed]
    assert rows(home, columns=untouched).num_rows == 4


def test_rows_beyond_a_batch_are_checked_each_in_its_place(home: Path) -> None:
    bad = {5, 4_095, 4_096, 9_000, 9_999}
    nan = [("accuracy", float("nan"))]
    stored(home, *({**row(n), **({"metrics": nan} if n in bad else {})} for n in range(10_000)))
    numbers = {each for b in batches(home, columns=["number", "metrics"])
               for each in b.column("number").to_pylist()}  # fmt: skip
    assert numbers == set(range(10_000)) - bad


def test_a_damaged_file_is_left_out_and_the_next_sync_reads_its_trials_again(home: Path) -> None:
    send(home, events("one", 3))
    send(home, events("two", 2, task="another"))
    synced(home)
    for path in (home / "experience" / folder_of("another")).glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-20])
    said: list[str] = []
    assert {each["search"] for each in found(home, say=said.append)} == {"one"}
    assert said == ["experience left out: 2 rows in damaged files; `metanas experience sync "
                    "--full` reads anew"]  # fmt: skip
    synced(home)
    assert len(found(home)) == 5


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '{"schema": 99, "parts": []}', "[]"])
def test_a_damaged_manifest_is_said_and_everything_is_read_anew(home: Path, text: str) -> None:
    send(home, events("one", 3))
    synced(home)
    (home / "experience" / "manifest.json").write_text(text)
    said: list[str] = []
    assert (found(home, say=said.append), len(said)) == ([], 1)
    synced(home, say=said.append)
    assert (len(found(home)), len(said)) == (3, 2)


def test_rows_of_another_version_are_left_out(home: Path) -> None:
    stored(home, row(0))
    (path,) = (home / "experience").glob("*/*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"metanas.experience": b"2"}), path)
    said: list[str] = []
    assert found(home, say=said.append) == []
    assert "1 rows of another version" in said[0]


def test_a_row_with_a_number_too_large_for_its_column_does_not_stop_the_others(home: Path) -> None:
    folder = home / "experience"
    folder.mkdir()
    writer = Writer(folder, Manifest())
    for number in (0, 2**40, 1):
        writer.add(row(number))
    writer.add({**row(2), "search": "\ud800"})
    writer.commit((), {})
    assert (writer.refused, [each["number"] for each in found(home)]) == (2, [0, 1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), sys.float_info.max])
def test_a_row_with_a_number_that_is_none_is_not_made(value: float) -> None:
    with pytest.raises(ValueError, match="metric accuracy"):
        row(0, metrics={"accuracy": value})


def test_each_task_has_a_safe_folder_of_its_own(home: Path) -> None:
    names = ["a/b", "a_b", "..", "../../etc", "a\nb", "", "é" * 300]
    folders = [folder_of(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all("/" not in f and not f.startswith(".") and len(f) < 80 for f in folders)
    stored(home, *(row(n, task=name) for n, name in enumerate(names)))
    assert {each["task"] for each in found(home)} == set(names)
    assert len(list((home / "experience").glob("*/*.parquet"))) == len(names)


def test_small_files_of_a_task_become_one(home: Path) -> None:
    for number in range(5):
        stored(home, row(number))
    manifest = read_manifest(home / "experience")
    assert manifest is not None
    assert [part.rows for part in manifest.parts] == [5]


def test_a_census_counts_by_task_and_space(home: Path) -> None:
    stored(home, *(row(n, status="crashed" if n == 1 else "completed") for n in range(3)))
    stored(home, row(9, task="u", space="other", cached=True))
    (first, second) = census(home)
    assert (first["task"], first["trials"], first["failed"]) == ("t", 3, 1)
    assert (second["space"], second["trials"], second["cached"]) == ("other", 1, 1)


# -- many ------------------------------------------------------------------------------


def test_made_runs_are_what_the_tracker_writes(home: Path, template_database: Path) -> None:
    """Else the benchmark and the test below would measure and test something else."""
    send(home, events("one", 1))
    made_runs(template_database, home, 1)
    tags: dict[bool, dict[str, set[str]]] = {True: {}, False: {}}
    for each in runs(home):
        made = each.data.tags["metanas.search"].startswith("made-")
        names = {name for name in each.data.tags if name.startswith("metanas.")}
        tags[made][each.data.tags["metanas.key"]] = names | {
            str("mlflow.parentRunId" in each.data.tags)
        }
    assert tags[True] == tags[False]


@pytest.mark.slow
def test_two_thousand_runs_come_and_go(home: Path, template_database: Path) -> None:
    made_runs(template_database, home, 2_000)
    assert synced(home).new == 2_000
    assert synced(home).new == 0
    assert {each["task"]: each["trials"] for each in census(home)} == dict.fromkeys(
        ("task0", "task1", "task2", "task3"), 500
    )
    made_runs(template_database, home, 24, first=20)
    assert synced(home).new == 24
    ids = [each["run_id"] for each in found(home)[:50]]
    for run_id in ids:
        client(home).delete_run(run_id)
    assert (synced(home).removed, rows(home).num_rows) == (50, 1_974)
    result = synced(home, full=True)
    assert (result.rows, result.broken) == (1_974, {})
