"""Charts and drawings as PNG files' content, by matplotlib, light on white."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metanas.report._boxes import Kind
from metanas.report._chart import Axis, Bars, Chart, Line, Points, Rule, Tone
from metanas.report._matters import Matter
from metanas.report._network import Drawing, Placed
from metanas.report._svg import curve
from metanas.report._words import clipped, pinched, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 144
PANEL_IN, FOOT_IN = (3.0, 2.0), 0.3
LETTER_IN, LETTERS = 0.078, 13
INK, MUTED, GRID = "#1b2430", "#566273", "#dfe4ea"
TONES: dict[Tone, str] = {
    "trial": "#7d93b8",
    "best": "#1f5fd0",
    "winner": "#c2510a",
    "failed": "#b4233f",
    "median": INK,
}
KINDS: dict[Kind, str] = {
    "input": "#ffffff",
    "layer": "#dfe9fb",
    "pool": "#e3f1ea",
    "join": "#fbe9da",
    "plain": "#eef0f3",
}
MARKS = {"dot": "o", "cross": "x", "diamond": "D", "tick": "|"}
SIZES = {"dot": 4.0, "cross": 5.0, "diamond": 7.5, "tick": 11.0}

SETTINGS: Any = {
    "text.usetex": False,
    "text.parse_math": False,  # a name may hold any sign
    "font.family": "sans-serif",
    "font.size": 9.0,
    "path.simplify": True,
}


def chart_png(chart: Chart) -> bytes:
    """One chart."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _chart(axes, chart)
        axes.set_title(_text(chart.title), loc="left", color=INK, fontsize=11)
        if any(layer.legend for layer in chart.layers):
            axes.legend(frameon=False, fontsize=8, labelcolor=MUTED)

    return _png(draw, 6.4, 4.2)


def matters_png(matters: Sequence[Matter]) -> bytes:
    """One chart a choice, side by side."""
    columns = min(4, len(matters))
    rows = -(-len(matters) // columns)
    names = [name for matter in matters for name in matter.chart.y.names]
    label = 0.25 + LETTER_IN * min(LETTERS, max(len(name) for name in names))
    width, height = PANEL_IN[0] * columns, PANEL_IN[1] * rows + FOOT_IN

    def draw(figure: Figure) -> None:
        for number, matter in enumerate(matters):
            row, column = divmod(number, columns)
            left, top = PANEL_IN[0] * column + label, height - PANEL_IN[1] * row - 0.35
            size = (PANEL_IN[0] - label - 0.2, PANEL_IN[1] - 0.7)
            place = (left / width, (top - size[1]) / height, size[0] / width, size[1] / height)
            axes = figure.add_axes(place)
            _chart(axes, matter.chart)
            axes.set_xlabel("")
            title = f"{clipped(matter.name, 20)}, explains {matter.share:.0%}"
            axes.set_title(title, loc="left", color=INK, fontsize=9)
        label_text = _text(matters[0].chart.x.label)
        figure.text(0.5, 0.1 / height, label_text, ha="center", color=MUTED, fontsize=9)

    return _png(draw, width, height, tight=False)


def network_png(drawing: Drawing) -> bytes:
    """A network."""
    width, height = drawing.width + 8, drawing.height + 8
    scale = min(1 / 72, 30 / height, 30 / width)

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(-4, width - 4)
        axes.set_ylim(height - 4, -4)
        axes.set_axis_off()
        for edge in drawing.edges:
            _edge(axes, edge)
        for placed in drawing.boxes:
            _box(axes, placed, scale * 72)

    return _png(draw, width * scale, height * scale, tight=False)


def _png(draw: Callable[[Any], None], width: float, height: float, *, tight: bool = True) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _settings():
        figure = Figure((width, height), dpi=DPI, layout="constrained" if tight else None)
        FigureCanvasAgg(figure)
        draw(figure)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """Plain text, whatever a user's own settings are; signs without a glyph are no news."""
    import matplotlib

    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


def _text(text: str) -> str:
    return clipped(plain(text), 90)


def _chart(axes: Axes, chart: Chart) -> None:
    for layer in chart.layers:
        _layer(axes, chart, layer)
    _axis(axes, chart.x, "x")
    _axis(axes, chart.y, "y")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=MUTED, length=0, labelsize=8)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _axis(axes: Axes, axis: Axis, which: str) -> None:
    ticks = axis.ticks(6 if which == "y" else 4)
    scale: dict[str, Any] = {f"{which}lim": (axis.low, axis.high)}
    if axis.log:
        scale[f"{which}scale"] = "log"
    axes.set(**scale)
    setter = axes.set_xticks if which == "x" else axes.set_yticks
    setter([value for value, _ in ticks], [pinched(text, LETTERS) for _, text in ticks])
    setter([], minor=True)
    label = axes.set_xlabel if which == "x" else axes.set_ylabel
    label(_text(axis.label), color=MUTED, fontsize=8.5)


