"""What is left of dead drivers is removed, and nothing else: a home may have several machines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from metanas.executors import _ray


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_sessions_of_dead_drivers_are_removed_and_living_ones_stay(tmp_path: Path) -> None:
    place = Path(os.path.realpath(_ray.short(tmp_path)))
    dead, living = (place / f"session_x_{pid}" for pid in (gone(), os.getpid()))
    dead.mkdir()
    living.mkdir()
    _ray.short(tmp_path)
    assert [dead.exists(), living.exists()] == [False, True]


@pytest.mark.parametrize("what", ["host", "boot", "container"])
def test_a_driver_of_another_machine_or_container_is_never_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    session = Path(os.path.realpath(_ray.short(tmp_path))) / f"session_x_{gone()}"
    session.mkdir()
    if what == "host":
        monkeypatch.setattr("socket.gethostname", lambda: "another")
    elif what == "boot":
        monkeypatch.setattr(_ray, "BOOT", str(tmp_path / "none"))
    else:
        monkeypatch.setattr(_ray, "CONTAINER", str(tmp_path / "none"))
    here = _ray.short(tmp_path)
    assert session.exists()
    assert Path(os.path.realpath(here)) != session.parent
