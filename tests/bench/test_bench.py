"""Benches from end to end, on small tables and on the published ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import SHARED
from made_tables import described, small, write
from metanas.bench import Replay, bench, references
from metanas.cli.bench import COMMAND
from metanas.core.errors import ConfigError, DataError, MetanasError
from metanas.executors.inline import Inline

NASBENCH201 = SHARED / "tables" / "nasbench201.parquet"
needs_tables = pytest.mark.skipif(not NASBENCH201.exists(), reason="needs ../shared/tables")

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command in this process; its JSON."""

    def called(*arguments: str) -> dict[str, Any]:
        given = [*arguments, "--home", str(tmp_path / "home"), "--json"]
        result = CliRunner().invoke(COMMAND, given, catch_exceptions=False, standalone_mode=False)
        found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return found

    return called


def untimed(record: dict[str, Any]) -> dict[str, Any]:
    for found in record["strategies"].values():
        assert found.pop("seconds_per_suggestion") >= 0
    return record


def plain(path: Path, **changed: Any) -> str:
    """64 rows of three choices, worth the sum of their options."""
    about = described({name: ["0", "1", "2", "3"] for name in "abc"}, **changed)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    columns: dict[str, Any] = {
        f"choice.{name}": grid[:, at].astype(str) for at, name in enumerate("abc")
    }
    columns["t.score_pct"] = grid.sum(axis=1).astype(float)
    return str(write(path, about, columns))


def test_the_record_has_all_that_it_promises(run: Run, tmp_path: Path) -> None:
    table = plain(tmp_path / "t.parquet")
    record = run(table, "--target", "t", "--strategy", "random", "--seeds", "3", "--workers", "1")
    about = {key: record[key] for key in ("table", "target", "measure", "sources")}
    assert about == {"table": "small", "target": "t", "measure": "t.score_pct", "sources": []}
    assert (record["trials"], record["seeds"], list(record["strategies"])) == (100, 3, ["random"])
    found = record["strategies"]["random"]
    assert set(found) == {
        "evaluations_to_top_0.1pct",
        "evaluations_to_best",
        "normalized_regret",
        "normalized_regret_by_seed",
        "mean_rank",
        "test_of_pick",
        "seconds_per_suggestion",
    }
    assert len(found["normalized_regret_by_seed"]["100"]) == 3
    (picture,) = (tmp_path / "home" / "bench").iterdir()
    assert picture.name == "t-t-random-100-3.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_proposal_counts_also_of_a_row_that_was_proposed_before(tmp_path: Path) -> None:
    replay = Replay(str(small(tmp_path / "t.parquet")), "t", "", 40, references(["random"], []))
    rows = bench(replay, 2, Inline(), 1).rows["random"]
    assert [len(seed) for seed in rows] == [40, 40]
    assert {row for seed in rows for row in seed} == {0, 1, 2}


def test_rows_of_one_network_keep_their_own_values(tmp_path: Path) -> None:
    """Two cells that are one network are two rows, and their results differ."""
    names = ("e01", "e02", "e12", "e03", "e13", "e23")
    same = [("none",) * 6, ("none", "none", "none", "none", "none", "nor_conv_3x3")]
    columns: dict[str, Any] = {
        f"choice.{name}": [cell[at] for cell in same] for at, name in enumerate(names)
    }
    columns["t.score_pct"] = [1.0, 2.0]
    operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    about = described(dict.fromkeys(names, operations), space="nasbench201")
    path = str(write(tmp_path / "t.parquet", about, columns))
    replay = Replay(path, "t", "", 30, references(["random"], []))
    assert set(bench(replay, 1, Inline(), 1).rows["random"][0]) == {0, 1}


