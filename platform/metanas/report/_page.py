"""The report's page: one HTML file that needs nothing beside itself.

It is well-formed XML too, so that whatever a name holds can be shown to have been escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metanas.report._chart import Bars, Chart, Layer, Line, Points, Rule
from metanas.report._details import details, values_table
from metanas.report._matters import Matter
from metanas.report._network import Drawing
from metanas.report._style import CSS
from metanas.report._svg import chart_svg, network_svg
from metanas.report._telling import headline, tiles
from metanas.report._words import clipped, escaped, plural
from metanas.report.story import Story

CHART_PX = (250, 205)
STRIP_PX, ROW_PX, HIGH_ROW_PX = 186, 17, 26
FEW = 4
NO_SIZE = "The trials tell no size of their networks."
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is loaded and nothing runs, whatever a name might smuggle in."""


@dataclass(frozen=True)
class Pictures:
    """All figures of a story; None or nothing where there is none to draw."""

    progress: Chart | None
    tradeoff: Chart | None
    failures: Chart | None
    time: Chart | None
    matters: Sequence[Matter]
    network: Drawing | None
    wide: Drawing | None
    """The network once more, where it needs more room than it has beside the charts."""


def page(story: Story, pictures: Pictures) -> str:
    """The whole page."""
    title = escaped(f"{story.name}: architecture search on {story.task}")
    policy = escaped(POLICY)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f"{_header(story)}\n<main>\n{_tiles(story)}\n{_board(story, pictures)}\n"
        f"{_wide(pictures.wide)}"
        f"{details(story)}\n</main>\n"
        "<footer>Trials were judged on validation data; test data is used once, by the "
        "winner trained afresh.</footer>\n</body>\n</html>\n"
    )


def _header(story: Story) -> str:
    state = "" if story.over else " (unfinished)"
    parts = [f"space {story.space}", f"strategy {story.strategy}", f"seed {story.seed}"]
    return (
        f'<header><p class="eyebrow"><b>{escaped(story.name)}</b>{state}: '
        f"{escaped(', '.join(parts))}</p><h1>{escaped(headline(story))}</h1></header>"
    )


def _tiles(story: Story) -> str:
    found = [
        f'<div class="tile"><dt>{escaped(tile.label)}</dt><dd class="value">{escaped(tile.value)}'
        f'</dd><dd class="detail">{escaped(tile.detail)}</dd></div>'
        for tile in tiles(story)
    ]
    won = " won" if story.result.best is not None else ""
    return f'<dl class="tiles{won}">{"".join(found)}</dl>'


# -- figures -----------------------------------------------------------------------


def _board(story: Story, pictures: Pictures) -> str:
    if not story.measured:
        charts = [c for c in (pictures.time, pictures.failures) if c is not None]
        bare = "".join(f'<figure class="card">{_figure(c, CHART_PX[1])}</figure>' for c in charts)
        return f'<div class="board bare">{bare}</div>'
    parts = [
        _card("progress", "Progress", pictures.progress, ""),
        _card("tradeoff", "Quality and size", pictures.tradeoff, NO_SIZE),
        _time(pictures),
        _choices(story, pictures.matters),
        _network(story, pictures.network),
    ]
    return f'<div class="board">{"".join(parts)}</div>'


def _card(area: str, title: str, chart: Chart | None, nothing: str) -> str:
    if chart is None:
        return (
            f'<section class="card {area}"><h2>{escaped(title)}</h2>'
            f'<p class="note">{escaped(nothing)}</p></section>'
        )
    return f'<figure class="card {area}">{_figure(chart, CHART_PX[1])}</figure>'


def _figure(chart: Chart, height: int) -> str:
    drawn = chart_svg(chart, CHART_PX[0], height)
    return f"<figcaption><h2>{escaped(chart.title)}</h2>{legend(chart)}</figcaption>{drawn}"


