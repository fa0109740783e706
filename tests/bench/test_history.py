"""Benches whose strategies start from a prior, and the history that it is learnt from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from made_tables import described, write
from metanas.bench import History, Replay, bench, references, sources_of, with_priors
from metanas.cli.bench import COMMAND
from metanas.core.errors import ConfigError
from metanas.executors.inline import Inline
from metanas.meta.prior import Prior, Source
from metanas.models.copula import normal_scores
from metanas.tables import load

Run = Callable[..., dict[str, Any]]

CHOICES = "abcd"
TASKS = ("t", "like", "other")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command in this process; its JSON."""

    def called(*arguments: str) -> dict[str, Any]:
        given = [*arguments, "--home", str(tmp_path / "home"), "--json"]
        result = CliRunner().invoke(COMMAND, given, catch_exceptions=False, standalone_mode=False)
        found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return found

    return called


def grid() -> Any:
    """All 256 combinations, as numbers."""
    return np.stack(np.meshgrid(*[np.arange(4)] * len(CHOICES)), axis=-1).reshape(-1, len(CHOICES))


def table(path: Path, goal: str = "max", tasks: Sequence[str] = TASKS) -> str:
    """The first two tasks are nearly the same function of four choices, the third is another."""
    rng = np.random.default_rng(0)
    rows = grid()
    parts, others = rng.normal(size=(2, len(CHOICES), 4))
    columns: dict[str, Any] = {
        f"choice.{name}": rows[:, at].astype(str) for at, name in enumerate(CHOICES)
    }
    for at, task in enumerate(tasks):
        worth = others if task == "other" else parts
        value = 50 + worth[range(len(CHOICES)), rows].sum(axis=1)
        value = value + 0.1 * np.random.default_rng(at).normal(size=len(rows))
        columns[f"{task}.score_pct"] = value
        if task != "other":
            columns[f"{task}.early_pct"] = -value
    about = described(
        {name: ["0", "1", "2", "3"] for name in CHOICES},
        tasks={task: {"metric": f"{task}.score_pct", "goal": goal} for task in tasks},
    )
    return str(write(path, about, columns))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return table(tmp_path / "t.parquet")


def fitted(path: str, seed: int = 0, measure: str = "", **options: Any) -> Prior:
    history = History(**{"sources": ("like", "other"), "trials": 40, **options})
    return history.fitted(path, "t", measure, seed)


def keys(source: Source) -> list[tuple[Any, ...]]:
    return [tuple(values[name] for name in CHOICES) for values in source.architectures]


def truth(path: str, source: Source, column: str) -> Any:
    """What the table has of a source's architectures."""
    found = load(path)
    rows = [found.row(values) for values in source.architectures]
    return found.read(f"{source.task}.{column}")[rows]


