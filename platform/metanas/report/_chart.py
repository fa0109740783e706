"""Charts as plain data: axes and layers, in the units of what they show.

A chart knows neither pixels nor colours: `_svg` draws it for the page, `_png` with
matplotlib. A tone is the part that something plays (a trial, the winner, a failure).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["trial", "best", "winner", "failed", "median"]
Mark = Literal["dot", "cross", "diamond", "tick"]

Bar = tuple[float, float, float, float]
"""A rectangle: x and y of one corner, x and y of the opposite one."""

LARGEST = 1e100
"""Axes end here: beyond, differences overflow."""

LOG_FROM = 10
"""An axis is logarithmic from this ratio of its ends on."""

REACH = 4.0
"""How many inter-quartile ranges beyond a quartile an axis goes on the side of the worse."""

LEAST_CLIPPED = 8
PADDING = 0.05


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, which may be the smaller: then it runs the other way.

    Args:
        label: What is along it, with its unit.
        low, high: Its ends.
        log: Whether equal ratios are equally long.
        names: Of the whole numbers 0, 1, ..., where it tells kinds apart.
        whole: Whether only whole numbers make sense.
    """

    label: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()
    whole: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 at `low` to 1 at `high`; what lies beyond is at the end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return min(1.0, max(0.0, (self._scaled(value) - low) / (high - low)))

    def holds(self, value: float) -> bool:
        """Whether a value lies between the ends."""
        return min(self.low, self.high) <= value <= max(self.low, self.high)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """At most `most` values to be marked, and how they are written."""
        if self.names:
            return [(float(number), name) for number, name in enumerate(self.names)]
        if self.log:
            return _log_ticks(self.low, self.high, most)
        return _even_ticks(self.low, self.high, most, self.whole)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value


@dataclass(frozen=True)
class Points:
    """Places, each with a word on what it is, where `titles` are given."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    tone: Tone
    mark: Mark = "dot"
    legend: str = ""
    titles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """From place to place."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    tone: Tone
    legend: str = ""


@dataclass(frozen=True)
class Rule:
    """A limit: a line across the chart at a value of one axis."""

    at: float
    axis: Literal["x", "y"]
    legend: str = ""
    tone: Tone = "failed"


@dataclass(frozen=True)
class Bars:
    """Rectangles."""

    boxes: tuple[Bar, ...]
    tone: Tone
    legend: str = ""
    titles: tuple[str, ...] = ()


Layer = Points | Line | Rule | Bars


@dataclass(frozen=True)
class Chart:
    """One figure.

    Args:
        title: What it shows, in a few words.
        says: What can be read from it, as a sentence for who cannot see it.
        note: A word that belongs beside it; "" for none.
    """

    title: str
    says: str
    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    note: str = ""


def axis_of(
    label: str,
    values: Sequence[float],
    goal: Literal["max", "min"] | None = None,
    keep: Sequence[float] = (),
) -> Axis:
    """An axis for measured values.

    With a goal, a few values that are far worse than all others lie beyond its end, so
    that the others can be told apart. What varies over orders of magnitude gets a
    logarithmic axis, unless more of it is better.

    Args:
        label: Of the axis.
        values: At least one.
        goal: Which side the better values are on.
        keep: Values that must be on it.
    """
    values = [min(LARGEST, max(-LARGEST, value)) for value in values]
    low, high = min(values), max(values)
    log = goal != "max" and low > 1 / LARGEST and high / low > LOG_FROM
    if goal is not None and not log and len(values) >= LEAST_CLIPPED:
        low, high = _clipped(sorted(values), goal, keep)
    if log:
        room = PADDING * (math.log10(high) - math.log10(low))
        return Axis(label, low / 10**room, high * 10**room, log=True)
    width = high - low
    if width <= 1e-9 * max(abs(low), abs(high), 1e-90):
        width = abs(high) or 1.0
    return Axis(label, low - PADDING * width, high + PADDING * width)


def _clipped(
    values: Sequence[float], goal: Literal["max", "min"], keep: Sequence[float]
) -> tuple[float, float]:
    low, high = values[0], values[-1]
    first, third = values[len(values) // 4], values[-1 - len(values) // 4]
    reach = REACH * (third - first)
    if not reach > 0:
        return low, high
    if goal == "max":
        return min([max(low, first - reach), *keep]), high
    return low, max([min(high, third + reach), *keep])


def _even_ticks(low: float, high: float, most: int, whole: bool) -> list[tuple[float, str]]:
    low, high = min(low, high), max(low, high)
    rough = (high - low) / max(1, most)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(number * step, written(number * step, step)) for number in numbers]


def _log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    found: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        every = [factor * 10.0**power for power in powers for factor in factors]
        within = [value for value in every if low <= value <= high]
        if len(within) > most and found:
            break
        found = within
    thin = math.ceil(len(found) / max(1, most))
    return [(value, written(value, value)) for value in found[::thin]]


def written(value: float, step: float) -> str:
    """A tick's value, with the digits that tell it from its neighbours: ``0.95``, ``20k``."""
    size = max(abs(value), step)
    if size >= 1e12 or size < 1e-4:
        return f"{value:.3g}"
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit and abs(value) >= unit:
            return f"{_digits(value / unit, step / unit)}{letter}"
    return _digits(value, step)


def _digits(value: float, step: float) -> str:
    decimals = min(6, max(0, -math.floor(math.log10(step) + 1e-9)))
    return f"{value:.{decimals}f}"
