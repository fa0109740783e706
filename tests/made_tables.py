"""Tables that tests write: small, odd, or large."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def described(choices: Mapping[str, Sequence[Any]], **changed: Any) -> dict[str, Any]:
    """A description with one task, `t`, whose metric is ``t.score_pct``."""
    return {
        "name": "small",
        "space": None,
        "choices": {f"choice.{name}": list(options) for name, options in choices.items()},
        "tasks": {"t": {"metric": "t.score_pct", "goal": "max"}},
        "source": "a test",
        **changed,
    }


def write(
    path: Path, about: Mapping[str, Any] | None, columns: Mapping[str, Any] | pa.Table
) -> Path:
    """A table's file; without its description where `about` is None."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    metadata = None if about is None else {"metanas.table": json.dumps(about)}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def small(path: Path, **changed: Any) -> Path:
    """Three rows of two choices with 2 x 2 combinations."""
    about = described({"a": ["x", "y"], "b": ["1", "2"]}, **changed)
    columns = {
        "choice.a": ["x", "y", "x"],
        "choice.b": ["1", "1", "2"],
        "t.score_pct": [10.0, 30.0, 20.0],
    }
    return write(path, about, columns)