def test_sources_are_named_or_all_others(path: str) -> None:
    assert sources_of("others", path, "t") == ("like", "other")
    assert sources_of("other, like", path, "t") == ("other", "like")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lke", "--sources names 'lke'; did you mean 'like'"),
        ("like,nothing", "--sources names 'nothing'"),
        ("like,t", "--sources names 't', the target"),
        ("like,like", "--sources names 'like', twice the same"),
        ("like,", "--sources names ''"),
    ],
)
def test_sources_that_cannot_be_are_refused_in_one_line(path: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        sources_of(text, path, "t")
    assert "\n" not in str(caught.value)


def test_a_table_of_one_task_has_no_others(tmp_path: Path) -> None:
    alone = table(tmp_path / "one.parquet", tasks=("t",))
    with pytest.raises(ConfigError, match="the table has no task but 't'"):
        sources_of("others", alone, "t")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "rondom"}, "--source-history is 'rondom'; did you mean 'random'"),
        ({"labels": "negatd"}, "--source-labels is 'negatd'; did you mean 'negated'"),
        ({"trials": 0}, "--source-trials is 0, expected at least 5"),
    ],
)
def test_histories_that_cannot_be_are_refused_in_one_line(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        History(("like",), **options)
    assert "\n" not in str(caught.value)


def test_each_seed_and_each_source_has_architectures_of_its_own(path: str) -> None:
    drawn = [keys(source) for seed in range(3) for source in fitted(path, seed).sources]
    assert len(drawn) == 6
    assert len({frozenset(each) for each in drawn}) == 6
    shared = [len(set(p) & set(q)) for at, p in enumerate(drawn) for q in drawn[:at]]
    assert max(shared) < 20  # of 40; by chance 40 * 40 / 256


def test_the_same_seed_gives_the_same_history(path: str) -> None:
    one, again = fitted(path, 4), fitted(path, 4)
    assert [keys(source) for source in one.sources] == [keys(source) for source in again.sources]


def test_a_sources_draws_are_not_those_of_a_search_with_its_seed(path: str) -> None:
    replay = Replay(path, "like", "", 40, references(["random"], []))
    (searched,) = bench(replay, 1, Inline(), 1).rows["random"]
    found = load(path)
    drawn = [found.row(values) for values in fitted(path, 0).sources[0].architectures]
    assert drawn != searched


@pytest.mark.parametrize("strategy", ["random", "evolution"])
def test_scores_are_the_order_of_what_the_table_has(path: str, strategy: str) -> None:
    for source in fitted(path, strategy=strategy).sources:
        expected = normal_scores(truth(path, source, "score_pct"))
        np.testing.assert_allclose(source.scores, expected, atol=1e-9)
        assert source.trials == 40


def test_a_history_of_evolution_is_better_than_a_random_one(path: str) -> None:
    means = [
        np.mean(
            [
                truth(path, fitted(path, s, strategy=each).sources[0], "score_pct").mean()
                for s in range(4)
            ]
        )
        for each in ("random", "evolution")
    ]
    assert means[1] > means[0] + 0.5


def test_negated_labels_are_the_contrary_and_shuffled_ones_are_in_no_order(path: str) -> None:
    true, negated, shuffled = (
        fitted(path, labels=labels).sources[0] for labels in ("true", "negated", "shuffled")
    )
    assert keys(true) == keys(negated) == keys(shuffled)
    np.testing.assert_allclose(negated.scores, -true.scores, atol=1e-9)
    np.testing.assert_allclose(np.sort(shuffled.scores), np.sort(true.scores), atol=1e-9)
    assert abs(np.corrcoef(shuffled.scores, true.scores)[0, 1]) < 0.5


def test_less_is_better_where_the_table_says_so(tmp_path: Path) -> None:
    less = table(tmp_path / "less.parquet", goal="min")
    for source in fitted(less).sources:
        expected = normal_scores(-truth(less, source, "score_pct"))
        np.testing.assert_allclose(source.scores, expected, atol=1e-9)
        assert source.goal == "min"


def test_a_measure_is_that_of_the_same_name_of_each_source_where_it_has_one(path: str) -> None:
    for measure in ("early_pct", "t.early_pct"):
        like, other = fitted(path, measure=measure).sources
        expected = normal_scores(truth(path, like, "early_pct"))
        np.testing.assert_allclose(like.scores, expected, atol=1e-9)
        np.testing.assert_allclose(
            other.scores, normal_scores(truth(path, other, "score_pct")), atol=1e-9
        )


def test_more_trials_than_rows_are_as_many_as_there_are(path: str) -> None:
    assert all(source.trials == 256 for source in fitted(path, trials=900).sources)


def test_a_table_that_has_changed_is_learnt_from_anew(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet")
    before = fitted(path).sources[0]
    table(tmp_path / "t.parquet", goal="min")
    after = fitted(path).sources[0]
    assert (before.goal, after.goal) == ("max", "min")


def test_each_strategy_that_takes_a_prior_stands_there_twice() -> None:
    found, warm = with_priors(references(["surrogate", "evolution", "local", "random"], []))
    assert list(found) == [
        *("surrogate", "surrogate+prior", "evolution", "evolution+prior"),
        *("local", "local+prior", "random"),
    ]
    assert warm == {"surrogate+prior", "evolution+prior", "local+prior"}


GIVEN = ["--target", "t", "--trials", "15", "--source-trials", "40"]


def untimed(record: dict[str, Any]) -> dict[str, Any]:
    for found in record["strategies"].values():
        for name in [name for name in found if name.startswith("seconds_")]:
            assert found.pop(name) >= 0
    return record


def test_the_record_tells_of_sources_and_of_transfer_that_was_negative(run: Run, path: str) -> None:
    both = ["--strategy", "surrogate", "--strategy", "random"]
    record = run(path, *GIVEN, *both, "--sources", "others", "--seeds", "2", "--workers", "1")
    assert record["sources"] == ["like", "other"]
    assert list(record["strategies"]) == ["surrogate", "surrogate+prior", "random"]
    warm = record["strategies"]["surrogate+prior"]
    assert 0.0 <= warm["negative_transfer_detected"] <= 1.0
    assert warm["seconds_to_fit"] > 0
    for name in ("surrogate", "random"):
        assert (
            not {"negative_transfer_detected", "seconds_to_fit"} & record["strategies"][name].keys()
        )


def test_without_sources_nothing_is_there_twice(run: Run, path: str) -> None:
    record = run(path, *GIVEN, "--strategy", "evolution", "--seeds", "1", "--workers", "1")
    assert list(record["strategies"]) == ["evolution"]
    assert record["sources"] == []


def test_what_has_no_prior_is_as_it_is_without_sources(run: Run, path: str) -> None:
    given = [*GIVEN, "--strategy", "local", "--seeds", "3", "--workers", "1"]
    cold, beside = (untimed(run(path, *given, *more)) for more in ([], ["--sources", "like"]))
    assert beside["strategies"]["local"] == cold["strategies"]["local"]


@pytest.mark.parametrize("strategy", ["surrogate", "evolution", "local"])
def test_a_past_like_the_target_is_ahead(run: Run, path: str, strategy: str) -> None:
    given = [*GIVEN, "--strategy", strategy, "--sources", "like", "--seeds", "8", "--workers", "1"]
    record = run(path, *given)
    cold, warm = (record["strategies"][name] for name in (strategy, f"{strategy}+prior"))
    assert warm["normalized_regret"]["10"] < cold["normalized_regret"]["10"]


def test_shuffled_sources_are_not_believed_and_it_says_so(run: Run, path: str) -> None:
    given = [*GIVEN, "--strategy", "surrogate", "--seeds", "4", "--workers", "1"]
    record = run(path, *given, "--sources", "like", "--source-labels", "shuffled")
    assert record["strategies"]["surrogate+prior"]["negative_transfer_detected"] >= 0.75


def test_negated_sources_are_turned_and_it_says_so(run: Run, path: str) -> None:
    given = [*GIVEN, "--strategy", "surrogate", "--seeds", "4", "--workers", "1"]
    record = run(path, *given, "--sources", "like", "--source-labels", "negated")
    assert record["strategies"]["surrogate+prior"]["negative_transfer_detected"] >= 0.75


@pytest.mark.ray
@pytest.mark.slow
def test_the_number_of_workers_changes_nothing_but_times(run: Run, path: str) -> None:
    given = [path, *GIVEN, "--sources", "others", "--seeds", "3"]
    one, two = (untimed(run(*given, "--workers", count)) for count in ("1", "2"))
    assert one == two


REFUSED = {
    "sources": (["--sources", "u"], "--sources names 'u'"),
    "target": (["--sources", "t"], "'t', the target"),
    "twice": (["--sources", "like,like"], "twice the same"),
    "history": (["--sources", "like", "--source-history", "grid"], "--source-history is 'grid'"),
    "labels": (["--sources", "like", "--source-labels", "wrong"], "--source-labels is 'wrong'"),
    "trials": (["--sources", "like", "--source-trials", "0"], "--source-trials is 0"),
    "too few": (
        ["--sources", "like", "--source-trials", "3"],
        "--source-trials is 3, expected at least 5",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_command_refuses_what_cannot_be_in_one_line(run: Run, path: str, what: str) -> None:
    given, message = REFUSED[what]
    with pytest.raises(ConfigError, match=message) as caught:
        run(
            path,
            "--target",
            "t",
            "--strategy",
            "surrogate",
            "--seeds",
            "1",
            "--workers",
            "1",
            *given,
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("history", ["random", "evolution"])
@pytest.mark.parametrize("labels", ["true", "negated", "shuffled"])
def test_the_command_takes_every_history_and_labels(
    run: Run, path: str, history: str, labels: str
) -> None:
    more = ["--sources", "like", "--source-history", history, "--source-labels", labels]
    given = [*GIVEN, "--strategy", "local", "--seeds", "1", "--workers", "1"]
    assert set(run(path, *given, *more)["strategies"]) == {"local", "local+prior"}
