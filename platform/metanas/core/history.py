"""What a journal says of the past of a search: its events read back, checked.

Events of a journal, each a JSON object with its time: ``search`` (once, what is searched),
``attempt`` (each start of a process), ``proposed`` and ``finished`` (two a trial),
``interrupted`` (a person stopped it), ``repeat`` (a finalist trained once more),
``final`` (the winner's training, scored on test), ``ended`` (there is nothing left to do).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from metanas.core.errors import JournalError
from metanas.core.front import front_of, pick
from metanas.core.objective import Objective
from metanas.core.space import Space
from metanas.core.trial import Outcome, Proposal, Trial, outcome_from, proposal_from, trial_from

FINALISTS = 3
"""How many trials are trained again before the winner is named."""


@dataclass(frozen=True)
class Final:
    """The winner, trained afresh on train and validation and scored on test, once."""

    number: int
    epochs: int
    outcome: Outcome
    weights: str = ""
    """SHA-256 of the file that holds them; "" where they were not kept."""


@dataclass(frozen=True)
class Result:
    """What a search found.

    Args:
        trials: In the order in which they ended.
        front: Those that none dominates, the best in the first objective first.
        best: The one of the front that is named the winner.
        final: The winner's training.
        why: It was picked, in words.
    """

    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    best: Trial | None
    final: Final | None
    why: str = ""


@dataclass
class History:
    """What a journal says of the past of a search."""

    space: Space
    trials: list[Trial] = field(default_factory=list)
    open: dict[int, Proposal] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)
    """Numbers proposed in the latest attempt."""
    attempts: int = 0
    next_number: int = 0
    repeats: dict[int, dict[int, Outcome]] = field(default_factory=dict)
    final: Final | None = None
    aim: int = 0
    ended: bool = False
    used_seconds: float = 0.0
    latest_s: float = 0.0


def read_history(events: Sequence[Mapping[str, Any]], space: Space) -> History:
    """Replay a journal's events.

    Raises:
        JournalError: With the position of the first event that cannot be.
    """
    history = History(space)
    for position, event in enumerate(events, start=1):
        try:
            when = float(event["time_s"])
            _READERS[event["event"]](history, event)
            if history.attempts:  # what lies between two attempts is not time of the search
                history.used_seconds += when - history.latest_s
            history.latest_s = when
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise JournalError(f"event {position} is no event of this search: {problem}") from error
    return history


def _read_attempt(history: History, event: Mapping[str, Any]) -> None:
    history.latest_s = float(event["time_s"])
    if history.ended:  # it is extended, and gets its time limit anew
        history.used_seconds, history.ended = 0.0, False
    history.attempts += 1
    history.started.clear()
    history.aim = int(event["trials"])


def _read_proposed(history: History, event: Mapping[str, Any]) -> None:
    proposal = proposal_from(event["proposal"], history.space)
    number = proposal.number
    if number < history.next_number and number not in history.open:
        raise ValueError(f"trial {number} is proposed after it has finished")
    history.open[number] = proposal
    history.starts[number] = history.starts.get(number, 0) + 1
    history.started.add(number)
    history.next_number = max(history.next_number, number + 1)


def _read_finished(history: History, event: Mapping[str, Any]) -> None:
    number = int(event["trial"]["number"])
    if number not in history.open:
        raise ValueError(f"trial {number} finishes without having been proposed")
    history.trials.append(trial_from(event["trial"], history.open.pop(number)))


def _read_interrupted(history: History, event: Mapping[str, Any]) -> None:
    for number in history.started & set(history.open):
        history.starts[number] -= 1


def _read_ended(history: History, event: Mapping[str, Any]) -> None:
    history.ended = True


def _read_repeat(history: History, event: Mapping[str, Any]) -> None:
    repeated = history.repeats.setdefault(int(event["number"]), {})
    repeated[int(event["index"])] = outcome_from(event["outcome"])


def _read_final(history: History, event: Mapping[str, Any]) -> None:
    history.final = Final(
        int(event["number"]),
        int(event["epochs"]),
        outcome_from(event["outcome"]),
        str(event.get("weights", "")),
    )


_READERS: Mapping[str, Callable[[History, Mapping[str, Any]], None]] = {
    "search": lambda history, event: None,
    "attempt": _read_attempt,
    "proposed": _read_proposed,
    "finished": _read_finished,
    "interrupted": _read_interrupted,
    "repeat": _read_repeat,
    "final": _read_final,
    "ended": _read_ended,
}


def result_so_far(
    events: Sequence[Mapping[str, Any]], space: Space, objectives: Sequence[Objective]
) -> Result:
    """What a journal's events hold, finished or not; raises JournalError as `run` does."""
    history = read_history(events, space)
    return result_of(history, objectives)


def result_of(history: History, objectives: Sequence[Objective]) -> Result:
    """The result that a search's past comes to."""
    front = front_of(history.trials, objectives)
    best, why = pick(front, objectives)
    if history.repeats:
        best, why = _pick_repeated(history, objectives) or (best, why)
    return Result(tuple(history.trials), front, best, history.final, why)


def finalists(
    trials: Sequence[Trial], objectives: Sequence[Objective], count: int = FINALISTS
) -> list[Trial]:
    """The trials that would be picked one after the other, each time without those before."""
    # A cached trial is a network that is there already.
    left, found = [trial for trial in trials if not trial.cached], list[Trial]()
    while len(found) < count:
        best, _ = pick(front_of(left, objectives), objectives)
        if best is None:
            break
        found.append(best)
        left.remove(best)
    return found


def _pick_repeated(
    history: History, objectives: Sequence[Objective]
) -> tuple[Trial | None, str] | None:
    """The pick among the finalists by the means of their metrics, which it then carries.

    They are compared over the repeats that all of them have; who failed one of those is
    out, since the one run that went well may have been luck. None where nothing compares.
    """
    best = finalists(history.trials, objectives)
    runs = {trial.number: history.repeats.get(trial.number, {}) for trial in best}
    common = set.intersection(*(set(again) for again in runs.values())) if runs else set[int]()
    means = []
    for trial in best:
        again = [runs[trial.number][index] for index in sorted(common)]
        if all(outcome.status == "completed" for outcome in again):
            means.append(_mean(trial, [outcome.metrics for outcome in again]))
    if not common or not means:
        return None
    picked, why = pick(front_of(means, objectives), objectives)
    count, failed = len(common) + 1, len(best) - len(means)
    what = f"{why}, as the mean of {count} trainings of {len(means)} finalists"
    return picked, what + (f"; {failed} failed when trained again" if failed else "")


def _mean(trial: Trial, again: Sequence[Mapping[str, float]]) -> Trial:
    runs = [trial.metrics, *again]
    names = [name for name in trial.metrics if all(name in run for run in runs)]
    return replace(trial, metrics={n: statistics.fmean(run[n] for run in runs) for n in names})
