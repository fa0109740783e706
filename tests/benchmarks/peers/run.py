"""metanas's strategies and other people's optimisers on one table, seed by seed.

Optuna, Syne Tune, SMAC3 and NePS as they are shipped, the choices given to each as plain
categories, against metanas's strategies as `metanas bench` replays them: the same table,
measure, budget and seeds 0, 1, ...; every proposal is an evaluation, also of a row that
was proposed before. `metanas.bench.scores` judges them all. The peers live in a virtual
environment of their own, which the first run makes from `requirements.txt` (7 GB); peers
are named in `peers.py`.

Run: .venv/bin/python tests/benchmarks/peers/run.py --table TABLE.parquet --target T
         [--measure COLUMN] [--trials 100] [--seeds 50] [--peers optuna-tpe smac-rf]
         [--ours surrogate local] [--workers 2] [--out FILE.jsonl] [--env FOLDER]
         [--merge FILE.jsonl ...]

A seed's rows go to --out when it is done, and what is there is not run again, unless the
peer's version or metanas's sources have changed. A process takes a block of seeds, for
about --limit seconds, on one thread; --prefix goes before its command, such as "nice".
Rows that were found on another machine are read with --merge: the peers are then not run,
and need no environment; ours are replayed here.

Prints one JSON line a case, then the means over the seeds (trials + 1 where the top 0.1 %
was not reached), then for each of --ours a table of the others' figures less its own over
the seeds that both have, with the standard error: above 0, ours is better. A peer that
fails is told with its error, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from judge import Found, records, tables
from peers import PEERS

import metanas
from metanas.bench import Replay
from metanas.bench.scores import Standing, standing
from metanas.tables import Table, load, measured_rows

HERE = Path(__file__).resolve().parent
OURS = ("surrogate", "local", "evolution", "random")
DECIDES = ("bench", "core", "measures", "models", "spaces", "strategies", "tables")
"""Packages of metanas that decide what is proposed."""


@dataclass(frozen=True)
class Case:
    """One optimiser on one table.

    Args:
        name: Of the peer or strategy.
        version: Of its package.
        command: Of the process for a block of seeds, without trials, seeds and limit.
    """

    name: str
    version: str
    command: tuple[str, ...]


class Results:
    """Lines by case and seed, appended to a file as they come; others are only read."""

    def __init__(
        self, path: Path | None, about: Mapping[str, Any], merged: Sequence[Path] = ()
    ) -> None:
        self._path, self._about, self._lock = path, dict(about), Lock()
        self._lines: dict[tuple[str, str, int], dict[str, Any]] = {}
        for each in [*merged, *([path] if path is not None and path.exists() else [])]:
            for text in each.read_text().splitlines():
                self._take(text)

    def _take(self, text: str) -> None:
        try:
            line = json.loads(text)
        except ValueError:  # the writer was killed within the line
            return
        if all(line.get(key) == value for key, value in self._about.items()):
            self._lines[line["peer"], line["version"], line["seed"]] = line

    def add(self, case: Case, found: Mapping[str, Any]) -> None:
        """A seed is done."""
        line = {**self._about, "peer": case.name, "version": case.version, **found}
        with self._lock:
            self._lines[case.name, case.version, line["seed"]] = line
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps(line) + "\n")

    def of(self, case: Case, seeds: int) -> dict[int, dict[str, Any]]:
        """A case's lines by seed, below a number of seeds."""
        found = ((seed, self._lines.get((case.name, case.version, seed))) for seed in range(seeds))
        return {seed: line for seed, line in found if line is not None}


def cases(given: argparse.Namespace, table: Path, python: str) -> list[Case]:
    """Ours, then the peers."""
    target = ("--target", given.target, "--measure", given.measure)
    ours = (sys.executable, str(HERE / "ours.py"), "--table", str(given.table), *target)
    found = [
        Case(n, f"{installed('metanas')}+{_sources()}", (*ours, "--name", n)) for n in given.ours
    ]
    for name in given.peers:
        package = PEERS[name][0]
        runs = (python if package else sys.executable, str(HERE / "peers.py"))
        about = _pins()[package] if package else ""
        found.append(Case(name, about, (*runs, "--table", str(table), "--name", name)))
    return found


def _pins() -> dict[str, str]:
    lines = (HERE / "requirements.txt").read_text().split()
    return {name: pin for name, _, pin in (line.partition("==") for line in lines)}