def _layer(axes: Axes, chart: Chart, layer: Points | Line | Rule | Bars) -> None:
    colour, legend = TONES[layer.tone], _text(layer.legend) or None
    if isinstance(layer, Points):
        xs = [_within(chart.x, value) for value in layer.x]
        ys = [_within(chart.y, value) for value in layer.y]
        order = {"trial": 2, "failed": 3, "best": 4, "winner": 6, "median": 5}[layer.tone]
        axes.plot(
            xs,
            ys,
            color=colour,
            label=legend,
            linestyle="",
            marker=MARKS[layer.mark],
            markersize=SIZES[layer.mark],
            markeredgewidth=0.0 if layer.mark == "dot" else 1.4,
            clip_on=False,
            zorder=order,
        )
    elif isinstance(layer, Line):
        axes.plot(layer.x, layer.y, color=colour, label=legend, linewidth=1.8, zorder=3.5)
    elif isinstance(layer, Rule):
        line = axes.axvline if layer.axis == "x" else axes.axhline
        line(layer.at, color=colour, label=legend, linewidth=1.2, linestyle="--")
    else:
        boxes = layer.boxes
        axes.bar(
            [box[0] for box in boxes],
            [box[3] - box[1] for box in boxes],
            [box[2] - box[0] for box in boxes],
            [box[1] for box in boxes],
            align="edge",
            color=colour,
            label=legend,
        )


def _within(axis: Axis, value: float) -> float:
    """The value, or the end of the axis that it lies beyond."""
    low, high = min(axis.low, axis.high), max(axis.low, axis.high)
    return min(high, max(low, value))


def _edge(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    from matplotlib.patches import PathPatch

    axes.add_patch(PathPatch(_path(curve(points)), fill=False, edgecolor=MUTED, linewidth=1.0))


def _path(way: str) -> Any:
    """A matplotlib path from what `curve` writes: M, L and C, each with absolute places."""
    from matplotlib.path import Path

    codes: list[Any] = []
    places: list[tuple[float, float]] = []
    for command in way.replace("L", "|L").replace("C", "|C").split("|"):
        numbers = [float(number) for number in command[1:].split()]
        places += list(zip(numbers[::2], numbers[1::2], strict=True))
        code = {"M": Path.MOVETO, "L": Path.LINETO, "C": Path.CURVE4}[command[0]]
        codes += [code] * (len(numbers) // 2)
    return Path(places, codes)


def _box(axes: Axes, placed: Placed, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (placed.x, placed.y),
            placed.width,
            placed.height,
            boxstyle="round,pad=0,rounding_size=4",
            facecolor=KINDS[placed.box.kind],
            edgecolor=MUTED,
            linewidth=0.8,
            zorder=2,
        )
    )
    middle = placed.x + placed.width / 2
    lines = placed.box.lines
    for number, line in enumerate(lines):
        y = placed.y + (placed.height / 2 if len(lines) == 1 else (11, 23)[number])
        style = {"fontsize": 7.2 * scale, "color": MUTED} if number else {"fontsize": 9 * scale}
        axes.text(middle, y, line, ha="center", va="center", zorder=3, **style)
