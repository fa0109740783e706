"""The report's charts, from a story: progress, what quality costs, failures, time.

What this module does not know: how a chart is drawn.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from metanas.core.front import front_of, wish
from metanas.core.objective import Objective, cost
from metanas.core.trial import Trial
from metanas.report._chart import Axis, Bar, Bars, Chart, Layer, Line, Points, Rule, Tone, axis_of
from metanas.report._words import axis_label, duration, listed, noun, plural, short
from metanas.report.story import Story, values_of

TITLED = 300
"""Up to so many trials each point says which one it is."""

COLUMNS = 60
"""Bars of the chart of time; more trials share them."""

SIZES = ("params", "flops", "latency_ms")


def direction(objective: Objective) -> str:
    """Which values are wanted: ``higher is better``."""
    return "higher is better" if objective.goal == "max" else "lower is better"


def progress(story: Story) -> Chart | None:
    """The first objective by trial in the order of ending, and the best so far."""
    objective = story.deciding
    places = {id(trial): place for place, trial in enumerate(story.trials, start=1)}
    measured = story.measured
    if not measured:
        return None
    bounds = [objective.limit] if objective.limit is not None else []
    values = values_of(measured, objective.name)
    y = axis_of(label_of(objective), [*values, *bounds], objective.goal, bounds)
    count = len(story.trials)
    start = max(0.5, 1 - 0.03 * count)
    x = Axis("trials in the order of ending", start, 1.03 * count, whole=True)
    steps = _steps(story, places)
    chosen = {id(trial) for trial in measured}
    lost = [trial for trial in story.trials if trial.failed and id(trial) not in chosen]
    layers: list[Layer] = [
        *_limits(y=objective),
        _points(measured, [places[id(t)] for t in measured], values, objective, legend="trial"),
        Line(*steps, "best", "best so far"),
        Points(
            tuple(float(places[id(trial)]) for trial in lost),
            (y.low,) * len(lost),
            "failed",
            "cross",
            "failed",
            _titles(lost, [f"{trial.status}: {trial.error}" for trial in lost]),
        ),
    ]
    best = story.result.best
    if best is not None:
        layers.append(_winner(best, places[id(best)], best.metrics[objective.name], objective))
    first, last = steps[1][0], steps[1][-1]
    says = (
        f"{noun(objective.name, objective.unit)} of {plural(len(measured), 'trial')}; the best so "
        f"far went from {short(first)} to {short(last)}"
    )
    return Chart("Progress", says, x, y, _drawn(layers), _outside(values, y))


def _steps(story: Story, places: dict[int, int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The best so far as a line of steps."""
    objective = story.deciding
    xs, ys, least = list[float](), list[float](), math.inf
    for trial in story.measured:
        found = cost(objective, trial.metrics)
        if found < least:
            place, value = float(places[id(trial)]), trial.metrics[objective.name]
            xs += [place, place] if ys else [place]
            ys += [ys[-1], value] if ys else [value]
            least = found
    return (*xs, float(len(story.trials))), (*ys, ys[-1])


def tradeoff(story: Story) -> Chart | None:
    """The first objective against the second, or against the network's size where there is none."""
    first, second = story.deciding, _second(story)
    trials = [t for t in story.measured if second.name in t.metrics]
    if not trials or second.name == first.name:
        return None
    xs = [trial.metrics[second.name] for trial in trials]
    ys = [trial.metrics[first.name] for trial in trials]
    several = len(story.objectives) > 1
    front = front_of(trials, (first, second)) if several else ()
    line = _stairs(front, second.name, first.name)
    limits = [o.limit for o in (second, first)]
    goal = second.goal if several else None
    x = axis_of(axis_label(second.name, second.unit), _with(xs, limits[0]), goal, line[0])
    y = axis_of(label_of(first), _with(ys, limits[1]), first.goal, _with(line[1], limits[1]))
    layers: list[Layer] = [
        *_limits(x=second if several else None, y=first),
        _points(trials, xs, ys, first, legend="trial"),
    ]
    if several:
        chosen = [(t.metrics[second.name], t.metrics[first.name]) for t in front]
        layers.append(Line(*line, "best", "front"))
        layers.append(
            Points(tuple(c[0] for c in chosen), tuple(c[1] for c in chosen), "best", "dot")
        )
    best = story.result.best
    if best is not None and second.name in best.metrics:
        layers.append(_winner(best, best.metrics[second.name], best.metrics[first.name], first))
    what = f"{noun(first.name, first.unit)} against {noun(second.name, second.unit)}"
    says = f"{what} of {plural(len(trials), 'trial')}"
    says += f", {len(front)} of them on the front" if several else ""
    title = f"{what[0].upper()}{what[1:]}"
    return Chart(title, says, x, y, _drawn(layers), _outside(ys, y))


def _second(story: Story) -> Objective:
    """The second objective, or else the first measure of size that any trial has."""
    if len(story.objectives) > 1:
        return story.objectives[1]
    have = {name for trial in story.measured for name in trial.metrics}
    name = next((n for n in SIZES if n in have and n != story.deciding.name), "")
    return Objective(name or story.deciding.name, "ms" if name == "latency_ms" else "", "min")


