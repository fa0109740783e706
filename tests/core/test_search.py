from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metanas.core.errors import ConfigError, JournalError
from metanas.core.front import front_of, pick
from metanas.core.history import Result, read_history, result_so_far
from metanas.core.objective import Objective
from metanas.core.protocols import NextJob, OnEvent
from metanas.core.search import FINAL, Search, run
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Job, Outcome, Proposal, Report, Status, Trial
from metanas.executors.inline import Inline
from metanas.stores.journal import MemoryJournal
from metanas.strategies.evolution import Evolution
from metanas.strategies.random import Random

SPACE = Space(
    "digits",
    tuple(Choice(f"c{i}", tuple(range(4))) for i in range(5)),
    lambda *_: None,  # type: ignore[arg-type, return-value]
)
ACCURACY = Objective("accuracy", "", "max")


class Killed(BaseException):
    """Ends a search as a kill does: nothing can be written any more."""


@dataclass
class Adding:
    """Judges by the sum of the values; some architectures fail, some take the search down."""

    ran: list[Job] = field(default_factory=list)
    sleep_s: float = 0.0
    fails: Callable[[Job], Status | None] = lambda job: None
    kills: Callable[[Job], bool] = lambda job: False

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        self.ran.append(job)
        if self.kills(job):
            raise Killed
        began, epochs = time.monotonic(), int(job.proposal["epochs"])
        accuracy = sum(job.proposal["values"].values()) / 15
        for epoch in range(1, epochs + 1):
            time.sleep(self.sleep_s)
            yield Report(epoch, {"accuracy": accuracy * epoch / epochs}, float(epoch))
        status, seconds = self.fails(job), time.monotonic() - began
        if status is not None:
            yield Outcome(status, {}, seconds, f"ended as {status}")
        else:
            yield Outcome("completed", {"accuracy": accuracy}, seconds)


def every_fifth_fails(job: Job) -> Status | None:
    failures: tuple[Status, ...] = ("infeasible", "crashed", "diverged")
    return failures[job.seed % 3] if job.seed % 5 == 0 else None


def stopped_by_a_person(journal: MemoryJournal, number: int) -> None:
    def stop(job: Job) -> bool:
        if job.number == number:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        searched(search(evaluate=Adding(kills=stop)), journal)


def search(**changed: Any) -> Search:
    default = Search(
        "s", SPACE, "task", (ACCURACY,), lambda c: Evolution(c, population=4, sample=2), Adding()
    )
    return replace(default, **{"trials": 14, "epochs": 2, "final_epochs": 3, **changed})


def cut(journal: MemoryJournal, count: int) -> MemoryJournal:
    short = MemoryJournal()
    for event in journal.events()[:count]:
        short.append(event)
    return short


def searched(wanted: Search, journal: MemoryJournal | None = None, **kwargs: Any) -> Result:
    return run(
        wanted,
        executor=kwargs.pop("executor", Inline()),
        journal=MemoryJournal() if journal is None else journal,
        **kwargs,
    )


def facts(result: Result) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.proposal, t.seed, t.status, t.metrics, t.curve, t.cached, t.error)
        for t in result.trials
    ]


WHOLE_JOURNAL = MemoryJournal()
WHOLE = searched(search(evaluate=Adding(fails=every_fifth_fails)), WHOLE_JOURNAL)


@given(st.integers(0, len(WHOLE_JOURNAL.events())))
@settings(max_examples=25, deadline=None)
def test_an_interrupted_search_continues_as_if_uninterrupted(count: int) -> None:
    journal = cut(WHOLE_JOURNAL, count)
    again = searched(search(evaluate=Adding(fails=every_fifth_fails)), journal)
    assert facts(again) == facts(WHOLE)
    assert again.best == replace(WHOLE.best, time_s=again.best.time_s, seconds=again.best.seconds)  # type: ignore[type-var, union-attr]
    assert again.final is not None
    assert WHOLE.final is not None
    assert again.final.outcome.metrics == WHOLE.final.outcome.metrics


