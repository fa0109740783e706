"""What a person sees while a search runs."""

from __future__ import annotations

import io

from rich.console import Console

from metanas.core.objective import Objective
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Proposal, Trial
from metanas.trackers.console import ConsoleTracker

SPACE = Space("one", (Choice("c", (0,)),), lambda *_: None)  # type: ignore[arg-type, return-value]
WISHES = (Objective("accuracy", "", "max"), Objective("latency_ms", "ms", "min", limit=5.0))


def trial(number: int, accuracy: float, latency_ms: float, cached: bool = False) -> Trial:
    proposal = Proposal(number, check(SPACE, {"c": 0}), 1)
    metrics = {"accuracy": accuracy, "latency_ms": latency_ms}
    return Trial(proposal, "t", 0, "completed", metrics, seconds=1.0, cached=cached)


def test_the_best_so_far_is_of_those_that_keep_the_limits() -> None:
    text = io.StringIO()
    tracker = ConsoleTracker(Console(file=text, width=200), WISHES, 6, (trial(0, 0.3, 9.0),))
    said = []
    for each in (
        trial(1, 0.6, 6.0),
        trial(2, 0.5, 4.0),
        trial(3, 0.9, 7.0),
        trial(4, 0.7, 4.5),
        trial(5, 0.7, 4.5, cached=True),
    ):
        tracker.log(each)
        said.append(tracker._summary().partition(", about")[0])
    lines = text.getvalue().splitlines()
    assert ["best so far" in line for line in lines] == [False, True, False, True, False]
    assert ["nearest so far" in line for line in lines] == [True, False, False, False, False]
    assert said == [
        "nothing keeps latency_ms<5 yet",
        "best accuracy 0.5, latency_ms 4",
        "best accuracy 0.5, latency_ms 4",
        "best accuracy 0.7, latency_ms 4.5",
        "best accuracy 0.7, latency_ms 4.5",
    ]


def test_before_anything_succeeds_there_is_no_best() -> None:
    tracker = ConsoleTracker(Console(file=io.StringIO()), WISHES, 2)
    assert tracker._summary() == "no best yet"
