"""What a prior's card says of it, and the picture of its tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from made_experience import CHOICES, SPACE, prior, source
from metanas.core.space import Space
from metanas.meta.card import card_of, in_words, spearman, stand_in
from metanas.meta.prior import Prior
from metanas.meta.similarity import likeness, picture, places


def none(name: str) -> Space | None:
    return None


def installed(name: str) -> Space | None:
    return SPACE if name == "made" else None


def test_a_task_that_the_others_tell_has_a_high_score_and_a_negated_one_a_low() -> None:
    alike = prior("a", "b", "c")
    turned = replace(source("d", seed=9), scores=-source("d", seed=9).scores)
    card = card_of(replace(alike, sources=(*alike.sources, turned)), [], installed)
    scores = {each["task"]: each["score"] for each in card["tasks"]}
    assert scores["d"] < -0.5
    only_alike = card_of(alike, [], installed)["tasks"]
    assert all(each["score"] > 0.8 for each in only_alike)


def test_why_a_task_is_not_judged_is_said() -> None:
    card = card_of(prior("a"), ["task 'x': too few"], installed)
    assert card["tasks"][0]["score"] is None
    assert card["tasks"][0]["why"] == "no other task in space 'made'"
    text = in_words("mine", 3, card)
    assert text.startswith("# mine version 3\n")
    assert "- a: no other task in space 'made'" in text
    assert "- task 'x': too few" in text
    assert "metanas 0" in text


def test_a_card_holds_nothing_that_a_terminal_would_obey() -> None:
    card = card_of(prior("evil\x1b[2J\n"), [], installed)
    assert "evil?[2J?" in in_words("mine", 1, card)
    assert "\x1b" not in in_words("mine", 1, card)
    assert in_words("mine", 0, {}).startswith("# mine\n")


def test_a_space_that_is_not_installed_is_known_by_its_trials() -> None:
    found = stand_in([source("a", 100)])
    assert found is not None
    assert {c.name: set(c.options) for c in found.choices} == {
        c.name: set(c.options) for c in CHOICES
    }
    assert {c.name for c in found.choices if c.ordered} == {"depth", "width"}
    card = card_of(prior("a", "b"), [], none)
    assert all(each["score"] > 0.5 for each in card["tasks"])
    odd = replace(source("b"), architectures=({"other": 1},) * 30)
    assert stand_in([source("a"), odd]) is None


def test_tasks_are_compared_by_fingerprints_where_all_have_one() -> None:
    prints = [
        {"version": [1, 1], "kind": "classification", "outputs": outputs}
        for outputs in (10, 10, 80)
    ]
    sources = [source(task, fingerprint=p) for task, p in zip("abc", prints, strict=True)]
    found = likeness(Prior(tuple(sources)), none)
    assert found.by == "fingerprints of their data"
    assert found.distances[0, 1] == 0
    assert found.distances[0, 2] > 0
    without = likeness(Prior((*sources[:2], source("c"))), installed)
    assert without.by == "what they expect in space made"
    broken = [replace(each, fingerprint={"version": [1, 1]}) for each in sources]
    assert likeness(Prior(tuple(broken)), installed).by == "what they expect in space made"


def test_points_are_as_far_apart_as_told() -> None:
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    at = places(apart)
    assert np.linalg.norm(at[:, None] - at[None], axis=-1) == pytest.approx(apart)
    assert places(np.zeros((1, 1))).shape == (1, 2)


@pytest.mark.parametrize("tasks", ["a", "ab", "abc"])
def test_the_picture_is_a_png(tasks: str) -> None:
    assert picture(likeness(prior(*tasks), installed)).startswith(b"\x89PNG")


def test_rank_correlation_sees_order_alone() -> None:
    assert spearman([1, 2, 3], [1, 10, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [3, 2, 1]) == 0
