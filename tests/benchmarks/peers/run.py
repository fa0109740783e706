"""metanas's strategies and other people's optimisers on one table, seed by seed.

Optuna, Syne Tune, SMAC3 and NePS as they are shipped, the choices given to each as plain
categories, against metanas's strategies as `metanas bench` replays them: the same table,
measure, budget and seeds 0, 1, ...; every proposal is an evaluation, also of a row that
was proposed before. `metanas.bench.scores` judges them all. The peers live in a virtual
environment of their own, which the first run makes from `requirements.txt` (7 GB); peers
are named in `peers.py`.

Run: .venv/bin/python tests/benchmarks/peers/run.py --table TABLE.parquet --target T
         [--measure COLUMN] [--trials 100] [--seeds 50] [--peers optuna-tpe smac-rf]
         [--ours evolution local] [--workers 2] [--out FILE.jsonl] [--env FOLDER]

A seed's rows go to --out when it is done, and what is there is not run again, unless the
peer's version or metanas's sources have changed. A process takes a block of seeds, for
about --limit seconds, on one thread; --prefix goes before its command, such as "nice".
Prints one JSON line a case, then a table: the mean over the seeds (trials + 1 where the
top 0.1 % was not reached), and a case's less that of the first of --ours over the seeds
that both have, with its standard error: above 0, ours is better. A peer that fails is
told with its error, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
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
from peers import PEERS

import metanas
from metanas.bench import Replay
from metanas.bench.scores import Floats, Standing, scores, so_far, standing
from metanas.tables import Table, load, measured_rows

HERE = Path(__file__).resolve().parent
FIGURES = ("top 0.1 %", "regret 25", "regret 50")
OURS = ("evolution", "local", "random")
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
    """Lines by case and seed, appended to a file as they come."""

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._path, self._about, self._lock = path, dict(about), Lock()
        self._lines: dict[tuple[str, str, int], dict[str, Any]] = {}
        if path is not None and path.exists():
            for text in path.read_text().splitlines():
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


def figures(of: Standing, rows: Sequence[Sequence[int]], trials: int) -> Floats:
    """``[s, 3]``: of each seed, the evaluations to the top 0.1 %, and the regret after 25 and 50."""
    each = [scores(of, [seed], trials) for seed in rows]
    regrets = of.regret(so_far(of, rows, trials))
    at = [regrets[:, k - 1] if k <= trials else np.full(len(rows), np.nan) for k in (25, 50)]
    return np.stack([[e["evaluations_to_top_0.1pct"]["mean"] for e in each], *at], axis=1)


def compared(ours: Mapping[int, Floats], theirs: Mapping[int, Floats]) -> list[tuple[float, float]]:
    """Theirs less ours over the seeds of both, and its standard error, by figure."""
    both = sorted(ours.keys() & theirs.keys())
    if len(both) < 2:
        return [(float("nan"), float("nan"))] * len(FIGURES)
    less = np.stack([theirs[seed] - ours[seed] for seed in both])
    error = less.std(axis=0, ddof=1) / np.sqrt(len(both))
    return [(float(m), float(e)) for m, e in zip(less.mean(axis=0), error, strict=True)]


def report(
    of: Standing,
    found: Sequence[Case],
    results: Results,
    errors: Mapping[str, str],
    given: argparse.Namespace,
) -> None:
    """A JSON line a case, and the table."""
    first: dict[int, Floats] = {}
    shown = [("", "seeds", *FIGURES, *(f"{f}, less {found[0].name}" for f in FIGURES), "ms")]
    for case in found:
        lines = results.of(case, given.seeds)
        rows = [line["rows"] for line in lines.values()]
        error = {"error": errors[case.name]} if errors.get(case.name) else {}
        head = {"peer": case.name, "version": case.version, "seeds": sorted(lines), **error}
        if not rows:
            print(json.dumps(head))
            shown.append((case.name, "0", errors.get(case.name) or "nothing yet"))
            continue
        each = figures(of, rows, given.trials)
        by_seed = dict(zip(lines, each, strict=True))
        first = by_seed if case is found[0] else first
        less = compared(first, by_seed) if case is not found[0] else []
        seconds = float(np.median([line["seconds_per_suggestion"] for line in lines.values()]))
        paired = {
            f: {"mean": m, "standard_error": e} for f, (m, e) in zip(FIGURES, less, strict=False)
        }
        whole = {
            "target": given.target,
            "trials": given.trials,
            **head,
            **scores(of, rows, given.trials),
        }
        machine = {"machine": f"{platform.machine()}, {os.cpu_count()} CPUs"}
        print(
            json.dumps({**whole, "seconds_per_suggestion": seconds, "less_ours": paired, **machine})
        )
        means = [f"{each[:, 0].mean():.1f}", *(f"{m:.4f}" for m in each[:, 1:].mean(axis=0))]
        marks = [
            f"{m:+.1f} ± {e:.1f}" if i == 0 else f"{m:+.4f} ± {e:.4f}"
            for i, (m, e) in enumerate(less)
        ]
        tail = [*(marks or ["-"] * 3), f"{1000 * seconds:.1f}", *error.values()]
        shown.append((case.name, str(len(rows)), *means, *tail))
    widths = [max(len(row[at]) for row in shown if len(row) > 3) for at in range(len(shown[0]))]
    for row in shown:
        print(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=False)
            ).rstrip()
        )


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
    parser.add_argument("--prefix", default="", help="before each process's command")
    parser.add_argument("--limit", type=float, default=150.0, help="seconds a process")
    return parser.parse_args()


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
    results = Results(given.out, about)
    foreign = any(PEERS[name][0] for name in given.peers)
    python = environment(given.env.absolute()) if foreign else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.json"
        write(table, column, of, path)
        found = cases(given, path, python)
        with ThreadPoolExecutor(given.workers) as pool:
            errors = dict(
                zip(
                    [c.name for c in found],
                    pool.map(lambda c: complete(c, results, given), found),
                    strict=True,
                )
            )
    report(of, found, results, errors, given)
    for name, error in errors.items():
        if error:
            print(f"{name} failed: {error}", file=sys.stderr)
    return int(any(errors.values()))


if __name__ == "__main__":
    sys.exit(main())
