"""The process that follows a search: what it reads, keeps, gives up, and never writes down."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from metanas.core.trial import Report
from metanas.trackers import _follow
from metanas.trackers import mlflow as tracker
from metanas.trackers._follow import Tail, follow
from metanas.trackers.mlflow import PROGRESS_FILE, STATE_FILE, MLflowTracker

EVENTS: list[dict[str, Any]] = [{"event": "search"}, {"event": "attempt"}, {"event": "ended"}]


def write(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


class Server:
    """Stands for a projection: takes events, and refuses what it is told to."""

    def __init__(self, refused: str = "", reason: str = "no") -> None:
        self.refused, self.reason = refused, reason
        self.sent: list[str] = []
        self.deliveries = 0
        self.finished = 0

    def __call__(self, *_: object) -> Server:
        return self

    def send(self, events: Iterable[Mapping[str, Any]]) -> None:
        kinds = [str(event["event"]) for event in events]
        if self.refused in kinds:
            raise OSError(self.reason)
        self.sent += kinds

    def deliver(self, folder: Path) -> None:
        self.deliveries += 1
        if self.refused == "delivery":
            raise OSError(self.reason)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search that is over: the process that ran it has ended."""
    monkeypatch.setattr(_follow, "_ended", lambda _: True)
    monkeypatch.setattr(_follow, "MOST_EVENTS", 1)
    monkeypatch.setattr(_follow, "AWAY_SECONDS", 0.5)
    monkeypatch.setattr(_follow, "POLL_S", 0.05)
    found = tmp_path / "searches" / "one"
    found.mkdir(parents=True)
    write(found / "journal.jsonl", EVENTS)
    return found


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
    return found


def test_a_file_that_is_begun_anew_is_read_from_its_begin(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    write(path, [{"epoch": 1}, {"epoch": 2}])
    tail = Tail(path)
    assert tail.read() == [{"epoch": 1}, {"epoch": 2}]
    write(path, [{"epoch": 3}])
    assert tail.read() == [{"epoch": 3}]
    assert tail.read() == []


def test_what_the_server_refuses_at_the_end_is_tried_once_and_left_to_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server("delivery", "the registry is closed")
    monkeypatch.setattr(_follow, "Projection", server)
    assert follow(folder.parents[1], folder) == 4
    assert server.sent == ["search", "attempt", "ended"]
    assert server.deliveries == 1
    found = state(folder)
    assert found["error"] == "OSError: the registry is closed"
    assert found["offset"] == (folder / "journal.jsonl").stat().st_size
    assert not found["delivered"]
    server.refused = ""
    assert follow(folder.parents[1], folder) == 0
    assert state(folder)["delivered"]
    assert state(folder)["error"] == ""


def test_an_event_that_is_refused_each_time_does_not_keep_the_follower_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server("ended")
    monkeypatch.setattr(_follow, "Projection", server)
    assert follow(folder.parents[1], folder) == 3
    assert server.deliveries == 0


@pytest.mark.parametrize("refused", ["delivery", "attempt"])
def test_no_part_of_a_password_is_written_down(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    refused: str,
) -> None:
    uri = "http://me:SECRET/SECRET@server:5000/base?key=SECRET"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    # Cut to its longest, the text would end within the address.
    reason = "x" * (_follow.LONGEST_REASON - 20) + f" {uri} is away"
    monkeypatch.setattr(_follow, "Projection", Server(refused, reason))
    assert follow(folder.parents[1], folder) != 0
    written = "".join(path.read_text() for path in folder.iterdir())
    logged = "".join(capfd.readouterr())
    assert "OSError: xxx" in written
    assert "server:5000/base is away" in logged
    assert "SECRET" not in written + logged


class Process:
    """Stands for the follower's process."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode
        self.stdin = io.BytesIO()
        self.seen = ""

    def poll(self) -> int:
        return self.returncode


@pytest.mark.parametrize(("over", "left"), [(False, ""), (True, "old\n")])
def test_epochs_of_an_earlier_attempt_are_gone_before_anybody_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: bool, left: str
) -> None:
    process = Process(0)

    def started(*_: object, **__: object) -> Process:
        process.seen = (tmp_path / PROGRESS_FILE).read_text()
        return process

    (tmp_path / PROGRESS_FILE).write_text("old\n")
    monkeypatch.setattr(tracker.subprocess, "Popen", started)
    following = MLflowTracker(tmp_path, tmp_path, tmp_path / "log.txt", over=over)
    assert process.seen == left
    for epoch in (1, 2):
        following.progress(0, Report(epoch, {"accuracy": 0.5}, 1.0))
    following.close()
    written = (tmp_path / PROGRESS_FILE).read_text().removeprefix(left)
    assert [json.loads(line)["epoch"] for line in written.splitlines()] == [1, 2]


def test_what_mlflow_lacks_at_the_end_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker.subprocess, "Popen", lambda *_, **__: Process(4))
    (tmp_path / STATE_FILE).write_text(json.dumps({"error": "OSError: no"}))
    said: list[str] = []
    MLflowTracker(tmp_path, tmp_path, tmp_path / "log.txt", said.append).close()
    assert len(said) == 1
    assert "(OSError: no)" in said[0]
    assert f"metanas resume {tmp_path.name}" in said[0]


@pytest.mark.parametrize(
    ("uri", "follows"), [("http://me:b@server", False), ("http://me:a/b?c@server", True)]
)
def test_a_search_that_mlflow_has_is_not_followed_again_where_that_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, follows: bool
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started: list[object] = []
    monkeypatch.setattr(tracker.subprocess, "Popen", lambda *each, **_: started.append(each))
    write(tmp_path / "journal.jsonl", EVENTS)
    size = (tmp_path / "journal.jsonl").stat().st_size
    known = {"uri": tracker.public(uri), "delivered": True, "offset": size}
    (tmp_path / STATE_FILE).write_text(json.dumps(known))
    MLflowTracker(tmp_path, tmp_path, tmp_path / "log.txt", over=True)
    assert bool(started) == follows