def test_a_table_that_has_changed_is_benched_anew(run: Run, tmp_path: Path) -> None:
    path, given = tmp_path / "t.parquet", ["--target", "t", "--strategy", "random"]
    run(str(small(path)), *given, "--seeds", "1", "--workers", "1")
    columns = {"choice.a": ["p", "q"], "t.score_pct": [1.0, 2.0]}
    write(path, described({"a": ["p", "q"]}), columns)
    record = run(str(path), *given, "--seeds", "1", "--workers", "1")
    assert record["strategies"]["random"]["evaluations_to_best"]["reached"] == 1.0


def test_costs_that_nobody_wrote_down_stop_nothing(run: Run, tmp_path: Path) -> None:
    about = described({"a": ["x", "y"]})
    about["tasks"]["t"]["cost_s"] = "t.train_time_s"
    columns = {"choice.a": ["x", "y"], "t.score_pct": [1.0, 2.0], "t.train_time_s": [None, -1.0]}
    path = str(write(tmp_path / "t.parquet", about, columns))
    record = run(path, "--target", "t", "--strategy", "random", "--seeds", "2", "--workers", "1")
    assert record["strategies"]["random"]["evaluations_to_best"]["reached"] == 1.0


def test_evolution_beats_random_where_every_choice_adds_its_part(run: Run, tmp_path: Path) -> None:
    options = ["--strategy", "evolution", "--strategy", "random", "--workers", "1"]
    record = run(plain(tmp_path / "t.parquet"), "--target", "t", *options, "--seeds", "20")
    found = record["strategies"]
    mean = {name: found[name]["evaluations_to_best"]["mean"] for name in found}
    assert mean["evolution"] < mean["random"]


def test_a_table_of_one_row_is_solved_at_once(run: Run, tmp_path: Path) -> None:
    columns = {"choice.a": ["x"], "t.score_pct": [1.0]}
    path = str(write(tmp_path / "t.parquet", described({"a": ["x"]}), columns))
    record = run(path, "--target", "t", "--seeds", "2", "--workers", "1")
    assert list(record["strategies"]) == ["surrogate", "evolution", "local", "random"]
    for found in record["strategies"].values():
        assert found["evaluations_to_best"] == {"median": 1.0, "mean": 1.0, "reached": 1.0}
        assert found["normalized_regret"]["100"] == 0.0


def test_less_is_better_of_a_metric_to_minimise(run: Run, tmp_path: Path) -> None:
    path = plain(tmp_path / "t.parquet", tasks={"t": {"metric": "t.score_pct", "goal": "min"}})
    record = run(path, "--target", "t", "--strategy", "local", "--seeds", "9", "--workers", "1")
    assert record["strategies"]["local"]["evaluations_to_best"]["median"] < 30


OWN = """
from metanas.core.space import Architecture, check
from metanas.core.trial import Proposal


class Own:
    def __init__(self, context, *, fails=False, broken=False, strays=False):
        self.context, self.fails, self.strays = context, fails, strays
        if broken:
            raise KeyError("at once")

    def ask(self, number, pending):
        if self.fails and number == 3:
            raise KeyError("in the middle")
        if self.strays:
            return Proposal(number, Architecture(self.context.space, {"a": "y", "b": "2"}), 1)
        options = {c.name: c.options[number % len(c.options)] for c in self.context.space.choices}
        return Proposal(number, check(self.context.space, options), self.context.epochs)

    def tell(self, trial):
        pass
"""


