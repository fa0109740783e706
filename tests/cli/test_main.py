"""How a command ends: one line for what is wrong outside, a traceback for a bug."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from metanas.cli import main


class MlflowException(Exception):  # noqa: N818 - MLflow's name of it
    """Like MLflow's, which takes seconds to import."""


MlflowException.__module__ = "mlflow.exceptions"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "OSError: No space left on device"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "PermissionError: /x/y: Permission denied",
        ),
        (ConnectionError("no answer\nfrom there"), "ConnectionError: no answer from there"),
        (MlflowException("API request failed"), "MlflowException: API request failed"),
        (MemoryError(), "MemoryError: no more is known"),
    ],
)
@pytest.mark.parametrize("command", [("show", "a"), ("export", "a", "--to", "b")])
def test_what_is_wrong_outside_is_one_line(
    error: Exception,
    line: str,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising(monkeypatch, error)
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines() == [line]


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyError("best"))
    with pytest.raises(KeyError):
        main(["show", "a"])


def test_wrong_usage_is_2_and_what_a_command_refuses_1(capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    for command in (["nothing"], ["export", "a"], ["list", "nothing"]):
        with pytest.raises(SystemExit) as ended:
            main(command)
        codes.append(ended.value.code)
    assert codes == [2, 2, 1]


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr("metanas.api.home_folder", fail)