def test_the_example_above_holds_failures() -> None:
    assert {trial.status for trial in WHOLE.trials} > {"completed"}
    assert WHOLE.best is not None
    assert not WHOLE.best.failed


def test_a_search_interrupted_again_and_again_loses_and_repeats_nothing() -> None:
    journal, ran = MemoryJournal(), []
    for stop in range(1, 15):
        evaluate = Adding(ran=[], kills=lambda job, stop=stop: job.number == stop)
        with pytest.raises(Killed):
            searched(search(trials=16, evaluate=evaluate, strategy=Random), journal)
        ran += [job.number for job in evaluate.ran if not evaluate.kills(job)]
    result = searched(search(trials=16, strategy=Random), journal)
    assert ran == list(range(14))
    whole = searched(search(trials=16, strategy=Random))
    assert facts(result) == facts(whole)


def test_a_finished_search_does_nothing_more() -> None:
    journal, evaluate = cut(WHOLE_JOURNAL, 10_000), Adding()
    assert facts(searched(search(evaluate=evaluate), journal)) == facts(WHOLE)
    assert evaluate.ran == []
    assert len(journal.events()) == len(WHOLE_JOURNAL.events())


def test_an_extended_search_is_one_that_was_longer_from_the_start() -> None:
    journal = MemoryJournal()
    searched(search(trials=6), journal)
    longer = searched(search(trials=20), journal)
    whole = searched(search(trials=20))
    assert facts(longer) == facts(whole)
    assert longer.final is not None
    assert whole.final is not None
    assert longer.final.number == whole.final.number


def test_asking_for_fewer_trials_than_there_are_changes_nothing() -> None:
    assert facts(searched(search(trials=3), cut(WHOLE_JOURNAL, 10_000))) == facts(WHOLE)


SMALL = Space("small", (Choice("c0", (0, 1, 2)),), lambda *_: None)  # type: ignore[arg-type, return-value]


def test_a_network_that_was_judged_costs_nothing_again() -> None:
    evaluate = Adding()
    result = searched(search(space=SMALL, strategy=Random, evaluate=evaluate, final_epochs=0))
    assert len(result.trials) == 14
    assert len(evaluate.ran) == 3
    fresh = {t.proposal.architecture.id: t for t in result.trials if not t.cached}
    cached = [t for t in result.trials if t.cached]
    assert len(cached) == 11
    for trial in cached:
        source = fresh[trial.proposal.architecture.id]
        assert (trial.metrics, trial.curve, trial.seconds) == (source.metrics, source.curve, 0.0)


def test_a_failure_that_may_be_bad_luck_is_tried_again_and_an_infeasible_one_is_not() -> None:
    statuses: tuple[Status, ...] = ("infeasible", "crashed", "timed_out")
    for status in statuses:
        evaluate = Adding(fails=lambda job, status=status: status)
        wanted = search(space=SMALL, strategy=Random, evaluate=evaluate, final_epochs=0)
        result = searched(wanted)
        assert [t.status for t in result.trials] == [status] * 14
        assert len(evaluate.ran) == (3 if status == "infeasible" else 14)


def fixed(settings: Sequence[dict[str, Any]]) -> Callable[[Any], Any]:
    """A strategy that proposes one architecture with different training settings."""

    class Fixed:
        def __init__(self, context: Any) -> None:
            self.told: list[Trial] = []

        def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
            if number >= len(settings):
                return None
            return Proposal(number, check(SMALL, {"c0": 0}), 2, settings=settings[number])

        def tell(self, trial: Trial) -> None:
            self.told.append(trial)

    return Fixed


def test_other_settings_are_another_training() -> None:
    strategy = fixed([{"rate": 1}, {"rate": 2}, {"rate": 1}])
    result = searched(search(space=SMALL, strategy=strategy))
    assert [trial.cached for trial in result.trials] == [False, False, True]


def test_a_strategy_ends_the_search_by_proposing_nothing() -> None:
    result = searched(search(space=SMALL, strategy=fixed([{}])))
    assert len(result.trials) == 1
    assert result.final is not None


