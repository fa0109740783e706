"""A row of experience: its schema, how one is made, and what makes one broken.

A row is one finished trial. Numbers are Arrow's own; what differs from space to space
(choices, settings, the task's fingerprint) is JSON text with sorted keys. Nothing is ever
unpickled.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metanas.core.trial import STATUSES

SCHEMA_VERSION = 1
VERSION_KEY = b"metanas.experience"
OURS = "metanas"
"""The origin of rows that metanas wrote; others are ``import:<mapping>``."""

METRICS = pa.map_(pa.string(), pa.float64())
SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # one row each: the search's id and the trial's number
        ("origin", pa.string()),
        ("tracking", pa.string()),  # which server it was read from
        ("experiment", pa.string()),
        ("run_id", pa.string()),
        ("parent_run", pa.string()),
        ("task", pa.string()),
        ("kind", pa.string()),  # of the task
        ("fingerprint", pa.string()),  # of the task, JSON, or ""
        ("space", pa.string()),
        ("architecture", pa.string()),  # choices by name, JSON
        ("architecture_id", pa.string()),
        ("status", pa.string()),
        ("cached", pa.bool_()),
        ("metrics", METRICS),  # at the end
        ("curve", pa.list_(pa.struct([("epoch", pa.int32()), ("metrics", METRICS)]))),
        ("objective", pa.string()),  # the deciding one
        ("goal", pa.string()),  # max, min, or "" where nobody wrote it down
        ("seed", pa.int64()),
        ("epochs", pa.int32()),
        ("settings", pa.string()),  # JSON
        ("seconds", pa.float64()),
        ("search", pa.string()),
        ("search_id", pa.string()),
        ("number", pa.int32()),
        ("parent_trial", pa.int32()),
        ("strategy", pa.string()),
        ("version", pa.string()),  # of metanas
        ("time_s", pa.float64()),  # when it ended
    ],
    metadata={VERSION_KEY: str(SCHEMA_VERSION)},
)
COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)
JSON_COLUMNS = ("architecture", "settings", "fingerprint")
GOALS = ("max", "min", "")

Row = dict[str, Any]


def text_of(values: Mapping[str, Any]) -> str:
    """JSON with sorted keys: equal texts for equal values."""
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"), allow_nan=False)


def row_of(facts: Mapping[str, Any]) -> Row:
    """A whole row; what is not given is empty.

    Args:
        facts: By column. Metrics are mappings, the curve is a sequence of (epoch, metrics).

    Raises:
        ValueError: If a number is not finite, or a status or goal is unknown.
        KeyError, TypeError: If what every row has is not there.
    """
    row: Row = {name: "" if SCHEMA.field(name).type == pa.string() else None for name in COLUMNS}
    row |= {"cached": False, "fingerprint": "", "settings": "{}", "seconds": 0.0} | dict(facts)
    if row["status"] not in STATUSES:
        raise ValueError(f"status {row['status']!r}")
    if row["goal"] not in GOALS:
        raise ValueError(f"goal {row['goal']!r}")
    row["metrics"] = _pairs(facts["metrics"])
    row["curve"] = [
        {"epoch": int(epoch), "metrics": _pairs(metrics)} for epoch, metrics in facts["curve"]
    ]
    for name in ("seconds", "time_s"):
        if not math.isfinite(row[name]):
            raise ValueError(f"{name} is {row[name]}")
    return row


def _pairs(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    pairs = [(str(name), float(value)) for name, value in metrics.items()]
    for name, value in pairs:
        if not finite(value):
            raise ValueError(f"metric {name} is {value}")
    return pairs


def finite(value: float) -> bool:
    """Whether it is a number: MLflow stores infinity as the largest float that there is."""
    return math.isfinite(value) and abs(value) < sys.float_info.max


def table_of(rows: Sequence[Row]) -> Any:
    """Rows as an Arrow table of the schema.

    Raises:
        pyarrow.ArrowException: If a number has no place in its column.
    """
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def sound(batch: Any) -> Any:
    """Which rows of a batch can be used: a boolean Arrow array, as far as its columns tell.

    A row is broken where a number is not finite, JSON is none, or a status is unknown.
    """
    good = np.ones(batch.num_rows, dtype=bool)
    for name in batch.schema.names:
        column = batch.column(name)
        if name in JSON_COLUMNS:
            good &= _holds_json(column, empty=name == "fingerprint")
        elif name == "metrics":
            good &= _finite_maps(column)
        elif name == "curve":
            good &= _finite_curves(column)
        elif name in ("status", "goal"):
            good &= _among(column, STATUSES if name == "status" else GOALS)
        elif name in ("seconds", "time_s"):
            good &= pc.fill_null(pc.is_finite(column), False).to_numpy(zero_copy_only=False)
    return pa.array(good)


def _among(column: Any, known: Iterable[str]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(column, pa.array(list(known))).to_numpy(
        zero_copy_only=False
    )
    return found


def _holds_json(column: Any, *, empty: bool) -> npt.NDArray[np.bool_]:
    """Whether each text is a JSON object; a text that many rows share is read once."""
    coded = column.dictionary_encode()
    texts = coded.dictionary.to_pylist()
    sound_texts = np.array([is_object(text) or (empty and not text) for text in texts])
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    return np.asarray(np.append(sound_texts, False)[codes], dtype=np.bool_)


def is_object(text: str) -> bool:
    """Whether a text is a JSON object of finite numbers."""
    try:
        return isinstance(json.loads(text, parse_constant=_refused), dict)
    except (ValueError, RecursionError):
        return False


def _refused(constant: str) -> None:
    raise ValueError(constant)


def _finite_maps(column: Any) -> npt.NDArray[np.bool_]:
    """Whether all numbers of each map are finite; a row without a map is broken."""
    values = column.items.to_numpy(zero_copy_only=False)
    bad = ~(np.abs(values) < sys.float_info.max)  # NaN compares as false
    return _none_in(column.offsets, bad) & _valid(column)


def _finite_curves(column: Any) -> npt.NDArray[np.bool_]:
    bad = ~_finite_maps(column.values.field("metrics"))
    return _none_in(column.offsets, bad) & _valid(column)


def _valid(column: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _none_in(offsets: Any, bad: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """For each stretch of a list's values, whether none of them is bad."""
    before = np.concatenate([[0], np.cumsum(bad)])
    found: npt.NDArray[np.bool_] = np.diff(before[offsets.to_numpy()]) == 0
    return found
