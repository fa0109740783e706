"""A search that is killed at any moment goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import journal, last_json, metanas, numbers, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRIALS = 40
COMMAND = ("--trials", str(TRIALS), "--epochs", "1", "--final-epochs", "1", "--workers", "1")
PARTS = ("--set", "batch_size=256")


def started(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "metanas", *arguments],
        env={**os.environ, "METANAS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def processes(home: Path) -> list[str]:
    """Command lines of living processes that have to do with a home folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (entry / "status").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if str(home) in line and "State:\tZ" not in state:
            found.append(line)
    return found


def test_killed_five_times_it_ends_as_if_undisturbed(home: Path, tmp_path: Path) -> None:
    search = ("search", "digits", *COMMAND, *PARTS, "--name", "killed")
    rng = random.Random(11)
    waits = [0.9, *(rng.uniform(2, 25) for _ in range(4))]
    arguments = search
    for wait in waits:
        process = started(home, *arguments)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (home / "searches" / "killed" / "journal.jsonl").exists():
            arguments = ("resume", "killed")
    result = last_json(metanas("resume", "killed", "--json", home=home))
    assert result["trials"] == TRIALS
    assert sorted(numbers(home, "killed")) == list(range(TRIALS))

    whole = last_json(metanas(*search[:-1], "whole", "--json", home=home))
    assert whole["best"] == result["best"]

    def told(name: str) -> list[object]:
        return [
            (e["trial"]["number"], e["trial"]["status"], e["trial"]["metrics"])
            for e in journal(home, name)
            if e["event"] == "finished"
        ]

    def proposed(name: str) -> dict[int, object]:
        events = (e["proposal"] for e in journal(home, name) if e["event"] == "proposed")
        return {proposal["number"]: proposal for proposal in events}

    assert told("killed") == told("whole")
    assert proposed("killed") == proposed("whole")

    of_killed = [r for r in runs(home) if r.data.tags.get("metanas.search") == "killed"]
    keys = [run.data.tags["metanas.key"] for run in of_killed]
    assert sorted(keys) == sorted(["search", *(f"trial/{n}" for n in range(TRIALS))])
    assert {run.info.status for run in of_killed} == {"FINISHED"}

    deadline = time.monotonic() + 30
    while processes(home) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert processes(home) == []
