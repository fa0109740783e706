"""Running a search from its description: what is closed, and what is left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from metanas.api import SearchConfig, resume, search
from metanas.core.errors import ConfigError
from metanas.core.trial import Proposal, Report, Trial

QUICK = SearchConfig("digits", trials=2, epochs=1, final_epochs="0", executor="inline", name="one")


class Watcher:
    """A tracker that counts, and can raise like a person who stops the search."""

    def __init__(self, stop: bool = False) -> None:
        self.stop, self.closed, self.ended = stop, 0, 0

    def __call__(self, wanted: Any, past: Sequence[Trial]) -> Watcher:
        return self

    def started(self, proposal: Proposal) -> None:
        """Nothing."""

    def progress(self, number: int, report: Report) -> None:
        """Nothing."""

    def log(self, trial: Trial) -> None:
        self.ended += 1
        if self.stop:
            raise KeyboardInterrupt

    def close(self) -> None:
        self.closed += 1


def test_trackers_are_closed_however_a_search_ends(home: Path) -> None:
    stopped = Watcher(stop=True)
    with pytest.raises(KeyboardInterrupt):
        search(QUICK, home, stopped)
    assert (stopped.ended, stopped.closed) == (1, 1)
    watcher = Watcher()
    finished = resume("one", home, console=watcher)
    assert (watcher.ended, watcher.closed) == (1, 1)
    assert len(finished.result.trials) == 2


def test_a_search_leaves_its_report_but_no_export_without_a_winners_training(home: Path) -> None:
    search(QUICK, home)
    folder = home / "searches" / "one"
    assert "2 architectures were tried on digits" in (folder / "report.html").read_text()
    assert list((folder / "figures").glob("*.png"))
    assert not (folder / "export").exists()


def test_a_person_who_stops_before_anything_ran_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("metanas.api.searching.assemble", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(QUICK, home)
    assert list((home / "searches").iterdir()) == []


def test_a_resource_needs_an_executor_on_ray(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "far.py"
    file.write_text(
        "from metanas.core.objective import Objective\n"
        "far = Objective('far', '', 'min', lambda module, shape: 1.0, resource='phone')\n"
    )
    config = SearchConfig("digits", objective=(f"{file}:far",), executor="inline")
    with pytest.raises(ConfigError, match="runs in this process and cannot measure on resource"):
        search(config, home)
