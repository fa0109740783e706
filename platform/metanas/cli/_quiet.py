"""Keeping Ray's and MLflow's chatter out of the terminal, and in a log file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class Terminal:
    """The real standard error, while descriptors 1 and 2 write to a log."""

    def __init__(self, log: Path) -> None:
        self.stream: IO[str] = os.fdopen(
            os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace"
        )
        self._log = log

    def move(self, log: Path) -> None:
        """Go on in another log, with what the first one holds."""
        with open(log, "ab", buffering=0) as target:
            target.write(self._log.read_bytes())
            redirect(target.fileno())


def redirect(descriptor: int) -> None:
    """Let standard output and error write there."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[Terminal]:
    """Send what this process and its children print to `log`; gives the real standard error.

    File descriptors are exchanged, not only Python's streams: Ray's own processes write
    to the descriptors that they inherit.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    terminal = Terminal(log)
    try:
        with open(log, "ab", buffering=0) as target:
            redirect(target.fileno())
        yield terminal
    finally:
        with contextlib.suppress(ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        for number, copy in enumerate(saved, start=1):
            os.dup2(copy, number)
            os.close(copy)
        terminal.stream.close()
