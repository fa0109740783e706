"""What a search leaves when it is over: never the export of another winner than its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metanas.api import closing
from metanas.api.config import SearchConfig
from metanas.api.searching import Finished
from metanas.core.history import Final, Result
from metanas.core.trial import Outcome, Status


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search's, with the export of an earlier winner."""
    monkeypatch.setattr(closing, "report", lambda *_: None)
    monkeypatch.setattr(closing, "export_finished", lambda *_, **__: None)
    export = tmp_path / "export"
    export.mkdir()
    (export / "recipe.json").write_text(json.dumps({"weights_sha256": "abc", "trial": 0}))
    (export / "model.py").write_text("")
    return tmp_path


def left(folder: Path, status: Status | None, weights: str = "") -> list[str]:
    """What is said when a search ends whose winner's training ended so."""
    final = None
    if status is not None:
        final = Final(1, 1, Outcome(status, {}, 1.0, "oh"), weights)
    result: Any = Result((), (), None, final)
    said: list[str] = []
    finished = Finished(SearchConfig("digits"), result, (), 1.0, "", folder / "log.txt")
    closing.leave(finished, folder, folder, said.append)
    return said


def test_an_earlier_winners_export_goes_where_the_new_ones_training_fails(folder: Path) -> None:
    said = left(folder, "timed_out")
    assert not (folder / "export").exists()
    assert said == [f"removed {folder / 'export'}, an earlier winner's: training trial 1 timed out"]
    assert left(folder, "timed_out") == []


@pytest.mark.parametrize(("status", "weights"), [(None, ""), ("completed", "def")])
def test_an_export_stays_where_its_winner_may_still_be_the_one(
    folder: Path, status: Status | None, weights: str
) -> None:
    assert left(folder, status, weights) == []
    assert (folder / "export" / "model.py").exists()


@pytest.mark.parametrize("other", ["beside", "recipe", "link"])
def test_what_no_export_wrote_is_never_removed(folder: Path, other: str) -> None:
    export = folder / "export"
    if other == "beside":
        (export / "notes.txt").write_text("mine")
    elif other == "recipe":
        (export / "recipe.json").write_text("{}")
    else:
        export.rename(folder / "elsewhere")
        export.symlink_to(folder / "elsewhere")
    before = sorted(path.name for path in export.iterdir())
    said = left(folder, "crashed")
    assert sorted(path.name for path in export.iterdir()) == before
    assert said == [
        f"no export of the winner: {export} holds what no export wrote, and is left as it is"
    ]
