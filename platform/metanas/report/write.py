"""Writing a report: each file appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from metanas.report._figures import failures, progress, seconds, tradeoff
from metanas.report._matters import matters
from metanas.report._network import Drawing, drawing
from metanas.report._page import Pictures, page
from metanas.report._png import chart_png, matters_png, network_png
from metanas.report.story import Story

PAGE = "report.html"
FIGURES = ("progress", "tradeoff", "network", "choices", "failures", "time")
NETWORK_PX = (360.0, 500.0)
WIDE_PX = (1200.0, 700.0)
"""The room that the page has for the network, and below the charts."""

LEGIBLE = 0.75
"""A drawing that is made smaller than this cannot be read well."""


def write_report(story: Story, folder: Path) -> Path:
    """Write ``report.html`` and ``figures/*.png``; the same story gives the same page.

    A figure that the story has nothing for is not there, not even an older one.

    Args:
        story: What to tell.
        folder: Made if need be; what else is in it stays.

    Returns:
        The page's path.

    Raises:
        OSError: If the folder cannot be written.
    """
    pictures = pictures_of(story)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    _put(folder / PAGE, page(story, pictures).encode())
    drawn = _drawn(pictures)
    for name in FIGURES:
        path = folder / "figures" / f"{name}.png"
        if name in drawn:
            _put(path, drawn[name]())
        else:
            path.unlink(missing_ok=True)
    return folder / PAGE


def pictures_of(story: Story) -> Pictures:
    """All figures that a story has something for."""
    return Pictures(
        progress(story),
        tradeoff(story),
        failures(story),
        seconds(story),
        matters(story),
        *_networks(story),
    )


def _networks(story: Story) -> tuple[Drawing | None, Drawing | None]:
    """The network beside the charts, and a wider one if that is hard to read."""
    network = drawing(story.graph, NETWORK_PX)
    if network is None or network.scale(NETWORK_PX) >= LEGIBLE:
        return network, None
    return network, drawing(story.graph, WIDE_PX)


def _drawn(pictures: Pictures) -> dict[str, Callable[[], bytes]]:
    charts = {
        "progress": pictures.progress,
        "tradeoff": pictures.tradeoff,
        "failures": pictures.failures,
        "time": pictures.time,
    }
    found: dict[str, Callable[[], bytes]] = {}
    for name, chart in charts.items():
        if chart is not None:
            found[name] = lambda chart=chart: chart_png(chart)  # type: ignore[misc]
    if pictures.matters:
        found["choices"] = lambda: matters_png(pictures.matters)
    network = pictures.network
    if network is not None:
        found["network"] = lambda: network_png(pictures.wide or network)
    return found


def _put(path: Path, content: bytes) -> None:
    """Write a file beside its place, then put it there."""
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
