"""A prior's card: what a reader wants to know of it before starting a search from it.

Each task is judged as if it were the next one: what the others expect of its architectures
against how good they were there. A task on which the others are wrong is as good a source as
one on which they are right, so this tells how alike tasks are and leaves none out.

Shapes: ``S`` tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import InfeasibleError, SpaceError
from metanas.core.objective import Objective
from metanas.core.space import Choice, Space, check
from metanas.meta.prior import FEWEST, Prior, Source
from metanas.meta.saved import FEATURES, FORMAT, software

SCORED = 12
"""So many tasks of each space are judged: each costs a second."""
TRIALS_TO_SCORE = 300

SpaceOf = Callable[[str], Space | None]


def card_of(prior: Prior, left_out: Sequence[str], space_of: SpaceOf) -> dict[str, Any]:
    """What JSON holds.

    Args:
        prior: What was learnt.
        left_out: Which tasks were not, and why.
        space_of: The installed space of a name, if there is one; of any other the choices
            are known from the trials.

    Returns:
        `tasks`, of each `task`, `kind`, `space`, `objective`, `trials`, `learnt_from`, and
        `score` with `why` where it is None; `left_out`; `versions`.
    """
    return {
        "tasks": [
            {
                "task": each.task,
                "kind": each.kind,
                "space": each.space,
                "objective": each.objective,
                "trials": each.trials,
                "learnt_from": len(each.scores),
            }
            | _judged(prior, each, space_of)
            for each in prior.sources
        ],
        "left_out": list(left_out),
        "versions": {"format": FORMAT, "features": FEATURES, **software()},
    }


def _judged(prior: Prior, source: Source, space_of: SpaceOf) -> dict[str, Any]:
    """Spearman's correlation of what the other tasks expect with a task's own scores."""
    there = [each for each in prior.sources if each.space == source.space]
    others = tuple(each for each in there if each.task != source.task)
    if not others:
        return {"score": None, "why": f"no other task in space '{source.space}'"}
    largest = sorted(there, key=lambda each: (-each.trials, each.task))[:SCORED]
    if source not in largest:
        return {"score": None, "why": f"only the {SCORED} tasks with most trials are judged"}
    space = space_of(source.space) or stand_in(there)
    if space is None:
        return {"score": None, "why": "its trials have different choices"}
    found = Prior(others).on(space, objective_of(source), TRIALS_TO_SCORE, least=-1.0)
    if isinstance(found, str):
        return {"score": None, "why": found}
    members, scores = [], []
    for values, score in zip(source.architectures, source.scores, strict=True):
        try:
            members.append(check(space, values))
        except SpaceError:
            continue
        scores.append(score)
    if len(members) < FEWEST:
        return {"score": None, "why": f"{len(members)} of its trials are in the space"}
    expected = found.means(members).mean(axis=1)
    return {"score": round(float(spearman(expected, np.array(scores))), 3)}


def objective_of(source: Source) -> Objective:
    """What decided on a past task."""
    return Objective(source.objective, "", "max" if source.goal == "max" else "min")


def spearman(left: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Rank correlation of two lists of numbers; 0 where one is constant."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(left), rankdata(right)])
    if not ranks.std(axis=1).all():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def stand_in(sources: Sequence[Source]) -> Space | None:
    """A space of the options that trials have; None where their choices differ.

    It cannot build networks: architectures are described by their choices.
    """
    options: dict[str, dict[Any, None]] = {}
    for values in (each for source in sources for each in source.architectures):
        if options and values.keys() != options.keys():
            return None
        for name, value in values.items():
            options.setdefault(name, {})[type(value).__name__, value] = None
    try:
        choices = tuple(_choice(name, found) for name, found in sorted(options.items()))
        return Space(sources[0].space, choices, _unbuildable)
    except SpaceError:
        return None


def _choice(name: str, found: Iterable[tuple[str, Any]]) -> Choice:
    options = [value for _, value in sorted(found, key=lambda each: (each[0], each[1]))]
    numbers = all(isinstance(value, int | float) for value in options)
    return Choice(name, tuple(sorted(options) if numbers else options), ordered=numbers)


def _unbuildable(values: Any, shape: Any, outputs: Any) -> Any:
    raise InfeasibleError("a card compares architectures of a space that is not installed here")


def in_words(name: str, number: int, card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    lines = [
        f"# {name}" + (f" version {number}" if number else ""),
        "",
        "What finished searches teach the next one: `metanas search TASK --strategy surrogate "
        f"--prior {name}`.",
        "",
        "| task | kind | space | objective | trials | learnt from | told by the others |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in card.get("tasks", ()):
        score = "-" if each["score"] is None else f"{each['score']:.2f}"
        names = ("task", "kind", "space", "objective", "trials", "learnt_from")
        texts = [str(each.get(name, "")).replace("|", "/") for name in names]
        lines.append(f"| {' | '.join(texts)} | {score} |")
    lines += [
        "",
        "Told by the others: Spearman's correlation of what the other tasks expect of a task's "
        "architectures with how good they were.",
    ]
    lacking = [f"- {e['task']}: {e['why']}" for e in card.get("tasks", ()) if e["score"] is None]
    if lacking:
        lines += ["", "Not judged so:", *lacking]
    if card.get("left_out"):
        lines += ["", "Left out:", *(f"- {each}" for each in card["left_out"])]
    versions = ", ".join(f"{what} {which}" for what, which in card.get("versions", {}).items())
    return "\n".join(map(_plain, [*lines, "", f"Versions: {versions or 'unknown'}.", ""]))


def _plain(line: str) -> str:
    """Without signs that a terminal would obey: a stranger's prior may hold any."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)
