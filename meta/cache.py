"""A file of what was computed once: one JSON object a line, for several processes at once.

A record is one line, appended in one go under a lock of the file, so two processes that
write at the same time keep both lines, and one that is killed leaves at most a cut last
line, which the next one to write ends and every reader passes over. Of two lines with one
key the first counts, so what was once read stays.

What this module does not know: what a key or a value means.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metanas.core.errors import HomeError


def digest(*parts: Any) -> str:
    """32 hexadecimal digits of anything that JSON holds, equal for equal parts."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(path: Path) -> dict[str, Any]:
    """Values by their keys; none where there is no file, lines that hold none passed over.

    Raises:
        HomeError: If the file is there and cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror}") from None
    found: dict[str, Any] = {}
    for record in filter(None, map(_parsed, lines)):
        found.setdefault(record["key"], record["value"])
    return found


def append(path: Path, values: Mapping[str, Any]) -> None:
    """Add records; the file and its folder are made where there are none.

    Raises:
        HomeError: If the file cannot be written.
    """
    if not values:
        return
    text = "".join(_lines(values.items())).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_cut(file.fileno()):
                text = b"\n" + text
            file.write(text)
    except OSError as error:
        raise HomeError(f"cannot write {path}: {error.strerror}") from None


def _lines(records: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for key, value in records:
        line = {"key": key, "value": value}
        yield json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def _is_cut(file: int) -> bool:
    """Whether the last line lacks its end."""
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("key"), str):
        return None
    return record if "value" in record else None