def test_a_strategy_is_told_every_failure_with_its_status_and_error() -> None:
    made: list[Any] = []

    def strategy(context: Any) -> Any:
        made.append(fixed([{"a": i} for i in range(4)])(context))
        return made[-1]

    statuses: tuple[Status, ...] = ("infeasible", "out_of_memory", "diverged", "crashed")
    evaluate = Adding(fails=lambda job: statuses[job.number])
    result = searched(search(space=SMALL, strategy=strategy, evaluate=evaluate))
    told = made[0].told
    assert [trial.status for trial in told] == list(statuses)
    assert [trial.error for trial in told] == [f"ended as {status}" for status in statuses]
    assert result.best is None
    assert result.front == ()
    assert result.final is None


@pytest.mark.parametrize(("exact", "ran"), [(True, 3), (False, 1)])
def test_where_results_belong_to_exact_values_each_is_evaluated(exact: bool, ran: int) -> None:
    one = replace(SMALL, canonical=lambda values: "the same network")
    order, evaluate = (0, 1, 2, 1), Adding()

    class Listed:
        def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal:
            return Proposal(number, check(one, {"c0": order[number]}), 2)

        def tell(self, trial: Trial) -> None:
            """Nothing to learn."""

    facts = {"space": one, "strategy": lambda _: Listed(), "evaluate": evaluate}
    result = searched(search(**facts, trials=4, final_epochs=0, exact=exact))
    found = [trial.metrics["accuracy"] for trial in result.trials]
    assert len(evaluate.ran) == ran
    assert found == ([value / 15 for value in order] if exact else [0, 0, 0, 0])


def killed(journal: MemoryJournal, number: int, **changed: Any) -> None:
    evaluate = Adding(kills=lambda job: job.number == number)
    with pytest.raises(Killed):
        searched(search(evaluate=evaluate), journal, **changed)


def test_a_trial_that_a_person_stopped_is_not_to_blame() -> None:
    journal = MemoryJournal()
    for _ in range(3):
        stopped_by_a_person(journal, 5)
    assert [e["event"] for e in journal.events()].count("interrupted") == 3
    assert facts(searched(search(), journal)) == facts(searched(search()))


def test_a_person_clears_only_what_ran_when_the_search_was_stopped() -> None:
    journal = MemoryJournal()
    killed(journal, 0)
    first, again = journal.events()[-1], {"event": "attempt", "time_s": 2.0, "trials": 14}
    other = {**first, "proposal": {**first["proposal"], "number": 1}}
    stop = {"event": "interrupted", "time_s": 3.0, "trials": 0}
    history = read_history([*journal.events(), other, again, first, stop], SPACE)
    assert history.starts == {0: 1, 1: 1}


def test_a_trial_that_took_the_search_down_twice_is_told_as_crashed() -> None:
    journal = MemoryJournal()
    killed(journal, 5)
    killed(journal, 5)
    evaluate = Adding()
    result = searched(search(evaluate=evaluate), journal)
    assert 5 not in [job.number for job in evaluate.ran]
    (trial,) = [trial for trial in result.trials if trial.number == 5]
    assert (trial.status, trial.error) == ("crashed", "took the search down each time")
    assert len(result.trials) == 14


def test_one_interruption_proves_nothing() -> None:
    journal = MemoryJournal()
    killed(journal, 5)
    result = searched(search(), journal)
    assert facts(result) == facts(searched(search()))


def test_a_trial_in_a_process_of_its_own_is_suspected_later() -> None:
    journal, isolated = MemoryJournal(), Inline(isolated=True)
    for _ in range(4):
        killed(journal, 5, executor=isolated)
    result = searched(search(), cut(journal, 10_000), executor=isolated)
    assert {trial.status for trial in result.trials} == {"completed"}
    killed(journal, 5, executor=isolated)
    result = searched(search(), journal, executor=isolated)
    assert [t.number for t in result.trials if t.status == "crashed"] == [5]


