from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stories import ACCURACY, CHOICES, PARAMS, story, trials

from metanas.core.objective import Objective
from metanas.core.space import Choice
from metanas.report._chart import Axis, Line, Points, axis_of
from metanas.report._figures import progress, seconds, tradeoff
from metanas.report._matters import MOST_CHOICES, explained, matters
from metanas.report._words import clipped, duration, listed, plain, plural, quantity, short

WORDS = [
    (short(0.98712), "0.9871"),
    (short(61_234), "61.2\u202fk"),
    (short(999_999), "1\u202fM"),
    (short(2.56e6), "2.56\u202fM"),
    (short(0), "0"),
    (short(-1500), "-1.5\u202fk"),
    (duration(0.42), "0.4 s"),
    (duration(35.4), "35 s"),
    (duration(199.2), "3 min 19 s"),
    (duration(59.7), "1 min"),
    (duration(7500), "2 h 5 min"),
    (duration(100_000), "1 d 3 h"),
    (plural(1, "trial"), "1 trial"),
    (plural(5000, "trial"), "5,000 trials"),
    (listed([]), ""),
    (listed(["a"]), "a"),
    (listed(["a", "b", "c"]), "a, b and c"),
    (quantity("latency_ms", "ms", 4.2), "4.2 ms latency"),
    (quantity("params", "parameters", 61_234), "61.2\u202fk parameters"),
    (quantity("accuracy", "", 0.5, "test "), "0.5 test accuracy"),
    (plain("a\x00b\n  c\u202e"), "a b c"),
    (clipped("abcdef", 4), "abc\u2026"),
]


@pytest.mark.parametrize(("said", "wanted"), WORDS, ids=[row[1] for row in WORDS])
def test_numbers_and_names_are_written_as_people_do(said: str, wanted: str) -> None:
    assert said == wanted


# -- axes --------------------------------------------------------------------------

