"""How a search ends: its time limit anew when it is extended, a winner's training that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from metanas.core.objective import Objective
from metanas.core.search import Search, run
from metanas.core.space import Choice, Space
from metanas.core.trial import Job, Outcome, Report
from metanas.executors.inline import Inline
from metanas.stores.journal import MemoryJournal
from metanas.strategies.random import Random

SPACE = Space("wide", (Choice("a", tuple(range(100_000))),), lambda *_: None)


def evaluate(job: Job) -> Iterator[Report | Outcome]:
    time.sleep(0.01)
    yield Report(1, {"accuracy": 0.5}, time.time())
    yield Outcome("completed", {"accuracy": 0.5}, 0.01)


SEARCH = Search(
    name="s",
    space=SPACE,
    task="t",
    objectives=(Objective("accuracy", "", "max"),),
    strategy=Random,
    evaluate=evaluate,
    trials=1_000,
    epochs=1,
)


def test_an_extended_search_gets_its_time_limit_anew() -> None:
    journal = MemoryJournal()
    limited = replace(SEARCH, max_seconds=0.3)
    first = run(limited, executor=Inline(), journal=journal)
    assert 1 <= len(first.trials) < 100
    assert len(run(limited, executor=Inline(), journal=journal).trials) == len(first.trials)
    more = run(replace(limited, trials=2_000), executor=Inline(), journal=journal)
    assert len(more.trials) >= len(first.trials) + 5


def test_a_winners_training_that_failed_is_tried_again_on_resuming() -> None:
    finals = []

    def failing(job: Job) -> Iterator[Report | Outcome]:
        if not job.final:
            yield from evaluate(job)
            return
        finals.append(job)
        status = "crashed" if len(finals) == 1 else "completed"
        yield Outcome(status, {"accuracy": 0.9}, 0.0, "")  # type: ignore[arg-type]

    journal = MemoryJournal()
    search = replace(SEARCH, evaluate=failing, trials=3, final_epochs=2)
    first = run(search, executor=Inline(), journal=journal)
    assert first.final is not None
    assert first.final.outcome.status == "crashed"
    again = run(search, executor=Inline(), journal=journal)
    assert again.final is not None
    assert again.final.outcome.status == "completed"
    run(search, executor=Inline(), journal=journal)
    assert len(finals) == 2
    assert len(again.trials) == 3