def test_the_winner_is_trained_once_with_its_own_seed() -> None:
    evaluate = Adding()
    result = searched(search(evaluate=evaluate))
    (final,) = [job for job in evaluate.ran if job.final]
    assert result.best is not None
    assert final.number == FINAL
    assert final.seed == result.best.seed
    assert final.proposal["values"] == dict(result.best.proposal.architecture.values)
    assert final.proposal["epochs"] == 3
    assert result.final is not None
    assert result.final.number == result.best.number
    assert len(result.trials) == 14


def test_without_final_epochs_no_winner_is_trained() -> None:
    evaluate = Adding()
    assert searched(search(evaluate=evaluate, final_epochs=0)).final is None
    assert not any(job.final for job in evaluate.ran)


def test_a_winners_training_that_failed_is_tried_again_on_resuming() -> None:
    journal = MemoryJournal()
    failing = Adding(fails=lambda job: "crashed" if job.final else None)
    first = searched(search(evaluate=failing), journal)
    assert first.final is not None
    assert first.final.outcome.status == "crashed"
    evaluate = Adding()
    second = searched(search(evaluate=evaluate), journal)
    assert [job.final for job in evaluate.ran] == [True]
    assert second.final is not None
    assert second.final.outcome.status == "completed"


def test_a_search_ends_when_its_time_is_up() -> None:
    began = time.monotonic()
    evaluate = Adding(sleep_s=0.02)
    result = searched(search(trials=10_000, evaluate=evaluate, max_seconds=0.8, strategy=Random))
    assert time.monotonic() - began < 5
    assert 1 <= len(result.trials) < 40
    assert result.final is not None
    limits = [job.limit_s for job in evaluate.ran if not job.final]
    assert all(limit is not None and 0 < limit <= 0.8 for limit in limits)


def test_time_between_two_attempts_does_not_count() -> None:
    journal = MemoryJournal()
    killed(journal, 5)
    time.sleep(0.5)
    result = searched(search(max_seconds=0.5), journal)
    assert len(result.trials) == 14


def test_the_limit_of_a_trial_reaches_its_job() -> None:
    evaluate = Adding()
    searched(search(evaluate=evaluate, max_trial_seconds=7.5))
    assert {job.limit_s for job in evaluate.ran if not job.final} == {7.5}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"event": "proposed", "time_s": 1.0},
            "event 3 is no event of this search: lacks 'proposal'",
        ),
        ({"event": "finished", "time_s": 1.0, "trial": {"number": 9}}, "trial 9 finishes without"),
        ({"event": "prposed", "time_s": 1.0}, "event 3 .*prposed"),
        ({"event": "attempt", "time_s": "noon"}, "event 3 .*noon"),
        ({"time_s": 1.0}, "event 3 .* lacks 'event'"),
        (
            {
                "event": "proposed",
                "time_s": 1.0,
                "proposal": {"number": 0, "values": {"c0": 99}, "epochs": 1},
            },
            "event 3 .*'c0'.* is 99",
        ),
    ],
)
def test_a_journal_with_what_no_search_wrote_is_refused(event: Any, message: str) -> None:
    journal = MemoryJournal()
    for number in range(2):
        journal.append({"event": "attempt", "time_s": 0.0, "number": number, "trials": 1})
    journal.append(event)
    with pytest.raises(JournalError, match=message):
        searched(search(space=SMALL, strategy=Random), journal)


def test_a_trial_cannot_be_proposed_after_it_has_finished() -> None:
    journal = cut(WHOLE_JOURNAL, 10_000)
    proposed = next(e for e in journal.events() if e["event"] == "proposed")
    journal.append(proposed)
    with pytest.raises(JournalError, match="trial 0 is proposed after it has finished"):
        read_history(journal.events(), SPACE)


