"""From rows of experience to a prior."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from made_priors import SPACE, goodness, rows_of
from metanas.core.errors import ConfigError
from metanas.core.objective import Objective
from metanas.core.space import sample
from metanas.meta import fitting
from metanas.meta.fitting import COLUMNS, fit
from metanas.stores.experience import table_of

ACCURACY = Objective("accuracy", "", "max")


def made(task: str, count: int, seed: int = 0, **changed: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    values = [dict(sample(SPACE, rng).values) for _ in range(count)]
    return rows_of(task, values, [goodness(each) for each in values], **changed)


def batches(rows: list[dict[str, Any]], size: int = 50) -> list[Any]:
    return table_of(rows).select(list(COLUMNS)).to_batches(max_chunksize=size)


def test_the_same_rows_give_the_same_prior_however_they_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "KEPT", 40)
    rows = made("a", 300, fingerprint='{"n":1}') + made("b", 90, 1)
    whole = fit(batches(rows, 1000)).prior
    random.Random(3).shuffle(rows)
    cut = fit(batches(rows, 7)).prior
    for one, other in zip(whole.sources, cut.sources, strict=True):
        assert one.architectures == other.architectures
        assert np.array_equal(one.scores, other.scores)
        assert one.fingerprint == other.fingerprint
    assert [(each.task, len(each.scores), each.trials) for each in cut.sources] == [
        ("a", 40, 300),
        ("b", 40, 90),
    ]
    assert [dict(each.fingerprint) for each in cut.sources] == [{"n": 1}, {}]


def test_better_trials_have_higher_scores_whatever_the_goal() -> None:
    rows = made("a", 30)
    least = [{**row, "goal": "min"} for row in made("b", 30)]
    more, less = fit(batches(rows + least)).prior.sources
    best = [goodness(more.architectures[int(more.scores.argmax())]) for more in (more, less)]
    assert best[0] > best[1]


def test_what_failed_by_its_architectures_fault_is_worst_and_a_crash_counts_nothing() -> None:
    rows = made("a", 20)
    for row in rows[:3]:
        row |= {"status": "diverged", "metrics": []}
    for row in rows[3:6]:
        row |= {"status": "crashed", "metrics": []}
    source = fit(batches(rows)).prior.sources[0]
    assert (source.trials, len(source.scores)) == (17, 17)
    assert (source.scores == source.scores.min()).sum() == 3


def test_a_task_of_three_trials_is_left_out_and_the_others_teach() -> None:
    found = fit(batches(made("a", 20) + made("few", 3)))
    assert [each.task for each in found.prior.sources] == ["a"]
    assert found.left_out == (
        "task 'few' in space 'made': 3 comparable trials, expected at least 5",
    )


def test_a_metric_that_is_no_number_is_no_trial() -> None:
    rows = made("a", 20)
    for row in rows[:4]:
        row["metrics"] = [("accuracy", float("nan"))]
    source = fit(batches(rows)).prior.sources[0]
    assert len(source.scores) == 16
    assert np.isfinite(source.scores).all()


def test_nothing_to_learn_from_is_one_line() -> None:
    with pytest.raises(ConfigError, match="no prior can be learnt: there are no finished trials"):
        fit(batches(made("a", 20)), exclude=("a",))
    with pytest.raises(ConfigError, match="no prior can be learnt: task 'a' in space 'made': 2"):
        fit(batches(made("a", 2)))


def test_of_too_many_tasks_those_with_the_most_trials_are_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "MOST_SOURCES", 2)
    found = fit(batches(made("a", 8) + made("b", 30) + made("c", 20)))
    assert [each.task for each in found.prior.sources] == ["b", "c"]
    assert found.left_out == ("task 'a' in space 'made': 2 tasks have more trials",)


def test_one_task_is_a_source_and_another_space_has_none() -> None:
    prior = fit(batches(made("a", 30))).prior
    expected = prior.on(SPACE, ACCURACY)
    assert not isinstance(expected, str)
    assert expected.about["tasks"] == {"a": 30}
    elsewhere = fit(batches(made("a", 30, space="other"))).prior.on(SPACE, ACCURACY)
    assert elsewhere == "no past task in space 'made' (there are some in: other)"