def _sources() -> str:
    """A digest of what decides metanas's proposals."""
    root, digest = Path(metanas.__file__).parent, hashlib.sha256()
    for package in DECIDES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def environment(folder: Path) -> str:
    """The python of the peers' environment, made or renewed where its requirements changed.

    A package that cannot be installed is told; its peers then fail with an import error.
    """
    python, wanted = folder / "bin" / "python", HERE / "requirements.txt"
    made = folder / wanted.name
    if made.exists() and made.read_text() == wanted.read_text():
        return str(python)
    if not python.exists():
        print(f"making {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if not _installed(python, ["-r", str(wanted)]):
        each = [pin for pin in wanted.read_text().split() if not _installed(python, [pin])]
        print(f"not installed: {', '.join(each) or 'all together'}", file=sys.stderr)
    else:
        shutil.copyfile(wanted, made)
    return str(python)


def _installed(python: Path, what: Sequence[str]) -> bool:
    done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", *what])
    return done.returncode == 0


def write(table: Table, column: str, of: Standing, path: Path) -> None:
    """A table as the peers read it.

    Raises:
        SystemExit: If combinations are missing: the peers cannot be told which exist.
    """
    whole = int(np.prod([len(c.options) for c in table.choices], dtype=float))
    rows = len(measured_rows(table, column))
    if rows < whole:
        raise SystemExit(
            f"{table.origin}: {column} has {rows:,} of {whole:,} combinations: the peers need all"
        )
    options = [[str(option) for option in choice.options] for choice in table.choices]
    about = {"options": options, "codes": table.codes.tolist(), "losses": (-of.values).tolist()}
    path.write_text(json.dumps(about))


def block(case: Case, seeds: Sequence[int], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A process's lines, as they come.

    Raises:
        RuntimeError: If it fails, with the last line that it wrote.
    """
    budget = (
        "--trials",
        given.trials,
        "--limit",
        given.limit,
        "--seeds",
        ",".join(map(str, seeds)),
    )
    command = [*shlex.split(given.prefix), *case.command, *map(str, budget)]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    # NePS orders the options of a choice by their hashes.
    env = {**os.environ, **threads, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile("w+", errors="replace") as told:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=told, text=True, env=env
        ) as process:
            assert process.stdout is not None
            for text in process.stdout:
                yield json.loads(text)
        if process.returncode:
            told.seek(0)
            lines = told.read().strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {process.returncode}")


def complete(case: Case, results: Results, given: argparse.Namespace) -> str:
    """Run a case's seeds that are missing; its error, "" where there was none."""
    while left := sorted(set(range(given.seeds)) - set(results.of(case, given.seeds))):
        before = len(left)
        try:
            for found in block(case, left, given):
                results.add(case, found)
                before -= 1
        except (RuntimeError, ValueError, OSError) as error:
            return str(error)
        if before == len(left):
            return "it ended without a result"
        print(f"{case.name}: {given.seeds - before} of {given.seeds}", file=sys.stderr, flush=True)
    return ""


def run_all(wanted: Sequence[Case], results: Results, given: argparse.Namespace) -> dict[str, str]:
    """The cases side by side; their errors by name."""
    with ThreadPoolExecutor(given.workers) as pool:
        errors = pool.map(lambda case: complete(case, results, given), wanted)
        return dict(zip([case.name for case in wanted], errors, strict=True))


def found(
    case: Case, results: Results, errors: Mapping[str, str], given: argparse.Namespace
) -> Found:
    """What there is of a case."""
    lines = results.of(case, given.seeds)
    rows = {seed: line["rows"] for seed, line in lines.items()}
    seconds = [line["seconds_per_suggestion"] for line in lines.values()]
    median = statistics.median(seconds) if seconds else math.nan
    error = errors.get(case.name) or ("" if rows else "no rows")
    return Found(case.name, case.version, rows, median, error)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--measure", default="")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, default=[n for n in PEERS if PEERS[n][0]]
    )
    parser.add_argument("--ours", nargs="+", default=OURS)
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--out", type=Path, help="JSON lines, appended to")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--env", type=Path, default=cache / "metanas" / "peers")
    parser.add_argument(
        "--merge", type=Path, nargs="+", default=[], help="the peers' rows, as --out keeps them"
    )
    parser.add_argument("--prefix", default="", help="before each process's command")
    parser.add_argument("--limit", type=float, default=150.0, help="seconds a process")
    given = parser.parse_args()
    for path in given.merge:
        if not path.is_file():
            parser.error(f"--merge {path}: no such file")
    return given


def main() -> int:
    """Complete every case, and compare."""
    given = arguments()
    given.table = given.table.absolute()
    table = load(str(given.table))
    task = table.task(given.target)
    column = table.measure(task, given.measure)
    objective = (
        Replay(str(given.table), given.target, given.measure, given.trials, {})
        .parts()[1]
        .metrics[0]
    )
    of = standing(table.read(column), objective, None)
    about = {"table": table.name, "target": given.target, "measure": column, "trials": given.trials}
    results = Results(given.out, about, given.merge)
    foreign = not given.merge and any(PEERS[name][0] for name in given.peers)
    python = environment(given.env.absolute()) if foreign else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.json"
        write(table, column, of, path)
        every = cases(given, path, python)
        errors = run_all(every[: len(given.ours)] if given.merge else every, results, given)
    told = records(
        of, [found(case, results, errors, given) for case in every], given.ours, given.trials
    )
    where = {"target": given.target, "trials": given.trials}
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} CPUs"}
    for record in told:
        print(json.dumps({**where, **record, **machine}))
    print(tables(told, given.ours))
    for name, error in errors.items():
        if error:
            print(f"{name} failed: {error}", file=sys.stderr)
    return int(any(errors.values()))


if __name__ == "__main__":
    sys.exit(main())