def _stairs(front: Sequence[Trial], x: str, y: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The edge of what the front dominates, as a line of steps."""
    places = sorted((trial.metrics[x], trial.metrics[y]) for trial in front)
    xs, ys = list[float](), list[float]()
    for place in places:
        if xs:  # by way of the corner that both dominate
            xs.append(place[0])
            ys.append(ys[-1])
        xs.append(place[0])
        ys.append(place[1])
    return tuple(xs), tuple(ys)


def failures(story: Story) -> Chart | None:
    """How many trials failed in each way; None where none did."""
    counts = story.failures
    if not counts:
        return None
    names = tuple(status.replace("_", " ") for status in counts)
    most = max(counts.values())
    bars = tuple(
        (0.0, row - 0.32, float(count), row + 0.32) for row, count in enumerate(counts.values())
    )
    texts = [f"{count} {name}" for name, count in zip(names, counts.values(), strict=True)]
    return Chart(
        "Failures",
        f"{counts.total()} of {plural(len(story.trials), 'trial')} failed: {listed(texts)}",
        Axis("trials", 0.0, most * 1.05, whole=True),
        Axis("", len(names) - 0.5, -0.5, names=names),
        (Bars(bars, "failed", titles=tuple(texts)),),
    )


def seconds(story: Story) -> Chart | None:
    """How long trials took, in the order of ending; many share a bar, which shows their mean."""
    trials = story.trials
    if not trials:
        return None
    size = math.ceil(len(trials) / COLUMNS)
    good, bad = list[Bar](), list[Bar]()
    titles: list[str] = []
    for start in range(0, len(trials), size):
        group = trials[start : start + size]
        middle, half = start + (len(group) + 1) / 2, min(0.4 * len(group), 0.06 * len(trials))
        kept = sum(t.seconds for t in group if not t.failed) / len(group)
        lost = sum(t.seconds for t in group if t.failed) / len(group)
        good.append((middle - half, 0.0, middle + half, kept))
        bad.append((middle - half, kept, middle + half, kept + lost))
        titles.append(_group_title(group))
    some = any(low < high for _, low, _, high in bad)
    legend = "trial" if some and any(bar[3] for bar in good) else ""
    layers = [Bars(tuple(good), "trial", legend, tuple(titles))]
    layers += [Bars(tuple(bad), "failed", "failed", tuple(titles))] if some else []
    total = duration(sum(trial.seconds for trial in trials))
    median = duration(statistics.median(trial.seconds for trial in trials))
    return Chart(
        "Time",
        f"trials took {total} in sum, half of them at most {median} each",
        Axis("trials in the order of ending", 0.3, len(trials) + 0.7, whole=True),
        Axis(
            "seconds a trial" if size == 1 else f"seconds a trial, means of {size}",
            0.0,
            1.05 * max(bar[3] for bar in bad) or 1.0,
        ),
        tuple(layers),
        f"median {median}" + ("" if story.failures else ", no trial failed"),
    )


def _group_title(group: Sequence[Trial]) -> str:
    if len(group) == 1:
        cached = ", answered from memory" if group[0].cached else ""
        return f"trial {group[0].number}: {duration(group[0].seconds)}{cached}"
    mean = statistics.fmean(trial.seconds for trial in group)
    return f"{plural(len(group), 'trial')}: {duration(mean)} each"


# -- layers ----------------------------------------------------------------------


def label_of(objective: Objective) -> str:
    """An axis label that says which values are wanted."""
    return f"{axis_label(objective.name, objective.unit)}, {direction(objective)}"


def _with(values: Sequence[float], limit: float | None) -> list[float]:
    return [*values] if limit is None else [*values, limit]


def _limits(x: Objective | None = None, y: Objective | None = None) -> list[Layer]:
    found: list[Layer] = []
    if x is not None and x.limit is not None:
        found.append(Rule(x.limit, "x", wish(x)))
    if y is not None and y.limit is not None:
        found.append(Rule(y.limit, "y", wish(y)))
    return found


def _points(
    trials: Sequence[Trial],
    xs: Sequence[float],
    ys: Sequence[float],
    objective: Objective,
    legend: str,
    tone: Tone = "trial",
) -> Points:
    texts = [f"{noun(objective.name)} {short(trial.metrics[objective.name])}" for trial in trials]
    return Points(tuple(map(float, xs)), tuple(ys), tone, "dot", legend, _titles(trials, texts))


def _titles(trials: Sequence[Trial], texts: Sequence[str]) -> tuple[str, ...]:
    if len(trials) > TITLED:
        return ()
    return tuple(f"trial {t.number}: {text}" for t, text in zip(trials, texts, strict=True))


def _winner(best: Trial, x: float, y: float, objective: Objective) -> Points:
    title = f"trial {best.number}, the winner: {noun(objective.name)} {short(y)}"
    return Points((float(x),), (y,), "winner", "diamond", "winner", (title,))


def _drawn(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    return tuple(layer for layer in layers if not isinstance(layer, Points) or layer.x)


def _outside(values: Sequence[float], axis: Axis) -> str:
    count = sum(not axis.holds(value) for value in values)
    return f"{plural(count, 'trial')} beyond the axis, drawn on its edge" if count else ""