def legend(chart: Chart) -> str:
    """A list of the layers that have a legend, each with a small picture, and the note."""
    shown = sorted(chart.layers, key=lambda layer: isinstance(layer, Rule))
    items = [f"<li>{_key(layer)}{escaped(layer.legend)}</li>" for layer in shown if layer.legend]
    items += [f"<li>{escaped(chart.note)}</li>"] if chart.note else []
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def _key(layer: Layer) -> str:
    if isinstance(layer, Points):
        shapes = {
            "dot": '<circle cx="7" cy="5" r="3"/>',
            "cross": '<path class="cross" d="M4 2l6 6m0-6l-6 6"/>',
            "diamond": '<path class="diamond" d="M7 0l5 5l-5 5l-5-5z"/>',
            "tick": '<path class="tick" d="M7 0v10"/>',
        }
        shape = shapes[layer.mark]
    elif isinstance(layer, Bars):
        shape = '<rect x="3" y="1" width="8" height="8"/>'
    else:
        kind = "line" if isinstance(layer, Line) else "rule"
        shape = f'<path class="{kind}" d="M0 5h14"/>'
    return f'<svg class="chart t-{layer.tone}" viewBox="0 0 14 10" aria-hidden="true">{shape}</svg>'


def _time(pictures: Pictures) -> str:
    """How long trials took, and below it how many failed in which way."""
    if pictures.time is None or pictures.failures is None:
        return _card("time", "Time", pictures.time, "")
    rows = len(pictures.failures.y.names)
    below = ROW_PX * rows + 21
    above = CHART_PX[1] - 20 - below
    return (
        f'<div class="card time"><figure>{_figure(pictures.time, above)}</figure>'
        f"<figure><figcaption><h2>{escaped(pictures.failures.title)}</h2></figcaption>"
        f"{chart_svg(pictures.failures, CHART_PX[0], below, bare=True)}</figure></div>"
    )


def _choices(story: Story, matters: Sequence[Matter]) -> str:
    head = "<h2>Which choices matter</h2>"
    if not matters:
        words = '<p class="note">No choices are known.</p>'
        return f'<section class="card choices">{head}{words}</section>'
    axis = matters[0].chart.x
    count = len(story.choices)
    which = (
        f"the {len(matters)} of {count} choices that explain most" if count > 8 else "each choice"
    )
    says = f"{axis.label}: {which}; a dot a trial, a line an option's median"
    letters = max(len(name) for matter in matters for name in matter.chart.y.names)
    row = ROW_PX if len(matters) > FEW else HIGH_ROW_PX
    parts = "".join(_strips(matter, letters, row) for matter in matters)
    return (
        f'<section class="card choices">{head}<p class="note">{escaped(says)}</p>'
        f'<div class="strips">{parts}</div></section>'
    )


def _strips(matter: Matter, letters: int, row: int) -> str:
    height = row * max(1, len(matter.chart.y.names)) + 19
    drawn = chart_svg(matter.chart, STRIP_PX, height, bare=True, letters=letters)
    rest = f", best {len(matter.chart.y.names)} shown" if matter.left_out else ""
    return (
        f"<figure><figcaption><h3>{escaped(clipped(matter.name, 22))}</h3>"
        f'<span class="note">{matter.share:.0%} explained{rest}</span></figcaption>'
        f"{drawn}</figure>"
    )


def _wide(network: Drawing | None) -> str:
    if network is None:
        return ""
    return (
        '<figure class="card full"><figcaption><h2>The network in full</h2></figcaption>'
        f'<div class="drawing">{network_svg(network, 1.1)}</div></figure>\n'
    )


def _network(story: Story, network: Drawing | None) -> str:
    best = story.result.best
    if best is None:
        return ""
    title = f"<h2>The network of trial {best.number}</h2>"
    if network is None:
        words = (
            f"Too large to draw: {plural(len(story.graph), 'operation')}." if story.graph else ""
        )
        return (
            f'<section class="card network">{title}<p class="note">{words}</p>'
            f"{values_table(best)}</section>"
        )
    return (
        f'<figure class="card network"><figcaption>{title}'
        f'<p class="note">{escaped(network.says)}</p></figcaption>'
        f'<div class="drawing">{network_svg(network, 1.15)}</div></figure>'
    )
