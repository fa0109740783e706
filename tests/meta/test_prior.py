"""What a prior expects in a space, or one line on why it knows nothing there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from made_priors import ACCURACY, added, expectations, source
from metanas.core.objective import Objective
from metanas.core.space import Architecture, Choice, Space, sample
from metanas.meta import prior as of_prior
from metanas.meta.prior import Expectations, Prior, Source
from metanas.testing import additive_context

JUDGE = added(3)
SPACE = additive_context().space
LOSS = Objective("loss", "", "min")


def on(*sources: Source, space: Space = SPACE, objective: Objective = ACCURACY) -> Expectations:
    found = Prior(sources, "made", 7).on(space, objective)
    assert not isinstance(found, str), found
    return found


def why_not(*sources: Source, space: Space = SPACE, objective: Objective = ACCURACY) -> str:
    found = Prior(sources, "made").on(space, objective)
    assert isinstance(found, str)
    assert "\n" not in found
    return found


def drawn(count: int, seed: int = 99) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [sample(SPACE, rng) for _ in range(count)]


def test_it_expects_what_was_found_on_a_task() -> None:
    found = on(source(SPACE, JUDGE))
    new = drawn(200)
    means = found.means(new)
    assert means.shape == (200, 1)
    assert np.corrcoef(means[:, 0], [JUDGE(each) for each in new])[0, 1] > 0.9


def test_each_task_has_a_column_in_the_order_of_its_sources() -> None:
    other = added(4)
    found = on(source(SPACE, JUDGE, task="p"), source(SPACE, other, task="q", seed=1))
    assert found.sources == ("p", "q")
    new = drawn(200)
    means = found.means(new)
    for column, judge in enumerate((JUDGE, other)):
        values = [judge(each) for each in new]
        both = [np.corrcoef(means[:, at], values)[0, 1] for at in range(2)]
        assert both[column] > 0.8
        assert both[column] > both[1 - column]


def test_of_no_architecture_it_expects_nothing() -> None:
    assert expectations(SPACE, [JUDGE, JUDGE]).means([]).shape == (0, 2)


def test_it_tells_where_it_comes_from_as_json() -> None:
    few = source(SPACE, JUDGE, task="few", trials=3)
    found = on(source(SPACE, JUDGE, task="p", trials=60), few)
    assert json.loads(json.dumps(dict(found.about))) == {
        "name": "made",
        "version": 7,
        "tasks": {"p": 60},
        "left_out": {"few": "3 trials, expected at least 5"},
    }


def test_a_space_that_no_past_task_searched_is_named_with_those_that_were() -> None:
    elsewhere = replace(SPACE, name="elsewhere")
    line = why_not(source(SPACE, JUDGE), space=elsewhere)
    assert line == "no past task in space 'elsewhere' (there are some in: additive)"
    assert why_not(space=SPACE) == "no past task in space 'additive' (there are some in: none)"


def test_too_few_trials_teach_nothing() -> None:
    line = why_not(source(SPACE, JUDGE, task="few", trials=4))
    assert line.endswith("in space 'additive': few: 4 trials, expected at least 5")


def test_a_task_that_was_judged_by_something_else_teaches_nothing() -> None:
    line = why_not(source(SPACE, JUDGE, task="other", objective=LOSS))
    assert line.endswith("other: its objective is loss")
    found = on(source(SPACE, JUDGE, task="p"), source(SPACE, JUDGE, task="q", objective=LOSS))
    assert found.sources == ("p",)
    assert found.about["left_out"] == {"q": "its objective is loss"}


def test_of_two_objectives_of_which_more_is_better_one_teaches_for_the_other() -> None:
    f1 = Objective("f1", "", "max")
    assert on(source(SPACE, JUDGE, objective=f1)).sources == ("past",)
    assert on(source(SPACE, JUDGE), objective=f1).sources == ("past",)


def test_of_two_objectives_of_which_less_is_better_only_the_same_one_counts() -> None:
    error = Objective("error", "", "min")
    assert on(source(SPACE, JUDGE, objective=LOSS), objective=LOSS).sources == ("past",)
    assert "its objective is loss" in why_not(source(SPACE, JUDGE, objective=LOSS), objective=error)
    assert "its objective is accuracy" in why_not(source(SPACE, JUDGE), objective=LOSS)


def test_architectures_that_the_space_does_not_have_are_left_out() -> None:
    known = source(SPACE, JUDGE, trials=60)
    strange = (
        {**known.architectures[0], "choice_0": 9},
        {name: value for name, value in known.architectures[1].items() if name != "choice_3"},
        {**known.architectures[2], "more": 1},
        {**known.architectures[3], "choice_1": "0"},
    )
    mixed = replace(
        known,
        architectures=(*strange, *known.architectures),
        scores=np.concatenate([[9.0, 9.0, 9.0, 9.0], known.scores]),
        trials=64,
    )
    new = drawn(20)
    np.testing.assert_allclose(on(mixed).means(new), on(known).means(new))
    only = replace(known, architectures=strange, scores=np.zeros(4), trials=4)
    assert why_not(only).endswith("past: 0 trials, expected at least 5")


def test_combinations_that_are_not_allowed_are_left_out() -> None:
    narrow = replace(SPACE, allowed=lambda values: values["choice_0"] != 3)
    found = on(source(SPACE, JUDGE), space=narrow)
    members = [a for a in drawn(50) if a.values["choice_0"] != 3]
    inside = [Architecture(narrow, each.values) for each in members]
    assert np.isfinite(found.means(inside)).all()


def test_a_space_that_grew_keeps_what_it_knew() -> None:
    narrow = tuple(Choice(c.name, c.options[:3], ordered=True) for c in SPACE.choices)
    before = source(replace(SPACE, choices=narrow), JUDGE)
    new = drawn(100)
    means = on(before).means(new)[:, 0]
    inside = [3 not in each.key for each in new]
    values = np.array([JUDGE(each) for each in new])
    assert np.corrcoef(means[inside], values[inside])[0, 1] > 0.8


def test_results_that_are_noise_teach_nothing() -> None:
    noise = source(SPACE, JUDGE, task="noise", labels="shuffled", seed=5)
    assert why_not(noise).endswith("noise: its trials do not predict each other")
    found = on(source(SPACE, JUDGE, task="p"), noise)
    assert found.sources == ("p",)
    assert found.about["left_out"] == {"noise": "its trials do not predict each other"}


def test_what_is_left_out_changes_nothing_of_what_is_expected() -> None:
    new = drawn(20)
    alone = on(source(SPACE, JUDGE, task="p")).means(new)
    noise = source(SPACE, JUDGE, task="noise", labels="shuffled", seed=5)
    few = source(SPACE, JUDGE, task="few", trials=2)
    other = source(SPACE, JUDGE, task="other", objective=LOSS)
    for left_out in (noise, few, other):
        beside = on(left_out, source(SPACE, JUDGE, task="p")).means(new)
        np.testing.assert_allclose(beside, alone)


def test_all_reasons_stand_in_one_line() -> None:
    line = why_not(
        source(SPACE, JUDGE, task="noise", labels="shuffled", seed=5),
        source(SPACE, JUDGE, task="few", trials=2),
        source(SPACE, JUDGE, task="other", objective=LOSS),
    )
    assert line == (
        "no past task teaches anything in space 'additive': few: 2 trials, expected at least 5; "
        "noise: its trials do not predict each other; other: its objective is loss"
    )


def test_of_many_trials_an_even_part_of_each_task_is_learnt_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_prior, "MOST", 100)
    found = on(
        source(SPACE, JUDGE, task="p", trials=300), source(SPACE, JUDGE, task="q", trials=30)
    )
    assert np.bincount(found.learnt.of).tolist() == [50, 30]
    assert found.about["tasks"] == {"p": 300, "q": 30}


def test_a_space_of_one_member_breaks_nothing() -> None:
    one = Space("one", (Choice("a", ("x",)),), None)  # type: ignore[arg-type]
    past = replace(source(SPACE, JUDGE), space="one", architectures=({"a": "x"},) * 60)
    assert "do not predict each other" in why_not(past, space=one)
