"""What a search starts from: resolved once, kept, and never the end of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import journal
from made_experience import CHOICES, SPACE, goodness, rows_of, store
from made_tables import described, write
from metanas.api import record, resume, search, show
from metanas.api.config import SearchConfig
from metanas.api.prior import fit_prior, registry_of
from metanas.api.starting import COPY, Start, fingerprint_of, named, start_of, told
from metanas.core.errors import ConfigError
from metanas.core.objective import Objective
from metanas.core.search import Search
from metanas.core.space import Choice, Space, sample
from metanas.meta import saved

ACCURACY = Objective("accuracy", "", "max")
AUTO = SearchConfig("digits", strategy="surrogate", prior="auto")
AWAY = "http://127.0.0.1:9"


def searching(space: Space = SPACE, **changed: Any) -> Search:
    given: dict[str, Any] = {"name": "s", "space": space, "task": "t", "objectives": (ACCURACY,)}
    return Search(**given, strategy=None, evaluate=None, **changed)  # type: ignore[arg-type]


def lived(home: Path, task: str, count: int = 30, seed: int = 0, **changed: Any) -> None:
    """Put finished trials of a task into the experience."""
    rng = np.random.default_rng(seed)
    values = [dict(sample(SPACE, rng).values) for _ in range(count)]
    store(home, rows_of(task, values, [goodness(each) for each in values], **changed))


class Starting:
    """Starts of one search in a home folder, and what was said."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "searches" / "s"
        self.folder.mkdir(exist_ok=True)
        self.said: list[str] = []

    def __call__(
        self, config: SearchConfig = AUTO, known: Any = None, space: Space = SPACE
    ) -> Start:
        version = named(config, known, self.home)
        places = (self.home, self.folder)
        self.said.clear()
        return start_of(config, searching(space), version, known, places, self.said.append)


@pytest.fixture
def starting(home: Path) -> Starting:
    return Starting(home)


def test_auto_learns_registers_and_says_what_it_starts_from(home: Path, starting: Starting) -> None:
    lived(home, "a", 30)
    lived(home, "b", 20, 1)
    lived(home, "few", 3)
    start = starting()
    assert start.expected is not None
    assert start.expected.sources == ("a", "b")
    assert starting.said == ["starts from metanas-prior@1: a (30 trials), b (20 trials)"]
    assert told(start.record) == {
        "name": "metanas-prior",
        "version": 1,
        "tasks": {"a": 30, "b": 20},
        "left_out": {},
    }
    assert json.loads(json.dumps(start.record)) == start.record


def test_auto_takes_the_version_that_is_there_until_there_is_new_experience(
    home: Path, starting: Starting
) -> None:
    lived(home, "a")
    assert [starting().record["version"] for _ in range(2)] == [1, 1]
    lived(home, "b", 20, 1)
    assert starting().record["version"] == 2
    assert registry_of(home).newest("metanas-prior").number == 2  # type: ignore[union-attr]


def test_auto_takes_what_is_registered_where_the_experience_is_gone(
    home: Path, starting: Starting
) -> None:
    lived(home, "a")
    starting()
    shutil.rmtree(home / "experience")
    assert starting().record["version"] == 1


