"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from metanas.core.errors import ConfigError
from metanas.core.paths import expanded, whole


def test_a_home_is_written_out_and_that_of_nobody_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/here")
    assert expanded("~/x") == Path("/here/x")
    with pytest.raises(ConfigError, match="^~nobody-here/x: there is no folder '~nobody-here' her"):
        expanded("~nobody-here/x")


def test_a_whole_path_has_no_dots_and_begins_at_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert whole("..") == tmp_path
    assert whole("./b/../c") == tmp_path / "a" / "c"
