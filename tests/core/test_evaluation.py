from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from metanas.core.errors import DivergedError, InfeasibleError
from metanas.core.evaluation import Evaluation
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Job, Outcome, Proposal, Report, proposal_record

SPACE = Space("tiny", (Choice("width", (1, 2)),), lambda *_: None)  # type: ignore[arg-type, return-value]
RECORD = proposal_record(Proposal(0, check(SPACE, {"width": 1}), 2))


def judged(body: Callable[[], Iterator[Report]], **job: Any) -> list[Report | Outcome]:
    def estimator(*_: Any, **__: Any) -> Iterator[Report]:
        return body()

    evaluation = Evaluation(SPACE, None, estimator)  # type: ignore[arg-type]
    return list(evaluation(Job(0, RECORD, 1, **job)))


def ending(body: Callable[[], Iterator[Report]], **job: Any) -> Outcome:
    *_, outcome = judged(body, **job)
    assert isinstance(outcome, Outcome)
    return outcome


def raising(error: BaseException) -> Callable[[], Iterator[Report]]:
    def body() -> Iterator[Report]:
        yield Report(1, {"accuracy": 0.5})
        raise error

    return body


def test_reports_come_first_and_the_outcome_has_the_last_metrics() -> None:
    def body() -> Iterator[Report]:
        yield Report(1, {"accuracy": 0.5})
        yield Report(2, {"accuracy": 0.6})

    first, second, outcome = judged(body)
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert (first.epoch, second.epoch) == (1, 2)
    assert time.time() - first.time_s < 10
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.metrics, outcome.error) == ("completed", {"accuracy": 0.6}, "")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InfeasibleError("no such layer"), "infeasible", "no such layer"),
        (DivergedError("loss is nan"), "diverged", "loss is nan"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (RuntimeError("CUDA out of memory. Tried"), "out_of_memory", "CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory", "allocate"),
        (KeyError("in\nthe middle"), "crashed", "KeyError"),
        (SystemExit(3), "crashed", "SystemExit: 3"),
    ],
)
def test_whatever_is_raised_becomes_a_status(error: BaseException, status: str, text: str) -> None:
    outcome = ending(raising(error))
    assert outcome.status == status
    assert text in outcome.error
    assert "\n" not in outcome.error
    assert outcome.metrics == {"accuracy": 0.5}


def test_a_crash_names_the_line() -> None:
    assert "(test_evaluation.py:" in ending(raising(KeyError("x"))).error


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_a_divergence(value: float) -> None:
    events = judged(lambda: iter([Report(1, {"loss": 1.0}), Report(2, {"loss": value})]))
    assert [type(event) for event in events] == [Report, Outcome]
    assert events[1] == Outcome("diverged", {"loss": 1.0}, events[1].seconds, events[1].error)  # type: ignore[union-attr]
    assert events[1].error == f"loss is {value} after epoch 2"  # type: ignore[union-attr]


def test_the_user_can_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        judged(raising(KeyboardInterrupt()))


def test_a_training_that_hangs_is_interrupted() -> None:
    def body() -> Iterator[Report]:
        yield Report(1, {"accuracy": 0.5})
        time.sleep(60)

    began = time.monotonic()
    outcome = ending(body, limit_s=0.3)
    assert time.monotonic() - began < 5
    assert outcome.status == "timed_out"
    assert outcome.error == "ran past its limit of 0.3 s"
    assert outcome.metrics == {"accuracy": 0.5}


def test_a_training_that_swallows_exceptions_is_interrupted_all_the_same() -> None:
    def body() -> Iterator[Report]:
        try:
            time.sleep(60)
        except:  # noqa: E722 - what a careless user writes
            time.sleep(60)
        yield Report(1, {})

    assert ending(body, limit_s=0.2).status == "timed_out"


def test_in_another_thread_the_limit_takes_effect_at_the_next_report() -> None:
    def body() -> Iterator[Report]:
        for epoch in range(1, 1_000):
            time.sleep(0.05)
            yield Report(epoch, {})

    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(ending(body, limit_s=0.2)))
    thread.start()
    thread.join(timeout=10)
    assert [outcome.status for outcome in outcomes] == ["timed_out"]


def test_a_limit_that_is_over_leaves_no_alarm_behind() -> None:
    assert ending(lambda: iter([Report(1, {})]), limit_s=0.2).status == "completed"
    time.sleep(0.4)  # an alarm that was left would end this test


def test_a_proposal_of_another_space_is_a_crash_of_its_trial() -> None:
    evaluation = Evaluation(SPACE, None, lambda *_, **__: iter(()))  # type: ignore[arg-type]
    (outcome,) = evaluation(Job(0, {**RECORD, "values": {"width": 9}}, 1))
    assert isinstance(outcome, Outcome)
    assert outcome.status == "crashed"
    assert "'width'" in outcome.error
