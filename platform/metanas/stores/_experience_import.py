"""Runs that metanas did not write, brought into the experience through a mapping."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, unknown
from metanas.core.trial import Status
from metanas.stores._experience_manifest import FOLDER, locked, read_or_begin
from metanas.stores._experience_mapping import Mapped
from metanas.stores._experience_parts import Writer
from metanas.stores._experience_reader import Origin, Reader
from metanas.stores._experience_rows import Row, finite, row_of, text_of
from metanas.stores._experience_sync import Held

PREFIX = "import:"
ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Args:
        rows: Runs that are experience now.
        removed: Rows of an earlier import by the same mapping whose runs no longer fit.
        left_out: Runs that do not fit, by reason.
        total: Rows there are now, of all origins.
    """

    rows: int
    removed: int
    left_out: Mapping[str, int]
    total: int


class _UnfitError(ValueError):
    """A run that the mapping leaves out, with the reason."""


def import_runs(
    home: Path, origin: Origin, mapped: Mapped, say: Callable[[str], None] = lambda _: None
) -> Imported:
    """Bring the runs that a mapping names into the experience.

    What an import by a mapping of the same name brought before is replaced.

    Raises:
        ConfigError: If there is no such experiment.
        HomeError: If the server does not answer or refuses the filter, or the folder cannot be
            written.
    """
    folder = home / FOLDER
    with locked(folder, say):
        manifest, _ = read_or_begin(folder, say)
        held = Held.read(folder, manifest, origin.name)
        writer = Writer(folder, manifest)
        left_out: Counter[str] = Counter()
        reader = Reader(origin, home)
        for run in reader.runs(mapped.where, experiments=(_experiment(reader, mapped),)):
            try:
                writer.add(_row(run, mapped, reader))
            except ValueError as error:  # a SpaceError is one too
                left_out[" ".join(str(error).split())[:160]] += 1
        before = {key for key, name in held.origins.items() if name == PREFIX + mapped.name}
        after = writer.commit(before, manifest.servers)
    if writer.refused:
        left_out["a number or text has no place in its column"] += writer.refused
    total = sum(part.rows for part in after.parts)
    rows = len(writer.keys) - writer.refused
    return Imported(rows, len(before - writer.keys), dict(left_out), total)


def _experiment(reader: Reader, mapped: Mapped) -> str:
    for number, name in reader.experiments.items():
        if name == mapped.experiment:
            return number
    names = reader.experiments.values()
    raise ConfigError(f"no experiment '{mapped.experiment}'{unknown(mapped.experiment, names)}")


def _row(run: Any, mapped: Mapped, reader: Reader) -> Row:
    if "metanas.key" in run.data.tags:
        raise _UnfitError("metanas wrote it: `metanas experience sync` reads it")
    if run.info.status not in ENDED:
        raise _UnfitError("it has not ended")
    try:
        values = mapped.values_of(run.data.params)
    except KeyError as error:
        raise _UnfitError(f"param {error} is missing") from None
    status, metrics = _result(run, mapped)
    epochs = _whole(run, mapped.epochs)
    return row_of(
        {
            "key": f"{mapped.task}:{run.info.run_id}",
            "origin": PREFIX + mapped.name,
            "tracking": reader.origin.name,
            "experiment": mapped.experiment,
            "run_id": run.info.run_id,
            "parent_run": run.data.tags.get("mlflow.parentRunId", ""),
            "task": mapped.task,
            "space": "" if mapped.space is None else mapped.space.name,
            "architecture": text_of(values),
            "architecture_id": mapped.id_of(values),
            "status": status,
            "metrics": metrics,
            "curve": [(epochs, metrics)] if epochs and metrics else [],
            "objective": mapped.objective,
            "goal": mapped.goal,
            "seed": _whole(run, mapped.seed),
            "epochs": epochs,
            "seconds": _seconds(run, mapped),
            "time_s": (run.info.end_time or run.info.start_time or 0) / 1000,
        }
    )


def _result(run: Any, mapped: Mapped) -> tuple[Status, dict[str, float]]:
    """How a run ended, and its finite metrics, the deciding one under its name here."""
    metrics = dict(run.data.metrics)
    value = metrics.pop(mapped.metric, None)
    if value is not None:
        metrics[mapped.objective] = value
    kept = {name: number for name, number in metrics.items() if finite(number)}
    if run.info.status != "FINISHED":
        return "crashed", kept
    if value is None:
        raise _UnfitError(f"metric '{mapped.metric}' is missing")
    return ("completed" if finite(value) else "diverged"), kept


def _whole(run: Any, param: str) -> int | None:
    """A param that is a whole number; None where the mapping names none."""
    if not param:
        return None
    text = run.data.params.get(param, "")
    try:
        value = float(text)
        if value != int(value):
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise _UnfitError(f"param '{param}' is '{text}', expected a whole number") from None
    return int(value)


def _seconds(run: Any, mapped: Mapped) -> float:
    """What it cost: as a metric says, else from its start to its end."""
    if not mapped.cost:
        start, end = run.info.start_time or 0, run.info.end_time or 0
        return max(0.0, (end - start) / 1000)
    value = run.data.metrics.get(mapped.cost, math.nan)
    if not finite(value):
        raise _UnfitError(f"metric '{mapped.cost}' is {'missing' if math.isnan(value) else value}")
    return float(value)