def test_a_users_own_strategy_is_compared(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    own = ["--strategy", f"{tmp_path}/own.py:Own", "--seeds", "2", "--workers", "1"]
    table = plain(tmp_path / "t.parquet")
    record = run(table, "--target", "t", *own)
    assert record["strategies"]["Own"]["evaluations_to_best"]["median"] == 4.0
    with pytest.raises(ConfigError, match="strategy 'Own' fails with seed 0: KeyError"):
        run(table, "--target", "t", *own, "--set", "Own.fails=true")
    with pytest.raises(ConfigError, match="strategy 'Own' cannot begin: KeyError"):
        run(table, "--target", "t", *own, "--set", "Own.broken=true")


def test_a_strategy_is_compared_with_itself_under_other_options(run: Run, tmp_path: Path) -> None:
    table = plain(tmp_path / "t.parquet")
    given = ["--target", "t", "--seeds", "3", "--trials", "30", "--workers", "1"]
    twice = ["--strategy", "evolution", "--strategy", "evolution5=evolution"]
    both = run(table, *given, *twice, "--set", "evolution5.population=5")
    alone = run(table, *given, "--strategy", "evolution", "--set", "evolution.population=5")
    assert list(both["strategies"]) == ["evolution", "evolution5"]
    figures = untimed(both)["strategies"]
    assert figures["evolution5"] == untimed(alone)["strategies"]["evolution"]
    assert figures["evolution5"] != figures["evolution"]


def test_files_whose_strategies_share_a_name_need_labels(run: Run, tmp_path: Path) -> None:
    files = [tmp_path / name / "own.py" for name in ("a", "b=c")]
    for file in files:
        file.parent.mkdir()
        file.write_text(OWN)
    table = plain(tmp_path / "t.parquet")
    given = ["--target", "t", "--seeds", "1", "--trials", "5", "--workers", "1"]
    one, other = (f"{file}:Own" for file in files)
    message = f"{one} and {other} are both 'Own'; give one a label of its own: LABEL={other}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(table, *given, "--strategy", one, "--strategy", other)
    record = run(table, *given, "--strategy", one, "--strategy", f"own-2={other}")
    assert list(record["strategies"]) == ["Own", "own-2"]


def test_a_proposal_that_is_no_row_is_refused_and_not_counted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    own = ["--strategy", f"{tmp_path}/own.py:Own", "--seeds", "1", "--workers", "1"]
    with pytest.raises(ConfigError, match="proposal 0 is no row of the table"):
        run(str(small(tmp_path / "t.parquet")), "--target", "t", *own, "--set", "Own.strays=true")


REFUSED = {
    "sources": (["--sources", "u"], ConfigError, "--sources names 'u'"),
    "task": (["--target", "u"], DataError, "no task 'u'"),
    "measure": (["--measure", "speed"], DataError, "no column 'speed'"),
    "strategy": (["--strategy", "rondom"], MetanasError, "did you mean 'random'"),
    "twice": (["--strategy", "random", "--strategy", "random"], ConfigError, "one twice"),
    "seeds": (["--seeds", "0"], ConfigError, "0 seeds"),
    "option": (["--set", "random.speed=3"], MetanasError, "speed"),
    "owner": (["--set", "nobody.speed=3"], ConfigError, "no strategy 'nobody'"),
    "workers": (["--workers", "-1"], ConfigError, "--workers is -1"),
    "picture": (["--picture", "/proc/no/picture.png"], ConfigError, "--picture"),
    "kind of picture": (["--picture", "picture.pdf"], ConfigError, r"ends in \.png"),
    "label": (["--strategy", "random", "--strategy", "random=local"], ConfigError, "both 'random'"),
    "labelled": (["--strategy", "one=rondom"], MetanasError, "did you mean 'random'"),
    "no label": (["--strategy", "=random"], MetanasError, "no '=random'"),
    "whose option": (["--set", "speed=3"], ConfigError, r"of which strategy\? random"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(run: Run, tmp_path: Path, what: str) -> None:
    given, kind, message = REFUSED[what]
    named = ["--strategy", "random"] if "--strategy" not in given else []
    workers = ["--workers", "1"] if "--workers" not in given else []
    with pytest.raises(kind, match=message) as caught:
        run(plain(tmp_path / "t.parquet"), "--target", "t", *named, *workers, *given)
    assert "\n" not in str(caught.value)


def test_a_mistyped_table_is_told_what_there_is(run: Run) -> None:
    with pytest.raises(DataError, match="did you mean 'nasbench201'"):
        run("nasbench_201", "--target", "cifar10", "--workers", "1")


@pytest.mark.ray
@pytest.mark.slow
def test_the_number_of_workers_changes_nothing_but_times(run: Run) -> None:
    given = ["nasbench201", "--target", "cifar10", "--seeds", "4", "--trials", "40"]
    one, again, two = (untimed(run(*given, "--workers", count)) for count in ("1", "1", "2"))
    assert one == again
    assert one == two


@needs_tables
@pytest.mark.slow
def test_nasbench201s_second_measure_is_the_twelfth_epoch(run: Run) -> None:
    given = [str(NASBENCH201), "--target", "cifar10", "--seeds", "2", "--workers", "1"]
    record = run(*given, "--strategy", "random", "--measure", "valid_accuracy_12ep_pct")
    assert record["measure"] == "cifar10.valid_accuracy_12ep_pct"


def odd(kind: str, path: Path) -> str:
    """Tables that nobody has seen before."""
    rng = np.random.default_rng(0)
    if kind == "60 options":
        choices: dict[str, list[Any]] = {"a": [f"o{n}" for n in range(60)], "b": ["x", "y"]}
        rows = [(a, b) for a in choices["a"] for b in choices["b"]]
    elif kind == "numbers":
        choices = {"lr": [0.001, 0.01, 0.1], "layers": [1, 2, 3, 4], "bias": [True, False]}
        rows = [
            (a, b, c) for a in choices["lr"] for b in choices["layers"] for c in choices["bias"]
        ]
    elif kind == "26 choices":
        choices = {f"c{n:02}": ["p", "q", "r"] for n in range(26)}
        rows = sorted({tuple(rng.choice(["p", "q", "r"], size=26).tolist()) for _ in range(3_000)})
    else:
        choices = {name: ["0", "1", "2", "3", "4"] for name in "abcd"}
        rows = [(a, b, c, d) for a in "01234" for b in "01234" for c in "01234" for d in "01234"]
    values = rng.normal(size=len(rows))
    if kind == "nulls":
        values[rng.random(len(rows)) < 0.4] = np.nan
    if kind == "holes":
        kept = sorted(rng.choice(len(rows), len(rows) * 2 // 5, replace=False).tolist())
        rows, values = [rows[at] for at in kept], values[kept]
    columns: dict[str, Any] = {
        f"choice.{name}": [row[at] for row in rows] for at, name in enumerate(choices)
    }
    columns["t.score_pct"] = values
    tasks = {"t": {"metric": "t.score_pct", "goal": "min" if kind == "less" else "max"}}
    return str(write(path, described(choices, tasks=tasks), columns))


KINDS = ("60 options", "numbers", "26 choices", "nulls", "less", "holes")


@pytest.mark.parametrize("kind", KINDS)
def test_every_strategy_works_on_tables_never_seen(tmp_path: Path, kind: str) -> None:
    names = ["surrogate", "evolution", "local", "random"]
    path = odd(kind, tmp_path / "t.parquet")
    benched = bench(Replay(path, "t", "", 30, references(names, [])), 2, Inline(), 1)
    measured = np.isfinite(benched.standing.values)
    for name in names:
        rows = benched.rows[name]
        assert all(measured[row] for seed in rows for row in seed)
        assert max(len(seed) for seed in rows) == min(
            30, 30 if name != "surrogate" else sum(measured)
        )
    assert all(len(set(seed)) == len(seed) for seed in benched.rows["surrogate"])


@pytest.mark.slow
def test_half_a_million_rows_are_searched(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(5, size=(500_000, 12)), axis=0)
    columns: dict[str, Any] = {f"choice.c{at:02}": codes[:, at].astype(str) for at in range(12)}
    columns["t.score_pct"] = codes.sum(axis=1) + rng.normal(size=len(codes))
    about = described({f"c{at:02}": ["0", "1", "2", "3", "4"] for at in range(12)})
    path = str(write(tmp_path / "t.parquet", about, columns))
    names = ["surrogate", "evolution", "random"]
    benched = bench(Replay(path, "t", "", 60, references(names, [])), 1, Inline(), 1)
    last = {name: float(benched.regrets(name)[0, -1]) for name in names}
    assert last["surrogate"] < last["random"]
