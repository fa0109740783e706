"""Charts and drawings as SVG within a page, which gives them colours and fonts.

Everything is drawn in the colour of its tone's class (``t-trial``, ``t-winner``, ...), so
that light and dark are the page's affair. No element has an id: a page holds many of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from metanas.report._chart import Axis, Bars, Chart, Layer, Line, Points, Rule
from metanas.report._network import Drawing, Placed, Point
from metanas.report._words import escaped, pinched

LETTER_PX = 5.6
RADIUS = 2.6
LEAST_BAR_PX = 0.8
MOST_LETTERS = 13
MANY = 400
STRAIGHT_PX = 2.0


@dataclass(frozen=True)
class _Frame:
    """Where a chart's axes lie in its picture, in pixels."""

    chart: Chart
    left: float
    top: float
    right: float
    bottom: float

    def x(self, value: float) -> float:
        return self.left + self.chart.x.place(value) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - self.chart.y.place(value) * (self.bottom - self.top)


def chart_svg(
    chart: Chart, width: int, height: int, *, bare: bool = False, letters: int | None = None
) -> str:
    """A chart as an SVG element.

    Args:
        chart: What to draw.
        width: Of the picture in pixels; it is scaled with its container.
        height: The same.
        bare: Leave the axes' labels out.
        letters: Of the longest name on the y axis, where several charts are to be aligned.
    """
    y_ticks = chart.y.ticks(max(3, (height - 40) // 30))
    if letters is None:
        letters = max((len(text) for _, text in y_ticks), default=0)
    top, bottom = (4.0, height - 15.0) if bare else (18.0, height - 28.0)
    frame = _Frame(chart, 8.0 + min(letters, MOST_LETTERS) * LETTER_PX, top, width - 8.0, bottom)
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escaped(f"{chart.title}: {chart.says}")}">',
        *_axes(frame, y_ticks, bare),
        *(_layer(frame, layer) for layer in chart.layers),
        "</svg>",
    ]
    return "".join(parts)


def _axes(frame: _Frame, y_ticks: Sequence[tuple[float, str]], bare: bool) -> list[str]:
    chart, parts = frame.chart, ['<g class="axes">']
    for value, text in y_ticks:
        y = frame.y(value)
        parts.append(f'<path d="M{frame.left:.1f} {y:.1f}H{frame.right:.1f}"/>')
        shown = escaped(pinched(text, MOST_LETTERS))
        parts.append(f'<text x="{frame.left - 5:.1f}" y="{y + 3.5:.1f}" class="end">{shown}</text>')
    width = frame.right - frame.left
    for value, text in _fitting(chart.x, width):
        x = frame.x(value)
        anchor = "end" if x > frame.right - 12 else "mid"
        parts.append(
            f'<text x="{x:.1f}" y="{frame.bottom + 12:.1f}" class="{anchor}">{escaped(text)}</text>'
        )
    parts.append(f'<path class="base" d="M{frame.left:.1f} {frame.bottom:.1f}H{frame.right:.1f}"/>')
    if not bare:
        label = escaped(chart.y.label)
        parts.append(f'<text class="label" x="2" y="10">{label}</text>')
        parts.append(
            f'<text class="label end" x="{frame.right:.1f}" y="{frame.bottom + 24:.1f}">'
            f"{escaped(chart.x.label)}</text>"
        )
    return [*parts, "</g>"]


def _fitting(axis: Axis, width: float) -> list[tuple[float, str]]:
    """As many ticks as have room beside each other."""
    for most in (6, 5, 4, 3, 2):
        ticks = axis.ticks(most)
        needed = sum(len(text) * LETTER_PX + 12 for _, text in ticks)
        if needed <= width:
            return ticks
    return ticks


def _layer(frame: _Frame, layer: Layer) -> str:
    if isinstance(layer, Points):
        inner = _points(frame, layer)
    elif isinstance(layer, Bars):
        inner = _bars(frame, layer)
    elif isinstance(layer, Line):
        places = [(frame.x(x), frame.y(y)) for x, y in zip(layer.x, layer.y, strict=True)]
        inner = f'<path class="line" d="{_polyline(places)}"/>'
    else:
        inner = _rule(frame, layer)
    return f'<g class="t-{layer.tone}">{inner}</g>'


