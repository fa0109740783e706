from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.core.errors import SpaceError
from metanas.core.space import Choice, Space, check
from metanas.core.trial import (
    STATUSES,
    Proposal,
    Report,
    Trial,
    proposal_from,
    proposal_record,
    trial_from,
    trial_record,
    trial_seed,
)

SPACE = Space("tiny", (Choice("width", (1, 2)),), lambda *_: None)  # type: ignore[arg-type, return-value]
MEMBER = check(SPACE, {"width": 2})
PLAIN = Proposal(0, MEMBER, 3)

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(st.text(max_size=5), st.integers(-9, 9), finite, st.booleans())
proposals = st.builds(
    Proposal,
    number=st.integers(0, 10**6),
    architecture=st.just(MEMBER),
    epochs=st.integers(1, 300),
    settings=st.dictionaries(st.text(max_size=5), values, max_size=3),
    parent=st.none() | st.integers(0, 100),
    notes=st.dictionaries(st.text(max_size=5), st.lists(finite, max_size=3), max_size=3),
    reason=st.text(max_size=20),
)
metrics = st.dictionaries(st.text(min_size=1, max_size=5), finite, max_size=3)
trials = st.builds(
    Trial,
    proposal=proposals,
    task=st.text(max_size=5),
    seed=st.integers(0, 2**32 - 1),
    status=st.sampled_from(STATUSES),
    metrics=metrics,
    curve=st.lists(st.builds(Report, st.integers(1, 9), metrics, finite), max_size=3).map(tuple),
    seconds=st.floats(0, 1e6),
    cached=st.booleans(),
    error=st.text(max_size=20),
    time_s=st.floats(0, 1e10),
)


@given(proposals)
def test_a_proposal_survives_json(proposal: Proposal) -> None:
    assert proposal_from(json.loads(json.dumps(proposal_record(proposal))), SPACE) == proposal


@given(trials)
def test_a_trial_survives_json(trial: Trial) -> None:
    record = json.loads(json.dumps(trial_record(trial), allow_nan=False))
    assert trial_from(record, trial.proposal) == trial


def test_a_plain_proposal_has_a_short_record() -> None:
    assert proposal_record(PLAIN) == {"number": 0, "values": {"width": 2}, "epochs": 3}


def test_a_proposal_of_another_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="'width' of architecture .* is 3"):
        proposal_from({"number": 0, "values": {"width": 3}, "epochs": 1}, SPACE)


def record(**changed: Any) -> dict[str, Any]:
    return {**trial_record(Trial(PLAIN, "t", 1, "completed", {"accuracy": 0.5})), **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"status": "done"}, "status 'done', expected one of completed, stopped"),
        ({"metrics": {"loss": float("nan")}}, "metric loss is nan"),
        ({"metrics": {"loss": float("inf")}}, "metric loss is inf"),
        (
            {"curve": [{"epoch": 1, "metrics": {"loss": float("nan")}, "time_s": 0}]},
            "metric loss is nan",
        ),
    ],
)
def test_a_record_that_no_trial_wrote_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trial_from(record(**changed), PLAIN)


def test_only_completed_and_stopped_trials_have_not_failed() -> None:
    failed = [status for status in STATUSES if Trial(PLAIN, "t", 1, status, {}).failed]
    assert failed == ["infeasible", "out_of_memory", "diverged", "timed_out", "crashed"]


def test_seeds_of_trials_are_32_bits_and_all_different() -> None:
    seeds = {trial_seed(seed, number) for seed in range(20) for number in range(200)}
    assert len(seeds) == 4_000
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert trial_seed(3, 7) == trial_seed(3, 7)