def test_resuming_takes_exactly_that_version_and_needs_no_server(
    home: Path, starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(home, "a")
    known = starting().record
    lived(home, "b", 20, 1)
    assert fit_prior(home).prior.version == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    again = starting(known=known)
    assert again.record == known
    assert again.expected is not None
    assert again.expected.sources == ("a",)
    assert starting.said == []


def test_a_copy_that_is_lost_or_changed_comes_from_the_registry(
    home: Path, starting: Starting
) -> None:
    lived(home, "a")
    known = starting().record
    lived(home, "b", 20, 1)
    other = fit_prior(home).prior
    for harm in (
        lambda: shutil.rmtree(starting.folder / COPY),
        lambda: (starting.folder / COPY).mkdir(),
        lambda: (starting.folder / COPY / saved.PRIOR).write_text("{}"),
    ):
        harm()
        again = starting(known=known)
        assert again.expected is not None
        assert again.expected.sources == ("a",)
    saved.write(other, starting.folder / COPY)
    assert starting(known=known).expected is None
    assert "it is not what the search started from" in starting.said[0]


def test_a_prior_that_is_lost_ends_no_search(
    home: Path, starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(home, "a")
    known = starting().record
    shutil.rmtree(starting.folder / COPY)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    again = starting(known=known)
    assert again.expected is None
    assert again.record["lost"]
    assert len(starting.said) == 1
    assert starting.said[0].startswith("goes on without its prior metanas-prior@1: MLflow at ")
    assert told(again.record) == told(known)


def test_a_search_that_started_from_nothing_goes_on_from_nothing(
    home: Path, starting: Starting
) -> None:
    known = starting().record
    assert starting.said == [
        "starts without a prior: no prior can be learnt: there are no finished trials"
    ]
    lived(home, "a")
    again = starting(known=known)
    assert (again.expected, again.record, told(known)) == (None, known, None)
    assert starting(known={}).record == {}


COLD = {
    "three trials": ({"count": 3}, "task 'a' in space 'made': 3 comparable trials, expected"),
    "another space": ({"space": "other"}, "no past task in space 'made' (there are some in: o"),
    "another goal": (
        {"goal": "min", "objective": "loss", "metrics": {"loss": 1.0}},
        "a: its objective is loss",
    ),
    "no metric": ({"metrics": {"loss": 1.0}}, "0 comparable trials, expected at least 5"),
    "no goal": ({"goal": ""}, "none says whether more or less is better"),
    "other choices": ({"architecture": '{"depth":9}'}, "a: 0 trials, expected at least 5"),
    "only crashes": ({"status": "crashed"}, "there are no finished trials"),
}


@pytest.mark.parametrize("what", COLD)
def test_experience_that_teaches_nothing_is_one_line_and_a_cold_search(
    home: Path, starting: Starting, what: str
) -> None:
    given, why = COLD[what]
    lived(home, "a", **given)
    start = starting()
    assert (start.expected, told(start.record)) == (None, None)
    assert len(starting.said) == 1
    assert starting.said[0].startswith("starts without a prior: ")
    assert why in starting.said[0]
    assert start.record["why"] in starting.said[0]


def test_rows_with_nan_are_left_out_and_said(home: Path, starting: Starting) -> None:
    lived(home, "a")
    rows = rows_of("b", [dict(sample(SPACE, np.random.default_rng(1)).values)] * 9, [0.5] * 9)
    for row in rows:
        row["metrics"] = [("accuracy", float("nan"))]
    store(home, rows)
    assert starting().record["tasks"] == {"a": 30}
    assert len(starting.said) == 2
    assert starting.said[0].startswith("experience left out: 9 broken rows")


def test_scattered_results_of_a_task_are_said_to_teach_nothing(
    home: Path, starting: Starting
) -> None:
    rng = np.random.default_rng(3)
    values = [dict(sample(SPACE, rng).values) for _ in range(30)]
    lived(home, "a")
    store(home, rows_of("noise", values, rng.standard_normal(30).tolist()))
    start = starting()
    assert set(start.record["left_out"]) <= {"noise"}
    assert start.record["tasks"]["a"] == 30


def test_a_server_that_is_away_is_one_line_and_a_cold_search(
    home: Path, starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY)
    for prior in ("auto", "metanas-prior@1"):
        start = starting(replace(AUTO, prior=prior))
        assert start.expected is None
        assert len(starting.said) == 1
        assert starting.said[0].startswith(f"starts without a prior: MLflow at {AWAY} ")


def test_a_prior_that_cannot_be_used_is_one_line_and_a_cold_search(
    home: Path, starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(home, "a")
    fit_prior(home)
    mine = replace(AUTO, prior="metanas-prior@1")
    assert starting(mine).record["version"] == 1
    with monkeypatch.context() as patched:
        patched.setattr(saved, "FEATURES", [2, 1])
        start = starting(mine)
        assert (start.expected, start.record["version"]) == (None, 0)
        assert "prior metanas-prior@1 cannot be used: it is of features version" in starting.said[0]
    files = next((home / "mlartifacts").glob("*/artifacts/prior")) / saved.SCORES
    files.write_bytes(files.read_bytes()[:-8])
    assert starting(mine).expected is None
    assert "scores.safetensors was changed or cut" in starting.said[0]


def test_auto_registers_anew_what_was_damaged(home: Path, starting: Starting) -> None:
    lived(home, "a")
    starting()
    files = next((home / "mlartifacts").glob("*/artifacts/prior")) / saved.PRIOR
    files.write_text("{}")
    assert starting().record["version"] == 2
    assert "prior.json was changed or cut" in starting.said[0]
    assert "it is registered anew" in starting.said[0]
    assert starting.said[1] == "starts from metanas-prior@2: a (30 trials)"


def test_a_bug_of_the_learner_is_one_line_and_a_cold_search(
    home: Path, starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise np.linalg.LinAlgError("singular\nmatrix")

    lived(home, "a")
    monkeypatch.setattr("metanas.meta.prior.learn", fails)
    assert starting(space=SPACE).expected is None
    assert starting.said == ["starts without a prior: LinAlgError: singular matrix"]


def test_wrong_usage_is_refused(home: Path, starting: Starting) -> None:
    lived(home, "a")
    fit_prior(home)
    for changed, said in (
        ({"prior": "metanas-prior@2"}, "no prior 'metanas-prior@2': the newest version"),
        ({"prior": "metanas-pior"}, "no prior 'metanas-pior'; did you mean 'metanas-prior'"),
        ({"prior": "a@b@c"}, "prior 'a@b@c' is no NAME or NAME@VERSION"),
        (
            {"prior": "metanas-prior", "strategy": "random"},
            "--prior is 'metanas-prior', and strategy 'random' takes no prior",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            starting(replace(AUTO, **changed))
    with pytest.raises(ConfigError, match=r"search\.prior is '', expected none, auto"):
        replace(AUTO, prior="")


def test_a_strategy_that_takes_no_prior_ignores_auto_and_says_so(
    home: Path, starting: Starting
) -> None:
    lived(home, "a")
    start = starting(replace(AUTO, strategy="random"))
    assert (start.expected, told(start.record)) == (None, None)
    assert starting.said == [
        "starts without a prior: strategy 'random' takes no prior: --prior auto is ignored"
    ]


def test_a_fingerprint_is_computed_once_for_the_same_rows(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metanas.meta import fingerprint as module
    from metanas.tasks.digits import TASK

    calls: list[str] = []

    def told_once(task: Any) -> dict[str, Any]:
        calls.append(task.name)
        return {"version": [1, 1], "n": len(calls)}

    monkeypatch.setattr(module, "fingerprint", told_once)
    task = TASK() if callable(TASK) else TASK
    assert [fingerprint_of(task, (), home)["n"] for _ in range(2)] == [1, 1]
    attempt = {"event": "attempt", "fingerprint": {"n": 7}}
    assert fingerprint_of(task, [attempt], home) == {"n": 7}
    (home / "fingerprints.jsonl").unlink()
    (home / "fingerprints.jsonl").mkdir()
    assert fingerprint_of(task, (), home) == {}


@pytest.fixture
def table(tmp_path: Path) -> str:
    """All of the space `made` on two tasks that agree."""
    names = [choice.name for choice in CHOICES]
    rows = [dict(zip(names, each, strict=True)) for each in product(*(c.options for c in CHOICES))]
    about = described(
        {c.name: [str(o) for o in c.options] for c in CHOICES},
        tasks={t: {"metric": f"{t}.score_pct", "goal": "max"} for t in ("t", "u")},
    )
    columns: dict[str, Any] = {f"choice.{n}": [str(row[n]) for row in rows] for n in names}
    good = np.array([goodness(row) for row in rows])
    columns |= {"t.score_pct": good.tolist(), "u.score_pct": (good + 0.1 * good % 0.3).tolist()}
    return str(write(tmp_path / "rows.parquet", about, columns))


def test_a_warm_search_is_journalled_shown_tracked_and_goes_on_as_if_uninterrupted(
    table: str, home: Path
) -> None:
    from helpers import runs

    search(SearchConfig(f"{table}:t", trials=16, strategy="random", name="past"), home)
    warm = SearchConfig(f"{table}:u", trials=4, strategy="surrogate", prior="auto", name="warm")
    said = record(search(warm, home))["prior"]
    cached = sum(e["trial"]["cached"] for e in journal(home, "past") if e["event"] == "finished")
    assert said["tasks"] == {"rows-t": 16 - cached}
    assert record(show("warm", home))["prior"] == said
    reasons = [e["proposal"]["reason"] for e in journal(home, "warm") if e["event"] == "proposed"]
    assert reasons[0] == "past tasks expect most of it: rows-t"
    exact = replace(warm, trials=8, name="long", prior=f"{said['name']}@{said['version']}")
    whole = search(exact, home).result.trials
    halves = resume("warm", home, trials=8)
    assert record(halves)["prior"] == said
    values = [
        [t.proposal.architecture.values for t in found] for found in (halves.result.trials, whole)
    ]
    assert values[0] == values[1]
    parent = next(
        run
        for run in runs(home)
        if run.data.tags["metanas.key"] == "search" and run.data.tags["metanas.search"] == "long"
    )
    assert parent.data.tags["metanas.prior"] == "metanas-prior@1"
    assert json.loads(parent.data.tags["metanas.fingerprint"])["kind"] == "table"
    assert 0 <= parent.data.metrics["prior_share"] <= 1
    assert "prior_weight.rows-t" in parent.data.metrics


def test_a_version_that_is_not_there_leaves_no_search_behind(table: str, home: Path) -> None:
    config = SearchConfig(f"{table}:t", trials=4, strategy="surrogate", prior="mine@3", name="one")
    with pytest.raises(ConfigError, match="no prior 'mine@3': there are none yet"):
        search(config, home)
    assert not (home / "searches" / "one").exists()


def test_a_search_whose_choices_no_past_task_has_is_cold(home: Path, starting: Starting) -> None:
    lived(home, "a")
    wide = Space("made", (Choice("other", (1, 2, 3)),), SPACE.build)
    assert starting(space=wide).expected is None
    assert "a: 0 trials, expected at least 5" in starting.said[0]