def _rule(frame: _Frame, rule: Rule) -> str:
    if rule.axis == "x":
        way = f"M{frame.x(rule.at):.1f} {frame.top:.1f}V{frame.bottom:.1f}"
    else:
        way = f"M{frame.left:.1f} {frame.y(rule.at):.1f}H{frame.right:.1f}"
    return f'<path class="rule" d="{way}"/>'


def _points(frame: _Frame, layer: Points) -> str:
    places = [(frame.x(x), frame.y(y)) for x, y in zip(layer.x, layer.y, strict=True)]
    if not places:
        return ""
    if not layer.titles:
        if layer.mark == "dot":  # dots are the round ends of lines without a length
            kind = "dots" if len(places) <= MANY else "dots many"
            return f'<path class="{kind}" d="{"".join(_dots(places))}"/>'
        return f'<path class="{layer.mark}" d="{"".join(_mark(layer.mark, *p) for p in places)}"/>'
    parts = []
    for (x, y), title in zip(places, layer.titles, strict=True):
        said = f"<title>{escaped(title)}</title>"
        if layer.mark == "dot":
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}">{said}</circle>')
        else:
            way = _mark(layer.mark, x, y)
            parts.append(f'<path class="{layer.mark}" d="{way}">{said}</path>')
    return "".join(parts)


def _dots(places: Sequence[Point]) -> list[str]:
    """One dot a place; what would lie on another to half a pixel is drawn once."""
    halves = dict.fromkeys((round(2 * x), round(2 * y)) for x, y in places)
    return [f"M{x / 2:g} {y / 2:g}h0" for x, y in halves]


def _mark(mark: str, x: float, y: float) -> str:
    if mark == "cross":
        return f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6"
    if mark == "diamond":
        return f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5-5.5z"
    return f"M{x:.1f} {y - 5:.1f}v10"


def _bars(frame: _Frame, layer: Bars) -> str:
    parts = []
    for number, (x0, y0, x1, y1) in enumerate(layer.boxes):
        left, right = frame.x(x0), frame.x(x1)
        top, bottom = min(frame.y(y0), frame.y(y1)), max(frame.y(y0), frame.y(y1))
        if y0 == y1:
            continue
        size = f'width="{max(LEAST_BAR_PX, right - left):.1f}" height="{bottom - top:.1f}"'
        said = f"<title>{escaped(layer.titles[number])}</title>" if layer.titles else ""
        parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size}>{said}</rect>')
    return "".join(parts)


def _polyline(places: Sequence[Point]) -> str:
    return "".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(places))


# -- networks ----------------------------------------------------------------------


def network_svg(drawing: Drawing, widest: float) -> str:
    """A network as an SVG element, at most `widest` times its natural size."""
    width, height = drawing.width + 4, drawing.height
    parts = [
        f'<svg class="network" viewBox="-2 0 {width:.0f} {height:.0f}" role="img" '
        f'style="max-width:{width * widest:.0f}px" aria-label="{escaped(drawing.says)}">',
        '<g class="edges">',
        *(f'<path d="{curve(edge)}"/>' for edge in drawing.edges),
        "</g>",
        *(_box(placed) for placed in drawing.boxes),
        "</svg>",
    ]
    return "".join(parts)


def curve(points: Sequence[Point]) -> str:
    """A line by way of points; a curve that leaves and arrives upright where both differ."""
    way = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if abs(x0 - x1) < STRAIGHT_PX or y0 == y1:
            way += f"L{x1:.1f} {y1:.1f}"
        else:
            middle = (y0 + y1) / 2
            way += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return way


def _box(placed: Placed) -> str:
    box, middle = placed.box, placed.x + placed.width / 2
    lines = box.lines
    first = placed.y + (placed.height / 2 + 3.8 if len(lines) == 1 else 13.5)
    texts = f'<text x="{middle:.1f}" y="{first:.1f}">{escaped(lines[0])}</text>'
    if len(lines) > 1:
        y = placed.y + 25.5
        texts += f'<text class="detail" x="{middle:.1f}" y="{y:.1f}">{escaped(lines[1])}</text>'
    return (
        f'<g class="box k-{box.kind}"><title>{escaped(box.says)}</title>'
        f'<rect x="{placed.x:.1f}" y="{placed.y:.1f}" width="{placed.width:.1f}" '
        f'height="{placed.height:.1f}" rx="4"/>{texts}</g>'
    )