def test_a_journal_can_be_read_while_its_search_runs() -> None:
    half = WHOLE_JOURNAL.events()[:15]
    result = result_so_far(half, SPACE, (ACCURACY,))
    assert 0 < len(result.trials) < 14
    assert result.best is not None
    assert result.final is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": 0}, "search.trials is 0, expected at least 1"),
        ({"epochs": 0}, "search.epochs is 0, expected at least 1"),
        ({"final_epochs": -1}, "search.final_epochs is -1, expected at least 0"),
        ({"workers": 0}, "search.workers is 0"),
        ({"seed": -1}, "search.seed is -1"),
        ({"max_seconds": 0}, "search.max_seconds is 0, expected more than 0"),
        ({"max_trial_seconds": -2.0}, "search.max_trial_seconds is -2.0"),
        ({"objectives": ()}, "search.objectives is empty"),
    ],
)
def test_a_search_refuses_numbers_out_of_range(changed: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search(**changed)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    return pick(front_of(trials, (ACCURACY,)), (ACCURACY,))[0]


def finished(number: int, accuracy: float | None, status: Status = "completed") -> Trial:
    metrics = {} if accuracy is None else {"accuracy": accuracy}
    return Trial(Proposal(number, check(SMALL, {"c0": 0}), 1), "task", 0, status, metrics)


def test_the_best_is_the_earliest_of_equals_and_never_a_failed_one() -> None:
    trials = [finished(2, 0.8), finished(1, 0.8), finished(0, 0.9, "crashed"), finished(3, 0.1)]
    best = best_of(trials)
    assert best is not None
    assert best.number == 1


def test_where_all_failed_the_best_is_one_that_ran_out_of_time() -> None:
    trials = [finished(0, 0.9, "crashed"), finished(1, 0.2, "timed_out"), finished(2, None)]
    best = best_of([trials[0], trials[1]])
    assert best is not None
    assert best.number == 1
    assert best_of([trials[0]]) is None


@dataclass
class Recorder:
    """A tracker that writes down what it is told."""

    calls: list[str] = field(default_factory=list)

    def started(self, proposal: Proposal) -> None:
        self.calls.append(f"started {proposal.number}")

    def progress(self, number: int, report: Report) -> None:
        self.calls.append(f"epoch {report.epoch} of {number}")

    def log(self, trial: Trial) -> None:
        self.calls.append(f"{trial.status} {trial.number}")

    def close(self) -> None:
        self.calls.append("close")


def test_trackers_hear_everything_in_its_order() -> None:
    tracker = Recorder()
    searched(search(trials=1, final_epochs=1), trackers=[tracker])
    assert tracker.calls == [
        *("started 0", "epoch 1 of 0", "epoch 2 of 0", "completed 0"),
        *("started -1", "epoch 1 of -1"),
    ]


@dataclass(frozen=True)
class Backwards:
    """An executor of three jobs at a time, which ends the latest first."""

    isolated: bool = False

    def open(self, workers: int) -> None:
        """Nothing to start."""

    def __call__(
        self, evaluate: Any, next_job: NextJob, on_event: OnEvent, *, workers: int
    ) -> None:
        running: list[Job] = []
        while True:
            while len(running) < workers and (job := next_job()) is not None:
                running.append(job)
            if not running:
                return
            last = running.pop()
            for event in evaluate(last):
                on_event(last, event)

    def close(self) -> None:
        """Nothing to release."""


@given(st.integers(0, 40))
@settings(max_examples=10, deadline=None)
def test_an_interrupted_search_of_several_workers_runs_every_number_once(count: int) -> None:
    journal = MemoryJournal()
    searched(search(workers=3), journal, executor=Backwards())
    result = searched(search(workers=3), cut(journal, count), executor=Backwards())
    assert sorted(trial.number for trial in result.trials) == list(range(14))
    before = {
        e["proposal"]["number"]: e["proposal"]
        for e in cut(journal, count).events()
        if e["event"] == "proposed"
    }
    after = {trial.number: trial.proposal for trial in result.trials}
    assert all(
        dict(after[number].architecture.values) == proposal["values"]
        for number, proposal in before.items()
    )


def test_an_executor_that_forgets_a_job_is_found_out() -> None:
    class Forgetful(Backwards):
        def __call__(
            self, evaluate: Any, next_job: NextJob, on_event: OnEvent, *, workers: int
        ) -> None:
            next_job()

    with pytest.raises(RuntimeError, match=r"left trials \[0\] without outcome"):
        searched(search(), executor=Forgetful())
