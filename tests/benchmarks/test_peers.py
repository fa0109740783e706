"""The plumbing of the comparison with other packages, without them."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_tables import described, small, write

FOLDER = Path(__file__).parent / "peers"
sys.path.insert(0, str(FOLDER))
import judge  # noqa: E402
import peers  # noqa: E402
import run  # noqa: E402

OPTIONS = {"a": ["x", "y", "z"], "b": ["1", "2", "3", "4"]}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve rows, which hold all combinations; less of `loss` is better."""
    rows = list(itertools.product(*OPTIONS.values()))
    about = described(OPTIONS)
    about["tasks"]["u"] = {"metric": "u.loss", "goal": "min"}
    values = [float((5 * at) % 12) for at in range(len(rows))]
    columns = {
        "choice.a": [a for a, _ in rows],
        "choice.b": [b for _, b in rows],
        "t.score_pct": values,
        "u.loss": values,
    }
    return write(tmp_path / "whole.parquet", about, columns)


def compare(table: Path, *more: str) -> subprocess.CompletedProcess[str]:
    base = ("--table", table, "--target", "t", "--trials", "6", "--seeds", "3", "--ours", "random")
    command = [sys.executable, FOLDER / "run.py", *base, "--workers", "1", *more]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def records(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["peer"]: line for line in lines}


@pytest.mark.slow
def test_every_seed_of_every_case_is_kept_and_not_run_again(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    more = ("--peers", "plain-random", "--out", str(out))
    first = compare(table, *more)
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted((line["peer"], line["seed"]) for line in lines) == [
        (name, seed) for name in ("plain-random", "random") for seed in range(3)
    ]
    assert all(len(line["rows"]) == 6 for line in lines)
    kept = out.read_text()
    out.write_text(kept + '{"peer": "plain-ran')  # killed while it wrote
    again = compare(table, *more)
    assert again.stdout == first.stdout
    assert out.read_text() == kept + '{"peer": "plain-ran'


@pytest.mark.slow
def test_ours_are_judged_as_metanas_bench_judges_them(table: Path, tmp_path: Path) -> None:
    found = records(compare(table, "--peers", "plain-random"))
    command = ["metanas", "bench", table, "--target", "t", "--strategy", "random", "--trials", "6"]
    where = ["--seeds", "3", "--workers", "1", "--home", tmp_path / "home", "--json"]
    words = [str(word) for word in (sys.executable, "-m", *command, *where)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    bench = json.loads(done.stdout)["strategies"]["random"]
    del bench["seconds_per_suggestion"], bench["test_of_pick"]
    assert {key: found["random"][key] for key in bench} == bench
    less = found["plain-random"]["less"]["random"]
    assert less.keys() == {"seeds", *judge.FIGURES}
    assert less["seeds"] == 3


@pytest.mark.slow
def test_a_peer_that_fails_is_told_with_its_error(table: Path, tmp_path: Path) -> None:
    bare = tmp_path / "env"
    (bare / "bin").mkdir(parents=True)
    python = bare / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # has no packages
    python.chmod(0o755)
    shutil.copyfile(FOLDER / "requirements.txt", bare / "requirements.txt")
    done = compare(table, "--peers", "syne-tune-rea", "plain-random", "--env", str(bare))
    assert done.returncode == 1
    assert "syne-tune-rea failed: ModuleNotFoundError: No module named 'syne_tune'" in done.stderr
    found = records(done)
    assert "syne_tune" in found["syne-tune-rea"]["error"]
    assert found["plain-random"]["seeds"] == [0, 1, 2]


def test_rows_from_another_machine_are_compared_without_the_peers(
    table: Path, tmp_path: Path
) -> None:
    brought, rows = tmp_path / "brought.jsonl", list(range(6))
    of = {"table": "small", "target": "t", "measure": "t.score_pct", "trials": 6}
    line = {"peer": "optuna-gp", "version": run._pins()["optuna"], "rows": rows}
    lines = [{**of, **line, "seed": seed, "seconds_per_suggestion": 0.1} for seed in (0, 2)]
    lines.append({**lines[0], "target": "u", "seed": 1})
    brought.write_text("".join(json.dumps(each) + "\n" for each in lines))
    kept = brought.read_text()
    done = compare(table, "--merge", str(brought), "--env", str(tmp_path / "none"))
    assert done.returncode == 0, done.stderr
    assert brought.read_text() == kept
    assert not (tmp_path / "none").exists()
    found = records(done)
    assert found["random"]["seeds"] == [0, 1, 2]
    assert found["optuna-gp"]["seeds"] == [0, 2]
    assert found["optuna-gp"]["less"]["random"]["seeds"] == 2
    assert found["optuna-tpe"]["error"] == "no rows"
    shown = [row.split() for row in done.stdout.splitlines()]
    assert ["less", "random", "pairs", *" ".join(judge.FIGURES).split()] in shown
    assert any(row[:2] == ["optuna-gp", "2"] and "±" in row for row in shown)


def test_a_file_to_merge_that_is_not_there_is_told(table: Path) -> None:
    done = compare(table, "--merge", "away.jsonl")
    assert done.returncode == 2
    assert "--merge away.jsonl: no such file" in done.stderr


def test_peers_lose_what_a_measure_is_worth_by_its_goal(table: Path, tmp_path: Path) -> None:
    from metanas.core.objective import Objective
    from metanas.tables import load

    loaded, path = load(str(table)), tmp_path / "table.json"
    for column, goal, sign in (("t.score_pct", "max", -1), ("u.loss", "min", 1)):
        values = loaded.read(column)
        of = run.standing(values, Objective("m", "", goal), None)
        run.write(loaded, column, of, path)
        known = peers.read(path)
        assert known.losses == (sign * values).tolist()
        assert known.rows["y", "3"] == 6


def test_a_peer_is_sent_the_loss_of_each_row_that_it_proposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[float] = []

    def fixed(options: Sequence[Sequence[str]], trials: int, seed: int) -> peers.Search:
        for option in ("y", "x", "x", "y"):
            sent.append((yield [option]))

    monkeypatch.setitem(peers.PEERS, "fixed", ("", fixed))
    known = peers.Table([["x", "y"]], {("x",): 0, ("y",): 1}, [-1.0, -2.0])
    assert peers.replay("fixed", known, 4, 0)["rows"] == [1, 0, 0, 1]
    assert sent == [-2.0, -1.0, -1.0]


def test_differences_are_paired_over_the_seeds_that_both_have() -> None:
    ours = {seed: np.full(3, float(seed)) for seed in range(5)}
    theirs = {seed: np.full(3, 2.0 * seed) for seed in (1, 3, 7)}
    mean, error = judge.compared(ours, theirs)[0]
    assert (mean, error) == (2.0, 1.0)


def test_a_table_with_missing_combinations_is_refused(tmp_path: Path) -> None:
    done = compare(small(tmp_path / "small.parquet"), "--peers", "plain-random")
    assert done.returncode == 1
    assert "t.score_pct has 3 of 4 combinations: the peers need all" in done.stderr


def test_every_peer_has_a_pinned_package() -> None:
    assert {package for package, _ in peers.PEERS.values()} - {""} <= run._pins().keys()
