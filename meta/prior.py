"""A prior: what finished searches teach the next one, as plain data.

It holds, of each past task, architectures by their values and how good each was there. What
follows from that, for a space, is learnt anew where it is used (`Prior.on`): that takes
a second, and nobody has to trust a stranger's parameters.

Shapes: ``n`` architectures, ``S`` tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import SpaceError
from metanas.core.objective import Objective
from metanas.core.space import Architecture, Space, Values, check
from metanas.meta.sources import TRUSTED, Sources, learn
from metanas.meta.structure import blocks, describe

Matrix = npt.NDArray[np.float64]

FEWEST = 5
"""A task with fewer trials of a space teaches nothing about it."""
MOST = 900
"""From so many trials of all tasks together a space's expectations are learnt."""
MOST_TASKS = 30
"""From so many tasks, those with the most trials."""


@dataclass(frozen=True, eq=False)
class Source:
    """What was learnt on one task in one space.

    Args:
        task: Its name.
        kind: Of the task, such as classification.
        space: The name of the space.
        objective: What decided.
        goal: Of the objective, "max" or "min".
        architectures: ``n`` of them, by the values of their choices.
        scores: ``[n]``, normal scores within trainings of one length; larger is better,
            whatever the goal.
        trials: Finished trials that these stand for.
        fingerprint: Of the task; empty where none is known.
    """

    task: str
    kind: str
    space: str
    objective: str
    goal: str
    architectures: tuple[Values, ...]
    scores: Matrix
    trials: int
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prior:
    """What past tasks teach.

    Args:
        sources: By task and space.
        name: Under which it is registered.
        version: Its number there; 0 for one that is not registered.
        card: What a reader wants to know of it.
    """

    sources: tuple[Source, ...]
    name: str = ""
    version: int = 0
    card: Mapping[str, Any] = field(default_factory=dict)

    def on(
        self, space: Space, objective: Objective, most: int = 0, least: float = TRUSTED
    ) -> Expectations | str:
        """What it expects in a space, or one line on why it knows nothing there.

        A task counts that is judged by the same objective, or by another one of which
        more is better where that is so of `objective`. Architectures that the space does
        not have are left out.

        Args:
            space: Where it is asked.
            objective: What decides there.
            most: From so many trials of all tasks together it is learnt; 0 for as many as is
                usual.
            least: A task counts whose results correlate so with what is expected of them.
        """
        there = [each for each in self.sources if each.space == space.name]
        if not there:
            known = ", ".join(sorted({each.space for each in self.sources})) or "none"
            return f"no past task in space '{space.name}' (there are some in: {known})"
        left_out = {each.task: f"its objective is {each.objective}" for each in there}
        fitting = [each for each in there if _alike(each, objective)]
        left_out |= {each.task: f"{MOST_TASKS} tasks have more trials" for each in fitting}
        fitting.sort(key=lambda each: (-each.trials, each.task))
        fitting = sorted(fitting[:MOST_TASKS], key=lambda each: each.task)
        kept: dict[str, tuple[list[Architecture], Matrix]] = {}
        for source in fitting:
            members, scores = _members(source, space)
            left_out[source.task] = f"{len(members)} trials, expected at least {FEWEST}"
            if len(members) >= FEWEST:
                kept[source.task] = members, scores
                del left_out[source.task]
        found = _learnt(space, kept, most or MOST)
        for task in () if found is None else np.array(found.names)[found.predicted < least]:
            left_out[str(task)] = "its trials do not predict each other"
            del kept[str(task)]
        if not kept:
            reasons = "; ".join(f"{task}: {why}" for task, why in sorted(left_out.items()))
            return f"no past task teaches anything in space '{space.name}': {reasons}"
        if found is None or len(kept) < len(found.names):
            found = _learnt(space, kept, most or MOST)
        assert found is not None
        trials = {s.task: s.trials for s in fitting if s.task in kept}
        about = {
            "name": self.name,
            "version": self.version,
            "tasks": {task: trials[task] for task in found.names},
            "left_out": left_out,
        }
        return Expectations(space, found, about)


@dataclass(frozen=True, eq=False)
class Expectations:
    """What a prior expects in one space.

    Args:
        space: The space.
        learnt: From its past tasks.
        about: What JSON holds: the prior's `name` and `version`, the past `tasks` with how
            many trials each, and which were `left_out` and why.
    """

    space: Space
    learnt: Sources
    about: Mapping[str, Any]

    @property
    def sources(self) -> tuple[str, ...]:
        """The past tasks."""
        return self.learnt.names

    def means(self, architectures: Sequence[Architecture]) -> Matrix:
        """What each past task expects of architectures: normal scores ``[n, S]``."""
        return self.learnt.means(_described(self.space, architectures))


def _alike(source: Source, objective: Objective) -> bool:
    both_more = source.goal == objective.goal == "max"
    return source.objective == objective.name or both_more


def _members(source: Source, space: Space) -> tuple[list[Architecture], Matrix]:
    """The architectures that the space has, and their scores."""
    members: list[Architecture] = []
    kept: list[int] = []
    for number, values in enumerate(source.architectures):
        try:
            members.append(check(space, values))
        except SpaceError:
            continue
        kept.append(number)
    return members, source.scores[kept]


def _learnt(
    space: Space, tasks: Mapping[str, tuple[Sequence[Architecture], Matrix]], most: int
) -> Sources | None:
    if not tasks:
        return None
    each_most = max(FEWEST, most // len(tasks))
    features, scores = [], []
    for architectures, values in tasks.values():
        few = np.linspace(0, len(values) - 1, min(len(values), each_most)).astype(np.intp)
        features.append(_described(space, [architectures[at] for at in few]))
        scores.append(values[few])
    of = np.repeat(np.arange(len(tasks)), [len(each) for each in scores])
    return learn(list(tasks), np.concatenate(features), of, np.concatenate(scores))


def _described(space: Space, architectures: Sequence[Architecture]) -> Matrix:
    """Structure as `learn` wants it: of mean square length 1."""
    return np.asarray(describe(space, architectures) / np.sqrt(len(blocks(space))))
