"""What a journal says of the past of a search: its events read back, checked.

Events of a journal, each a JSON object with its time: ``search`` (once, what is searched),
``attempt`` (each start of a process), ``proposed`` and ``finished`` (two a trial),
``interrupted`` (a person stopped it), ``final`` (the winner's training, scored on test),
``ended`` (there is nothing left to do).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metanas.core.errors import JournalError
from metanas.core.objective import Objective, cost
from metanas.core.space import Space
from metanas.core.trial import Outcome, Proposal, Trial, proposal_from, trial_from


@dataclass(frozen=True)
class Final:
    """The winner, trained afresh on train and validation and scored on test, once."""

    number: int
    epochs: int
    outcome: Outcome


@dataclass(frozen=True)
class Result:
    """What a search found: its trials in the order in which they ended, and the winner."""

    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    best: Trial | None
    final: Final | None


@dataclass
class History:
    """What a journal says of the past of a search."""

    space: Space
    trials: list[Trial] = field(default_factory=list)
    open: dict[int, Proposal] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    attempts: int = 0
    next_number: int = 0
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
    history.aim = int(event["trials"])


def _read_proposed(history: History, event: Mapping[str, Any]) -> None:
    proposal = proposal_from(event["proposal"], history.space)
    number = proposal.number
    if number < history.next_number and number not in history.open:
        raise ValueError(f"trial {number} is proposed after it has finished")
    history.open[number] = proposal
    history.starts[number] = history.starts.get(number, 0) + 1
    history.next_number = max(history.next_number, number + 1)


def _read_finished(history: History, event: Mapping[str, Any]) -> None:
    number = int(event["trial"]["number"])
    if number not in history.open:
        raise ValueError(f"trial {number} finishes without having been proposed")
    history.trials.append(trial_from(event["trial"], history.open.pop(number)))


def _read_interrupted(history: History, event: Mapping[str, Any]) -> None:
    for number in history.open:
        history.starts[number] -= 1


def _read_ended(history: History, event: Mapping[str, Any]) -> None:
    history.ended = True


def _read_final(history: History, event: Mapping[str, Any]) -> None:
    outcome = event["outcome"]
    history.final = Final(
        int(event["number"]),
        int(event["epochs"]),
        Outcome(
            outcome["status"], dict(outcome["metrics"]), float(outcome["seconds"]), outcome["error"]
        ),
    )


_READERS: Mapping[str, Callable[[History, Mapping[str, Any]], None]] = {
    "search": lambda history, event: None,
    "attempt": _read_attempt,
    "proposed": _read_proposed,
    "finished": _read_finished,
    "interrupted": _read_interrupted,
    "final": _read_final,
    "ended": _read_ended,
}


def best_of(trials: Sequence[Trial], objective: Objective) -> Trial | None:
    """The trial of least cost, the earliest of equals; failed ones only where all failed."""
    whole = [trial for trial in trials if not trial.failed]
    partial = [trial for trial in trials if trial.status == "timed_out"]
    candidates = [t for t in whole or partial if objective.name in t.metrics]
    return min(candidates, key=lambda t: (cost(objective, t.metrics), t.number), default=None)


def result_so_far(
    events: Sequence[Mapping[str, Any]], space: Space, objective: Objective
) -> Result:
    """What a journal's events hold, finished or not; raises JournalError as `run` does."""
    history = read_history(events, space)
    return result_of(history.trials, history.final, objective)


def result_of(trials: Sequence[Trial], final: Final | None, objective: Objective) -> Result:
    """The result that trials and the winner's training come to."""
    best = best_of(trials, objective)
    return Result(tuple(trials), () if best is None else (best,), best, final)
