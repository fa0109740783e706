from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.core.errors import SpaceError
from metanas.core.space import Choice, Space, check, encode, mutate, neighbours, sample


def build(values: Any, shape: tuple[int, ...], outputs: int) -> Any:
    raise NotImplementedError


WIDTH = Choice("width", (16, 32, 64), ordered=True)
KIND = Choice("kind", ("plain", "residual"))
SPACE = Space("two", (WIDTH, KIND), build)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "has no options"),
        ((1, 2, 1), "lists an option twice"),
        ((float("nan"),), "is not finite"),
        ((None,), "is a NoneType, expected a string, number or boolean"),
        (((3, 3),), "is a tuple"),
    ],
)
def test_a_choice_refuses_options_that_it_cannot_store(options: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Choice("width", options)


def test_one_and_one_point_nought_and_true_are_three_options() -> None:
    choice = Choice("odd", (1, 1.0, True))
    assert [choice.index(value) for value in (1, 1.0, True)] == [0, 1, 2]


def test_what_is_no_option_has_no_position() -> None:
    for value in (2, 1.5, "1", False):
        with pytest.raises(ValueError):
            Choice("odd", (1, 1.0, True)).index(value)


def test_a_space_refuses_no_choices_and_two_of_one_name() -> None:
    with pytest.raises(SpaceError, match="has no choices"):
        Space("empty", (), build)
    with pytest.raises(SpaceError, match="two choices of one name"):
        Space("twice", (WIDTH, WIDTH), build)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"width": 4, "kind": "plain"},
            "choice 'width' of architecture [0-9a-f]{8} is 4, expected",
        ),
        ({"width": 16}, "lacks choice 'kind'"),
        ({"width": 16, "kind": "plain", "depth": 1}, "has a choice 'depth' that space 'two' lacks"),
        ({"width": 16.0, "kind": "plain"}, r"is 16.0, expected one of \(16, 32, 64\)"),
    ],
)
def test_check_says_what_is_wrong_and_what_is_allowed(values: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        check(SPACE, values)
    assert "\n" not in str(caught.value)


def test_check_refuses_a_combination_that_is_not_allowed() -> None:
    space = Space("holes", (WIDTH, KIND), build, allowed=lambda v: v["width"] != 64)
    with pytest.raises(SpaceError, match="space 'holes' does not allow architecture"):
        check(space, {"width": 64, "kind": "plain"})


def test_the_order_in_which_values_are_given_changes_nothing() -> None:
    one = check(SPACE, {"width": 16, "kind": "plain"})
    other = check(SPACE, {"kind": "plain", "width": 16})
    assert one == other
    assert hash(one) == hash(other)
    assert one.id == other.id
    assert one.key == (16, "plain")


def test_ids_are_equal_exactly_for_equal_canonical_forms() -> None:
    space = Space("same", (WIDTH, KIND), build, canonical=lambda values: values["kind"])
    members = [check(space, {"width": w, "kind": k}) for w in WIDTH.options for k in KIND.options]
    assert len({member.id for member in members}) == 2
    assert len(set(members)) == 6


def test_an_id_never_changes_between_versions() -> None:
    assert check(SPACE, {"width": 16, "kind": "plain"}).id == ID_OF_16_PLAIN


ID_OF_16_PLAIN = "5f50ef2f855aa06f"


def test_samples_are_uniform_over_the_members() -> None:
    space = Space(
        "holes", (WIDTH, KIND), build, allowed=lambda v: v != {"width": 64, "kind": "plain"}
    )
    rng = np.random.default_rng(0)
    counts = Counter(sample(space, rng).key for _ in range(5_000))
    assert len(counts) == 5
    assert min(counts.values()) > 850


def test_sampling_a_space_that_allows_nothing_ends_with_an_error() -> None:
    space = Space("none", (WIDTH,), build, allowed=lambda v: False)
    with pytest.raises(SpaceError, match=re.escape("allowed none of 10000 combinations")):
        sample(space, np.random.default_rng(0))


def test_neighbours_are_all_members_that_differ_in_one_choice() -> None:
    found = [n.key for n in neighbours(check(SPACE, {"width": 32, "kind": "plain"}))]
    assert found == [(16, "plain"), (64, "plain"), (32, "residual")]


def test_mutation_picks_the_choice_first_and_then_its_option() -> None:
    parent = check(SPACE, {"width": 32, "kind": "plain"})
    rng = np.random.default_rng(0)
    counts = Counter(mutate(parent, rng).key for _ in range(4_000))
    assert counts[(32, "residual")] == pytest.approx(2_000, rel=0.1)
    assert counts[(16, "plain")] == pytest.approx(1_000, rel=0.1)
    assert counts[(64, "plain")] == pytest.approx(1_000, rel=0.1)


def test_mutation_prefers_an_edit_that_changes_the_network() -> None:
    space = Space("same", (WIDTH, KIND), build, canonical=lambda values: values["kind"])
    parent = check(space, {"width": 32, "kind": "plain"})
    rng = np.random.default_rng(0)
    assert {mutate(parent, rng).key for _ in range(50)} == {(32, "residual")}


def test_a_silent_edit_is_better_than_none() -> None:
    space = Space("one", (WIDTH,), build, canonical=lambda values: "all the same")
    parent = check(space, {"width": 32})
    assert mutate(parent, np.random.default_rng(0)) != parent


def test_a_member_without_neighbours_mutates_into_a_sample() -> None:
    space = Space("single", (Choice("only", (1,)),), build)
    parent = check(space, {"only": 1})
    assert neighbours(parent) == []
    assert mutate(parent, np.random.default_rng(0)) == parent


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_encoded_rows_are_one_hot_in_every_choice(sizes: list[int], count: int) -> None:
    choices = tuple(Choice(f"c{i}", tuple(range(size))) for i, size in enumerate(sizes))
    space = Space("any", choices, build)
    rng = np.random.default_rng(0)
    members = [sample(space, rng) for _ in range(count)]
    matrix = encode(space, members)
    assert matrix.shape == (count, sum(sizes))
    assert matrix.dtype == np.float32
    parts = np.split(matrix, np.cumsum(sizes)[:-1], axis=1)
    picked = [[int(np.argmax(part[row])) for part in parts] for row in range(count)]
    assert picked == [list(member.key) for member in members]
    assert (matrix.sum(axis=1) == len(sizes)).all()


def test_encode_refuses_a_member_of_another_space() -> None:
    other = Space("other", SPACE.choices, build)
    with pytest.raises(SpaceError, match="architecture 0 is of space 'other', expected 'two'"):
        encode(SPACE, [sample(other, np.random.default_rng(0))])


def test_a_space_of_listed_members_can_be_a_key_and_draws_only_them() -> None:
    held = [{"a": 0, "b": 1}, {"a": 1, "b": 0}]
    choices = (Choice("a", (0, 1)), Choice("b", (0, 1)))
    one, other = (Space("held", choices, lambda *_: None, members=held) for _ in range(2))  # type: ignore[arg-type, return-value]
    assert hash(one) == hash(other)
    assert {one: 1}[one] == 1
    assert one.size == 2
    rng = np.random.default_rng(0)
    drawn = {sample(one, rng).key for _ in range(30)}
    assert drawn == {(0, 1), (1, 0)}
