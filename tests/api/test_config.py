"""The description of a search: paths of tasks, and values of a wrong type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metanas.api import SearchConfig
from metanas.api.config import path_of
from metanas.core.errors import ConfigError


def test_a_folder_above_is_stored_and_called_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos.v1" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos.v1" / "below")
    assert path_of("..") == str(tmp_path / "photos.v1")
    assert SearchConfig("..").task_name() == "photos.v1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": "3"}, "search.trials is '3', expected a whole number"),
        ({"workers": None}, "search.workers is None, expected a whole number"),
        ({"seed": 1.5}, "search.seed is 1.5, expected a whole number"),
        ({"epochs": True}, "search.epochs is True, expected a whole number"),
        ({"max_seconds": "60"}, "search.max_seconds is '60', expected seconds or None"),
        ({"name": None}, "search.name is None, expected text"),
        ({"strategy": 3}, "search.strategy is 3, expected text"),
        ({"final_epochs": 2.5}, "search.final_epochs is 2.5, expected a number of epochs or"),
        ({"final_epochs": None}, "search.final_epochs is None, expected a number of epochs or"),
        ({"objective": (3,)}, "search.objective is \\(3,\\), expected names"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_what_is_expected(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        SearchConfig("digits", **given)


def test_epochs_of_the_winner_may_be_a_number() -> None:
    assert SearchConfig("digits", final_epochs=4).last_epochs() == 4  # type: ignore[arg-type]