VALUES = [[0.1, 0.9], [3.0], [0.0, 0.0], [-5.0, 7.0], [1e-9, 1e9], [1.0, 1.0 + 1e-12], [40.0, 5e6]]


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("goal", ["max", "min", None])
def test_an_axis_holds_its_values_and_marks_some_in_between(values: list[float], goal: str) -> None:
    axis = axis_of("label", values, goal)  # type: ignore[arg-type]
    places = [axis.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    ticks = axis.ticks(5)
    assert 1 <= len(ticks) <= 7
    assert all(axis.holds(value) for value, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)


def test_an_axis_runs_the_other_way_where_its_ends_do() -> None:
    axis = Axis("", 2.5, -0.5, names=("first", "second", "third"))
    assert axis.place(0) > axis.place(1) > axis.place(2)


@pytest.mark.parametrize("goal", ["max", "min"])
def test_only_what_is_far_worse_lies_beyond_an_axis(goal: str) -> None:
    sign = 1.0 if goal == "max" else -1.0
    usual = [sign * (10 + 0.01 * number) for number in range(20)]
    axis = axis_of("label", [*usual, sign * 1.0], goal)  # type: ignore[arg-type]
    assert not axis.holds(sign * 1.0)
    assert all(axis.holds(value) for value in usual)
    better = axis_of("label", [*usual, sign * 100.0], goal)  # type: ignore[arg-type]
    assert better.holds(sign * 100.0)


def test_a_limit_is_on_the_axis_wherever_it_lies() -> None:
    limited = dataclasses.replace(ACCURACY, limit=0.2)
    chart = progress(story(trials(20), (limited,)))
    assert chart is not None
    assert chart.y.holds(0.2)


def test_an_axis_is_logarithmic_over_orders_of_magnitude_but_not_where_more_is_better() -> None:
    values = [1.0, 10.0, 100.0]
    assert axis_of("", values, "min").log
    assert axis_of("", values).log
    assert not axis_of("", values, "max").log
    assert not axis_of("", [0.0, *values], "min").log


# -- progress and front ------------------------------------------------------------


@pytest.mark.parametrize("goal", ["max", "min"])
def test_the_best_so_far_never_gets_worse_and_ends_at_the_best(goal: str) -> None:
    objective = dataclasses.replace(ACCURACY, goal=goal)
    told = story(trials(30, every=6), (objective,))
    chart = progress(told)
    assert chart is not None
    (line,) = (layer for layer in chart.layers if isinstance(layer, Line))
    steps = np.diff(line.y) * (1 if goal == "max" else -1)
    assert (steps >= 0).all()
    values = [t.metrics["accuracy"] for t in told.measured]
    assert line.y[-1] == (max(values) if goal == "max" else min(values))
    assert line.x[-1] == len(told.trials)


def test_failed_trials_are_marked_where_they_ended() -> None:
    told = story(trials(30, every=6))
    chart = progress(told)
    assert chart is not None
    (crosses,) = (p for p in chart.layers if isinstance(p, Points) and p.mark == "cross")
    assert crosses.x == tuple(n for n, t in enumerate(told.trials, start=1) if t.failed)


def test_the_front_is_drawn_through_its_trials_and_nothing_lies_beyond_it() -> None:
    told = story(trials(60), (ACCURACY, PARAMS))
    chart = tradeoff(told)
    assert chart is not None
    (line,) = (layer for layer in chart.layers if isinstance(layer, Line))
    corners = set(zip(line.x, line.y, strict=True))
    for trial in told.result.front:
        assert (trial.metrics["params"], trial.metrics["accuracy"]) in corners
    for trial in told.trials:
        reached = [y for x, y in zip(line.x, line.y, strict=True) if x <= trial.metrics["params"]]
        assert trial.metrics["accuracy"] <= max(reached)


def test_one_objective_is_shown_against_size() -> None:
    chart = tradeoff(story(trials(10)))
    assert chart is not None
    assert chart.x.label == "parameters"


def test_quality_that_is_size_itself_is_shown_against_another_size() -> None:
    chart = tradeoff(story(trials(10), (PARAMS,)))
    assert chart is not None
    assert chart.x.label == "FLOPs"


@pytest.mark.parametrize("count", [1, 7, 61, 1000])
def test_bars_of_time_add_up_to_the_time_of_all_trials(count: int) -> None:
    told = story(trials(count, every=4))
    chart = seconds(told)
    assert chart is not None
    size = -(-count // 60)
    total = 0.0
    for layer in chart.layers:
        for number, (_, low, _, high) in enumerate(layer.boxes):  # type: ignore[union-attr]
            total += (high - low) * min(size, count - number * size)
    assert total == pytest.approx(sum(trial.seconds for trial in told.trials))


# -- choices -----------------------------------------------------------------------


def test_a_choice_that_decides_all_explains_all() -> None:
    assert explained([[1.0, 1.0], [2.0, 2.0], []]) == 1.0


def test_a_choice_explains_nothing_by_its_number_of_options_alone() -> None:
    rng = np.random.default_rng(0)
    shares, plain_shares = [], []
    for _ in range(200):
        values = rng.normal(size=(20, 2))
        shares.append(explained(values.tolist()))
        within = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum()
        plain_shares.append(1 - within / ((values - values.mean()) ** 2).sum())
    assert np.mean(shares) < 0.15 < 0.4 < np.mean(plain_shares)


@pytest.mark.parametrize("groups", [[], [[1.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_what_cannot_be_known_explains_nothing(groups: list[list[float]]) -> None:
    assert explained(groups) == 0.0


def test_choices_that_matter_come_before_those_that_do_not() -> None:
    found = [matter.name for matter in matters(story(trials(200)))]
    assert set(found) == {choice.name for choice in CHOICES}
    assert set(found[:2]) == {"depth", "width"}


def test_the_medians_are_those_of_the_trials_of_each_option() -> None:
    told = story(trials(40, every=9))
    depth = next(matter for matter in matters(told) if matter.name == "depth")
    (ticks,) = (p for p in depth.chart.layers if isinstance(p, Points) and p.mark == "tick")
    for name, median in zip(depth.chart.y.names, ticks.x, strict=True):
        values = [
            t.metrics["accuracy"]
            for t in told.measured
            if str(t.proposal.architecture.values["depth"]) == name
        ]
        assert median == pytest.approx(np.median(values))


def test_of_many_options_the_best_are_shown_and_the_rest_counted() -> None:
    many = Choice("many", tuple(f"option {number}" for number in range(30)))
    (found,) = matters(story(trials(90, (many,)), choices=(many,)))
    tried = {t.proposal.architecture.values["many"] for t in trials(90, (many,))}
    assert len(found.chart.y.names) + found.left_out == len(tried)
    (ticks,) = (p for p in found.chart.layers if isinstance(p, Points) and p.mark == "tick")
    assert list(ticks.x) == sorted(ticks.x, reverse=True)


def test_options_that_look_alike_are_told_apart() -> None:
    mixed = Choice("mixed", (1, True, 1.0, "1"))
    told = story(trials(80, (mixed,)), choices=(mixed,))
    (found,) = matters(told)
    (dots, *_) = (p for p in found.chart.layers if isinstance(p, Points))
    assert found.chart.y.names == ("1", "True", "1.0", "1")
    assert len(dots.x) == len(told.trials)


def test_at_most_so_many_choices_are_shown() -> None:
    choices = tuple(Choice(f"c{number}", (1, 2)) for number in range(20))
    assert len(matters(story(trials(30, choices), choices=choices))) == MOST_CHOICES


def test_a_quality_that_is_to_be_small_ranks_small_medians_first() -> None:
    many = Choice("many", tuple(f"option {number}" for number in range(30)))
    loss = Objective("accuracy", "", "min")
    (found,) = matters(story(trials(90, (many,)), (loss,), choices=(many,)))
    (ticks,) = (p for p in found.chart.layers if isinstance(p, Points) and p.mark == "tick")
    assert list(ticks.x) == sorted(ticks.x)
