"""Which choices quality depends on, and how: a strip of points for each option."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metanas.core.objective import Objective, cost
from metanas.core.space import Choice
from metanas.core.trial import Trial
from metanas.report._chart import Axis, Chart, Points, Tone, axis_of
from metanas.report._figures import label_of
from metanas.report._words import noun, plural, short
from metanas.report.story import Story

MOST_CHOICES = 8
MOST_OPTIONS = 6
STRIP = 0.5
"""The height of a strip over the distance to the next."""


@dataclass(frozen=True)
class Matter:
    """How one choice goes with quality.

    Args:
        name: Of the choice.
        share: Of the variance of quality that its options explain, 0 to 1.
        chart: A strip of points an option, with its median.
        left_out: How many options were tried and have no strip: those of the worst medians.
    """

    name: str
    share: float
    chart: Chart
    left_out: int


def matters(story: Story) -> list[Matter]:
    """The choices that quality depends on most, the strongest first.

    Trials that were answered from memory repeat another one and are left out.
    """
    objective, trials = story.deciding, [t for t in story.measured if not t.cached]
    if not trials:
        return []
    values = [trial.metrics[objective.name] for trial in trials]
    axis = axis_of(label_of(objective), values, objective.goal)
    found: list[Matter] = []
    for choice in story.choices:
        groups = _groups(choice, trials)
        if not any(groups):
            continue
        placed = [[axis.place(t.metrics[objective.name]) for t in group] for group in groups]
        chart = _chart(story, choice, groups, axis)
        left_out = sum(map(bool, groups)) - len(chart.y.names)
        found.append(Matter(choice.name, explained(placed), chart, left_out))
    # Where nothing is explained, choices that were varied come first.
    ranked = sorted(found, key=lambda m: (-m.share, len(m.chart.y.names) < 2))
    return ranked[:MOST_CHOICES]


def explained(groups: Sequence[Sequence[float]]) -> float:
    """The share of values' variance that their groups explain, corrected for chance.

    Without the correction a choice of many options would explain much by its mere number
    of groups. Source: Kelley 1935, "An unbiased correlation ratio measure".

    Args:
        groups: The values of each group; some may be empty.

    Returns:
        Epsilon squared, 0 to 1; 0 where it cannot be known.
    """
    groups = [group for group in groups if group]
    values = [value for group in groups for value in group]
    free = len(values) - len(groups)
    if len(groups) < 2 or free < 1:
        return 0.0
    whole = _squares(values) / (len(values) - 1)
    within = sum(_squares(group) for group in groups) / free
    return max(0.0, 1.0 - within / whole) if whole > 0 else 0.0


def _squares(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def _groups(choice: Choice, trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials of each option."""
    places = {(type(option), option): place for place, option in enumerate(choice.options)}
    groups: list[list[Trial]] = [[] for _ in choice.options]
    for trial in trials:
        value: Any = trial.proposal.architecture.values.get(choice.name)
        place = places.get((type(value), value))
        if place is not None:
            groups[place].append(trial)
    return groups


def _chart(story: Story, choice: Choice, groups: list[list[Trial]], axis: Axis) -> Chart:
    objective, best = story.deciding, story.result.best
    metrics = [[trial.metrics[objective.name] for trial in group] for group in groups]
    medians = [statistics.median(values) if values else None for values in metrics]
    shown = _shown(choice, medians, objective)
    strips = [
        (trial, value, row + STRIP * (_spread(rank) - 0.5))
        for row, option in enumerate(shown)
        for rank, (trial, value) in enumerate(zip(groups[option], metrics[option], strict=True))
    ]
    titles = tuple(
        f"{choice.options[option]}: {plural(len(groups[option]), 'trial')}, "
        f"median {short(medians[option] or 0.0)}"
        for option in shown
    )
    return Chart(
        choice.name,
        f"{noun(objective.name, objective.unit)} by {choice.name}: {'; '.join(titles)}",
        axis,
        Axis("", len(shown) - 0.5, -0.5, names=tuple(str(choice.options[o]) for o in shown)),
        (
            _dots([strip[1:] for strip in strips], "trial"),
            _dots([s[1:] for s in strips if best and s[0].number == best.number], "winner"),
            Points(
                tuple(medians[option] or 0.0 for option in shown),
                tuple(float(row) for row in range(len(shown))),
                "median",
                "tick",
                titles=titles,
            ),
        ),
    )


def _shown(choice: Choice, medians: Sequence[float | None], objective: Objective) -> list[int]:
    """The options that get a strip: those that were tried, or the best where they are many."""
    rank = {
        option: (cost(objective, {objective.name: median}), option)
        for option, median in enumerate(medians)
        if median is not None
    }
    best = sorted(rank, key=lambda option: rank[option])
    whole = choice.ordered or len(best) <= MOST_OPTIONS
    return sorted(best[:MOST_OPTIONS]) if whole else best[:MOST_OPTIONS]


def _dots(places: Sequence[tuple[float, float]], tone: Tone) -> Points:
    return Points(tuple(x for x, _ in places), tuple(y for _, y in places), tone)


def _spread(rank: int) -> float:
    """Numbers from 0 to 1 that keep apart, one a rank (van der Corput's sequence)."""
    found, part = 0.0, 0.5
    while rank:
        found, rank, part = found + part * (rank % 2), rank // 2, part / 2
    return found
