"""Finalists that are trained again before the winner is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from metanas.core.history import Result, result_so_far
from metanas.core.objective import Objective
from metanas.core.search import FIRST_REPEAT, Search, run
from metanas.core.space import Choice, Space
from metanas.core.trial import Job, Outcome, Report, trial_seed
from metanas.executors.inline import Inline
from metanas.stores.journal import MemoryJournal
from metanas.strategies.random import Random

SPACE = Space("noisy", (Choice("c", tuple(range(1_000))),), lambda *_: None)  # type: ignore[arg-type, return-value]
ACCURACY = Objective("accuracy", "", "max")


class Killed(BaseException):
    """Ends a search as a kill does."""


@dataclass
class Noisy:
    """Accuracy by the value, with noise by the seed; a job can be killed or fail."""

    noise: float = 0.5
    kill_at: int | None = None
    fails: bool = False
    ran: list[Job] = field(default_factory=list)

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        if len(self.ran) == self.kill_at:
            raise Killed
        self.ran.append(job)
        if self.fails and job.number <= FIRST_REPEAT:
            yield Outcome("diverged", {}, 0.0, "nan")
            return
        drawn = float(np.random.default_rng(job.seed).normal())
        accuracy = job.proposal["values"]["c"] / 1_000 + self.noise * drawn
        yield Report(1, {"accuracy": accuracy}, 1.0)
        yield Outcome("completed", {"accuracy": accuracy}, 0.0)


def search(evaluate: Any, **changed: Any) -> Search:
    facts = {"trials": 8, "epochs": 1, "repeats": 3, **changed}
    return Search("s", SPACE, "task", (ACCURACY,), Random, evaluate, **facts)


def ran(evaluate: Any, journal: MemoryJournal | None = None, **changed: Any) -> Result:
    journal = MemoryJournal() if journal is None else journal
    return run(search(evaluate, **changed), executor=Inline(), journal=journal)


def repeats(journal: MemoryJournal) -> list[tuple[int, int]]:
    return [(e["number"], e["index"]) for e in journal.events() if e["event"] == "repeat"]


def test_the_three_best_are_trained_again_with_seeds_of_their_own() -> None:
    evaluate, journal = Noisy(), MemoryJournal()
    result = ran(evaluate, journal)
    again = [job for job in evaluate.ran if job.number <= FIRST_REPEAT]
    best = sorted(result.trials, key=lambda t: -t.metrics["accuracy"])[:3]
    assert {number for number, _ in repeats(journal)} == {trial.number for trial in best}
    seeds = {trial_seed(0, trial.number, index) for trial in best for index in (1, 2, 3)}
    assert {job.seed for job in again} == seeds
    assert len(seeds) == len(again) == 9


def test_the_mean_decides_and_not_the_luckiest() -> None:
    evaluate, journal = Noisy(), MemoryJournal()
    result = ran(evaluate, journal)
    assert result.best is not None
    means: dict[int, list[float]] = {t.number: [t.metrics["accuracy"]] for t in result.trials}
    for event in journal.events():
        if event["event"] == "repeat":
            means[event["number"]].append(event["outcome"]["metrics"]["accuracy"])
    whole = {number: np.mean(values) for number, values in means.items() if len(values) == 4}
    assert result.best.number == max(whole, key=lambda number: whole[number])
    assert result.why == "best accuracy, as the mean of 4 trainings of 3 finalists"


@pytest.mark.parametrize("kill_at", range(8, 17))
def test_a_kill_among_the_repeats_loses_and_repeats_nothing(kill_at: int) -> None:
    whole = ran(Noisy())
    journal = MemoryJournal()
    with pytest.raises(Killed):
        ran(Noisy(kill_at=kill_at), journal)
    evaluate = Noisy()
    result = ran(evaluate, journal)
    assert len(evaluate.ran) == 17 - kill_at
    assert sorted(set(repeats(journal))) == sorted(repeats(journal))
    assert len(repeats(journal)) == 9
    assert result.best is not None
    assert whole.best is not None
    assert (result.best.number, result.why) == (whole.best.number, whole.why)


def test_what_the_journal_says_is_what_the_search_said() -> None:
    journal = MemoryJournal()
    result = ran(Noisy(), journal)
    read = result_so_far(journal.events(), SPACE, (ACCURACY,))
    assert (read.best, read.why, read.front) == (result.best, result.why, result.front)


def test_repeats_that_fail_leave_the_trial_as_it_was() -> None:
    result = ran(Noisy(fails=True))
    assert result.best is not None
    assert result.best.metrics["accuracy"] == max(t.metrics["accuracy"] for t in result.trials)


def test_an_extended_search_trains_its_new_finalists_again() -> None:
    journal, evaluate = MemoryJournal(), Noisy(noise=0.0)
    ran(evaluate, journal, trials=3)
    result = ran(evaluate, journal, trials=30)
    best = sorted(result.trials, key=lambda t: (-t.metrics["accuracy"], t.number))
    assert result.best is not None
    assert result.best.metrics["accuracy"] == best[0].metrics["accuracy"]
    assert (result.best.number, 3) in repeats(journal)


def test_without_repeats_nothing_is_trained_again() -> None:
    journal = MemoryJournal()
    assert ran(Noisy(), journal, repeats=0).why == "best accuracy"
    assert repeats(journal) == []


def test_a_network_that_was_proposed_twice_is_one_finalist() -> None:
    one = Space("one", (Choice("c", (3,)),), lambda *_: None)  # type: ignore[arg-type, return-value]
    journal = MemoryJournal()
    wanted = Search("s", one, "task", (ACCURACY,), Random, Noisy(), trials=4, epochs=1, repeats=1)
    run(wanted, executor=Inline(), journal=journal)
    assert repeats(journal) == [(0, 1)]


@dataclass
class Timed:
    """A second an epoch on a clock that only it moves; network `slow` takes ten."""

    clock: list[float]
    slow: int = -99
    epochs: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        epochs, value = job.proposal["epochs"], job.proposal["values"]["c"]
        seconds = epochs * (10.0 if job.number == self.slow else 1.0)
        timed_out = job.limit_s is not None and seconds > job.limit_s
        self.clock[0] += job.limit_s if timed_out and job.limit_s is not None else seconds
        self.epochs.append(epochs)
        self.numbers.append(job.number)
        if timed_out:
            yield Outcome("timed_out", {}, seconds, "late")
            return
        for epoch in range(1, epochs + 1):
            yield Report(epoch, {"accuracy": value / 1_000}, 1.0)
        yield Outcome("completed", {"accuracy": value / 1_000}, seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("metanas.core.search.time.monotonic", lambda: now[0])
    return now


def test_a_time_limit_keeps_time_for_the_repeats_and_the_winner(clock: list[float]) -> None:
    evaluate, journal = Timed(clock), MemoryJournal()
    result = ran(evaluate, journal, trials=100, repeats=2, final_epochs=4, max_seconds=30.0)
    assert len(repeats(journal)) == 6
    assert len(result.trials) == 30 - 6 - 4
    assert result.final is not None
    assert result.final.epochs == 4
    assert clock[0] == 30.0


def test_repeats_stop_where_the_winner_needs_the_time_that_is_left(clock: list[float]) -> None:
    evaluate, journal = Timed(clock, slow=FIRST_REPEAT - 1), MemoryJournal()
    result = ran(evaluate, journal, trials=10, repeats=3, final_epochs=4, max_seconds=20.0)
    assert len(repeats(journal)) == 1, "the second one took what was left, and blames no network"
    assert evaluate.numbers[-3:] == [FIRST_REPEAT, FIRST_REPEAT - 1, -1]
    assert result.final is not None
    assert result.final.epochs == 4
    assert result.why == "best accuracy"


@dataclass
class Failing(Noisy):
    """The finalist with the largest value fails each time it is trained again."""

    def __call__(self, job: Job) -> Iterator[Report | Outcome]:
        top = max(job.proposal["values"]["c"] for job in self.ran) if self.ran else None
        if job.number <= FIRST_REPEAT and job.proposal["values"]["c"] == top:
            self.ran.append(job)
            yield Outcome("diverged", {}, 0.0, "nan")
            return
        yield from super().__call__(job)


def test_a_finalist_that_fails_when_trained_again_does_not_win_by_its_one_good_run() -> None:
    result = ran(Failing(noise=0.0))
    order = sorted(result.trials, key=lambda t: -t.metrics["accuracy"])
    assert result.best is not None
    assert result.best.number == order[1].number
    assert result.why == (
        "best accuracy, as the mean of 4 trainings of 2 finalists; 1 failed when trained again"
    )


def test_the_winner_carries_the_means_and_not_its_luckiest_run() -> None:
    journal = MemoryJournal()
    result = ran(Noisy(), journal)
    assert result.best is not None
    again = [
        event["outcome"]["metrics"]["accuracy"]
        for event in journal.events()
        if event["event"] == "repeat" and event["number"] == result.best.number
    ]
    one = next(t for t in result.trials if t.number == result.best.number)
    mean = np.mean([one.metrics["accuracy"], *again])
    assert result.best.metrics["accuracy"] == pytest.approx(mean)
    assert one.metrics["accuracy"] != pytest.approx(mean)
