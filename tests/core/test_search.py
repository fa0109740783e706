"""The search loop: resumable at any event, and never brought down by a trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.core.errors import ConfigError, JournalError
from metanas.core.objective import Objective
from metanas.core.search import Search, run
from metanas.core.space import Choice, Space
from metanas.core.trial import Job, Outcome, Report
from metanas.executors.inline import Inline
from metanas.stores.journal import MemoryJournal
from metanas.strategies.evolution import Evolution

SPACE = Space("tiny", tuple(Choice(f"c{i}", (0, 1, 2, 3)) for i in range(3)), lambda *_: None)


def evaluate(job: Job) -> Iterator[Report | Outcome]:
    values = job.proposal["values"]
    if values["c0"] == 3:
        yield Outcome("infeasible", {}, 0.0, "c0 is 3")
        return
    accuracy = (sum(values.values()) + (job.seed % 7) / 100) / 10
    for epoch in range(1, job.proposal["epochs"] + 1):
        yield Report(epoch, {"accuracy": accuracy * epoch}, float(epoch))
    yield Outcome("completed", {"accuracy": accuracy}, 1.0)


SEARCH = Search(
    name="s",
    space=SPACE,
    task="t",
    objectives=(Objective("accuracy", "", "max"),),
    strategy=Evolution,
    evaluate=evaluate,
    trials=30,
    epochs=2,
    final_epochs=4,
)


def facts(journal: MemoryJournal) -> list[object]:
    return [
        {k: v for k, v in e["trial"].items() if k != "time_s"} | {"curve": None}
        for e in journal.events()
        if e["event"] == "finished"
    ]


WHOLE = MemoryJournal()
WHOLE_RESULT = run(SEARCH, executor=Inline(), journal=WHOLE)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(WHOLE.events())))
def test_an_interrupted_search_continues_as_if_uninterrupted(length: int) -> None:
    journal = MemoryJournal()
    for event in WHOLE.events()[:length]:
        journal.append(event)
    result = run(SEARCH, executor=Inline(), journal=journal)
    assert facts(journal) == facts(WHOLE)
    assert result.best is not None
    assert WHOLE_RESULT.best is not None
    assert result.best.number == WHOLE_RESULT.best.number
    assert result.final == WHOLE_RESULT.final


def test_an_extended_search_equals_one_that_was_longer_from_the_start() -> None:
    journal = MemoryJournal()
    run(replace(SEARCH, trials=17), executor=Inline(), journal=journal)
    run(SEARCH, executor=Inline(), journal=journal)
    assert facts(journal) == facts(WHOLE)


def test_a_search_that_is_over_runs_nothing_again() -> None:
    def refused(job: Job) -> Iterator[Report | Outcome]:
        raise AssertionError("nothing is left to run")

    journal = MemoryJournal()
    for event in WHOLE.events():
        journal.append(event)
    again = run(replace(SEARCH, evaluate=refused), executor=Inline(), journal=journal)
    assert again.final == WHOLE_RESULT.final
    assert journal.events() == WHOLE.events()


def test_a_known_network_costs_nothing_and_is_marked() -> None:
    class Same:
        def __init__(self, context: object) -> None:
            self.first = Evolution(context).ask(0, ())  # type: ignore[arg-type]

        def ask(self, number: int, pending: object) -> object:
            return replace(self.first, number=number)

        def tell(self, trial: object) -> None:
            pass

    ran = []

    def counting(job: Job) -> Iterator[Report | Outcome]:
        ran.append(job.number)
        return evaluate(job)

    search = replace(SEARCH, strategy=Same, evaluate=counting, trials=5, final_epochs=0)
    result = run(search, executor=Inline(), journal=MemoryJournal())
    assert ran == [0]
    assert [trial.cached for trial in result.trials] == [False, True, True, True, True]
    assert len({str(trial.metrics) for trial in result.trials}) == 1


def test_a_trial_that_took_the_search_down_twice_is_told_as_crashed() -> None:
    deaths = []

    def deadly(job: Job) -> Iterator[Report | Outcome]:
        if job.number == 2:
            deaths.append(job.number)
            raise SystemError("as if the process were gone")
        return evaluate(job)

    journal = MemoryJournal()
    for _ in range(2):
        with pytest.raises(SystemError):
            run(replace(SEARCH, evaluate=deadly), executor=Inline(), journal=journal)
    result = run(replace(SEARCH, evaluate=deadly), executor=Inline(), journal=journal)
    assert len(deaths) == 2
    assert result.trials[2].status == "crashed"
    assert len(result.trials) == SEARCH.trials


def test_failed_trials_count_and_are_never_the_best() -> None:
    failed = [trial for trial in WHOLE_RESULT.trials if trial.failed]
    assert failed
    assert {trial.status for trial in failed} == {"infeasible"}
    assert WHOLE_RESULT.best not in failed
    assert len(WHOLE_RESULT.trials) == SEARCH.trials


def test_a_search_without_success_has_no_winner() -> None:
    def hopeless(job: Job) -> Iterator[Report | Outcome]:
        yield Outcome("diverged", {}, 0.0, "nan")

    result = run(replace(SEARCH, evaluate=hopeless), executor=Inline(), journal=MemoryJournal())
    assert result.best is None
    assert result.front == ()
    assert result.final is None


def test_the_winner_is_trained_longer_once_and_scored_on_test() -> None:
    finals = [event for event in WHOLE.events() if event["event"] == "final"]
    assert len(finals) == 1
    assert finals[0]["epochs"] == 4
    jobs = []

    def noting(job: Job) -> Iterator[Report | Outcome]:
        jobs.append(job)
        return evaluate(job)

    run(replace(SEARCH, evaluate=noting), executor=Inline(), journal=MemoryJournal())
    assert [job.final for job in jobs] == [False] * (len(jobs) - 1) + [True]


def test_a_time_limit_ends_a_search_with_what_it_has() -> None:
    def slow(job: Job) -> Iterator[Report | Outcome]:
        import time

        time.sleep(0.02)
        return evaluate(job)

    search = replace(SEARCH, evaluate=slow, trials=10_000, max_seconds=0.3, final_epochs=0)
    result = run(search, executor=Inline(), journal=MemoryJournal())
    assert 1 <= len(result.trials) < 100
    assert result.best is not None


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event": "finished", "time_s": 0, "trial": {"number": 9}}, "finishes without"),
        ({"event": "dance", "time_s": 0}, "dance"),
        ({"event": "attempt"}, "time_s"),
        (
            {"event": "proposed", "time_s": 0, "proposal": {"number": 0, "values": {}, "epochs": 1}},
            "lacks choice",
        ),
    ],
)
def test_an_event_that_no_search_wrote_is_named(event: dict[str, object], reason: str) -> None:
    journal = MemoryJournal()
    journal.append({"event": "search", "time_s": 0})
    journal.append(event)
    with pytest.raises(JournalError, match="event 2") as caught:
        run(SEARCH, executor=Inline(), journal=journal)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("trials", 0), ("epochs", 0), ("workers", 0), ("max_seconds", -1.0)]
)
def test_a_number_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"search\.{key} is {value}, expected"):
        replace(SEARCH, **{key: value})
