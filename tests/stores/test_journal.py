"""Journals outlive their process, and say what is wrong with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metanas.core.errors import HomeError, JournalError
from metanas.stores.journal import FileJournal, read_events

HOLD = """
import sys, time
from pathlib import Path
from metanas.stores.journal import FileJournal
journal = FileJournal(Path(sys.argv[1]))
journal.append({"event": "held"})
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s" / "journal.jsonl"


@pytest.fixture(autouse=True)
def _folder(path: Path) -> None:
    path.parent.mkdir()


def test_what_was_appended_is_read_back_in_order(path: Path) -> None:
    events = [{"event": "a", "n": n, "text": "é\n"} for n in range(5)]
    with FileJournal(path) as journal:
        for event in events:
            journal.append(event)
    with FileJournal(path) as journal:
        assert journal.events() == events
    assert read_events(path) == events


def test_a_last_line_that_was_cut_is_mended(path: Path) -> None:
    path.write_text('{"event":"a"}\n{"event":"b","n":1')
    with FileJournal(path) as journal:
        assert journal.events() == [{"event": "a"}]
        journal.append({"event": "c"})
    assert path.read_text() == '{"event":"a"}\n{"event":"c"}\n'


@pytest.mark.parametrize("line", ["not JSON", "[1, 2]", '{"event": "a"', ""])
def test_a_wrong_line_is_named(path: Path, line: str) -> None:
    path.write_text(f'{{"event":"a"}}\n{line}\n{{"event":"b"}}\n')
    with pytest.raises(JournalError) as caught:
        FileJournal(path)
    assert f"{path}:2: " in str(caught.value)


def test_a_journal_has_one_writer_and_is_free_when_that_is_killed(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        with pytest.raises(HomeError, match="search 's' is running in another process"):
            FileJournal(path)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with FileJournal(path) as journal:
        assert journal.events() == [{"event": "held"}]


def test_nan_is_refused_before_it_is_written(path: Path) -> None:
    with FileJournal(path) as journal, pytest.raises(ValueError, match="JSON"):
        journal.append({"event": "a", "value": float("nan")})
    assert path.read_text() == ""
