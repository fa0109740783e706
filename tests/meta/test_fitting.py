"""From rows of experience to a prior."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.core.errors import ConfigError
from metanas.meta import fitting
from metanas.meta.fitting import COLUMNS, KEPT, fit
from metanas.meta.prior import Source
from metanas.models.copula import normal_scores
from metanas.stores.experience import row_of, table_of

Row = dict[str, Any]


def row(number: int, value: float | None, **changed: Any) -> Row:
    """A finished trial of a choice `a`, which is its number."""
    facts = {
        "key": f"search/{number}",
        "task": "digits",
        "kind": "classification",
        "space": "numbers",
        "architecture": json.dumps({"a": number}),
        "status": "completed",
        "metrics": {} if value is None else {"accuracy": value},
        "curve": [],
        "objective": "accuracy",
        "goal": "max",
        "epochs": 5,
        "time_s": 0.0,
    }
    return row_of(facts | changed)


def rows(values: Sequence[float | None], start: int = 0, **changed: Any) -> list[Row]:
    return [
        row(number, value, **{"key": f"{changed}/{number}", **changed})
        for number, value in enumerate(values, start=start)
    ]


def sources(given: Sequence[Row], cuts: Sequence[int] = (), **options: Any) -> list[Source]:
    """Fitted from batches that end at `cuts`."""
    ends = [0, *sorted(cuts), len(given)]
    batches = [
        batch
        for begin, end in itertools.pairwise(ends)
        for batch in table_of(given[begin:end]).to_batches()
    ]
    return list(fit(batches, **options).prior.sources)


def told(source: Source) -> dict[int, float]:
    """Scores by the choice `a`."""
    numbers = [int(values["a"]) for values in source.architectures]
    assert len(set(numbers)) == len(numbers)
    return dict(zip(numbers, map(float, source.scores), strict=True))


def plain(source: Source) -> tuple[Any, ...]:
    """All that it holds, to be compared."""
    return (
        *(source.task, source.kind, source.space, source.objective, source.goal, source.trials),
        [dict(values) for values in source.architectures],
        source.scores.tolist(),
        dict(source.fingerprint),
    )


VALUES = [0.2, 0.9, 0.5, 0.7, 0.1, 0.3]


def test_scores_are_normal_scores_and_the_rest_is_as_it_was() -> None:
    (found,) = sources(rows(VALUES, fingerprint=json.dumps({"classes": 10})))
    assert told(found) == pytest.approx(dict(enumerate(normal_scores(VALUES))))
    assert (found.task, found.kind, found.space) == ("digits", "classification", "numbers")
    assert (found.objective, found.goal, found.trials) == ("accuracy", "max", 6)
    assert found.fingerprint == {"classes": 10}


def test_only_the_columns_that_it_names_are_needed() -> None:
    table = table_of(rows(VALUES)).select(list(COLUMNS))
    assert len(fit(table.to_batches()).prior.sources) == 1


def test_less_is_better_of_a_goal_to_minimise() -> None:
    (found,) = sources(rows(VALUES, goal="min"))
    assert told(found) == pytest.approx(dict(enumerate(normal_scores(-np.array(VALUES)))))
    assert found.goal == "min"


def test_each_task_and_each_space_is_a_source() -> None:
    given = [
        *rows(VALUES, task="p"),
        *rows(VALUES, task="q"),
        *rows(VALUES, task="q", space="other"),
    ]
    found = [(source.task, source.space) for source in sources(given)]
    assert found == [("p", "numbers"), ("q", "numbers"), ("q", "other")]
    assert [source.task for source in sources(given, exclude=("q",))] == ["p"]


@pytest.mark.parametrize("status", fitting.WORST)
@pytest.mark.parametrize("goal", ["max", "min"])
def test_a_failed_architecture_is_worse_than_all_that_ended_well(status: str, goal: str) -> None:
    failed = [row(6, 0.99 if goal == "max" else 0.0, status=status), row(7, None, status=status)]
    (found,) = sources([*rows(VALUES, goal=goal), *failed])
    scores = told(found)
    assert scores[6] == scores[7] < min(scores[number] for number in range(6))
    assert found.trials == 8


def test_a_crash_is_not_the_architectures_fault() -> None:
    (found,) = sources([*rows(VALUES), row(6, 0.4, status="crashed")])
    assert told(found).keys() == set(range(6))
    assert found.trials == 6


def test_a_stopped_trial_counts_as_it_stood() -> None:
    (found,) = sources([*rows(VALUES), row(6, 0.95, status="stopped")])
    assert max(told(found), key=told(found).__getitem__) == 6


def test_trials_are_compared_within_trainings_of_one_length() -> None:
    short, long = rows(VALUES, epochs=5), rows([v + 10 for v in VALUES], start=6, epochs=50)
    (found,) = sources([*short, *long])
    scores = told(found)
    for number in range(6):
        assert scores[number] == pytest.approx(scores[6 + number])


def test_a_length_with_too_few_trials_is_left_out() -> None:
    (found,) = sources([*rows(VALUES), *rows([0.1, 0.2, 0.3, 0.4], start=6, epochs=50)])
    assert told(found).keys() == set(range(6))


def test_lengths_stand_side_by_side_in_every_part_of_the_list() -> None:
    many, few = rows(range(90), epochs=5), rows(range(30), start=90, epochs=50)
    (found,) = sources([*many, *few])
    shares = [
        np.mean([int(values["a"]) >= 90 for values in part])
        for part in np.array_split(np.array(found.architectures, dtype=object), 6)
    ]
    np.testing.assert_allclose(shares, 0.25, atol=0.05)


def test_a_trial_without_the_deciding_metric_is_passed_over() -> None:
    other = [row(6, None), row(7, None, metrics={"loss": 0.1})]
    (found,) = sources([*rows(VALUES), *other])
    assert told(found).keys() == set(range(6))


def test_a_number_that_is_none_never_becomes_a_score() -> None:
    """Stores refuse such rows; what else hands in batches may not."""
    broken = row(6, 0.5)
    for value in (float("nan"), float("inf"), -float("inf")):
        (found,) = sources([*rows(VALUES), broken | {"metrics": [("accuracy", value)]}])
        assert told(found).keys() == set(range(6))
        assert np.isfinite(found.scores).all()


def test_what_most_trials_were_judged_by_decides() -> None:
    other = [
        row(6 + n, None, metrics={"loss": 1.0 + n}, objective="loss", goal="min", key=f"l{n}")
        for n in range(5)
    ]
    (found,) = sources([*rows(VALUES), *other])
    assert (found.objective, found.goal) == ("accuracy", "max")
    assert told(found).keys() == set(range(6))


def test_a_task_with_three_trials_is_left_out_with_a_line() -> None:
    given = [*rows(VALUES, task="p"), *rows(VALUES[:3], task="few")]
    found = fit(table_of(given).to_batches())
    assert [source.task for source in found.prior.sources] == ["p"]
    assert found.left_out == (
        "task 'few' in space 'numbers': 3 comparable trials, expected at least 5",
    )


def test_trials_of_unknown_goal_teach_nothing() -> None:
    given = [*rows(VALUES, task="p"), *rows(VALUES, task="unsaid", goal="")]
    found = fit(table_of(given).to_batches())
    assert found.left_out == (
        "task 'unsaid' in space 'numbers': 6 trials, and none says whether more or less is better",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no prior can be learnt: there are no finished trials"),
        (rows(VALUES, status="crashed"), "there are no finished trials"),
        (rows(VALUES[:3]), "task 'digits' in space 'numbers': 3 comparable trials, expected at"),
    ],
)
def test_where_nothing_can_be_learnt_it_says_why_in_one_line(
    given: list[Row], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        sources(given)
    assert "\n" not in str(caught.value)


MIXED = [
    *rows([0.01 * n for n in range(40)], task="p"),
    *rows([None, 0.3, *VALUES], task="p", start=40, epochs=9),
    *rows(VALUES, task="p", start=48, status="diverged"),
    *rows(VALUES, task="q", goal="min", fingerprint='{"rows":3}'),
    *rows(VALUES[:2], task="few"),
]


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(len(MIXED))),
    cuts=st.lists(st.integers(0, len(MIXED)), max_size=5),
    kept=st.sampled_from([7, 25, KEPT]),
)
def test_the_order_of_rows_and_how_they_are_cut_change_nothing(
    order: list[int], cuts: list[int], kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "KEPT", kept)
        whole = [plain(source) for source in sources(MIXED)]
        other = [plain(source) for source in sources([MIXED[at] for at in order], cuts)]
    assert other == whole


def test_keys_of_one_hash_are_kept_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for one of them: `plumless` and `buckeroo` have the same checksum."""
    others, place = rows(range(40)), zlib.crc32(b"plumless")
    assert zlib.crc32(b"buckeroo") == place
    before = sum(zlib.crc32(each["key"].encode()) < place for each in others)
    monkeypatch.setattr(fitting, "KEPT", before + 1)
    twins = [row(90, 0.4, key="plumless"), row(91, 0.6, key="buckeroo")]
    (one,), (other,) = sources([*others, *twins]), sources([*others, *reversed(twins)])
    assert plain(one) == plain(other)


def test_of_many_trials_so_many_are_kept_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "KEPT", 50)
    (found,) = sources([*rows(range(300)), *rows([0.5], start=300, status="crashed")], [7, 120])
    assert len(found.scores) == 50
    assert found.trials == 300
    numbers = np.array(sorted(told(found)))
    assert 100 < numbers.mean() < 200  # of all that there were, not the first
    assert np.argsort([told(found)[n] for n in numbers]).tolist() == list(range(50))


def test_of_too_many_tasks_those_with_the_most_trials_are_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "MOST_SOURCES", 2)
    given = [*rows(VALUES, task="a"), *rows(range(30), task="b"), *rows(range(20), task="c")]
    found = fit(table_of(given).to_batches())
    assert [each.task for each in found.prior.sources] == ["b", "c"]
    assert found.left_out == ("task 'a' in space 'numbers': 2 tasks have more trials",)
