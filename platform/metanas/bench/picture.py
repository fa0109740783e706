"""Anytime curves of a bench: the mean normalised regret over the seeds, with its error."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metanas.bench.strategies import Benched

COLOURS = ("#1f5fd0", "#c2510a", "#2a8a5f", "#8a4fbf", "#b4233f", "#566273", "#a17a00", "#1497ad")
INK, GRID = "#1b2430", "#dfe4ea"


def picture(benched: Benched, path: Path) -> None:
    """Write a PNG: a line a strategy, a band of two standard errors of the mean around it.

    Raises:
        OSError: If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = np.arange(1, benched.trials + 1)
    for at, name in enumerate(benched.rows):
        regrets = benched.regrets(name)
        mean = regrets.mean(axis=0)
        error = regrets.std(axis=0, ddof=1) / np.sqrt(len(regrets)) if len(regrets) > 1 else 0.0
        colour, dash = COLOURS[at % len(COLOURS)], "-" if at < len(COLOURS) else "--"
        axes.plot(steps, mean, color=colour, linestyle=dash, linewidth=1.8, label=name)
        low = np.maximum(mean - 2 * error, 0.0)
        axes.fill_between(steps, low, mean + 2 * error, color=colour, alpha=0.15, linewidth=0)
    record = benched.record
    axes.set_xlim(1, max(2, benched.trials))
    axes.set_yscale("symlog", linthresh=0.01, linscale=0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("normalised regret (0 the best row, 1 the median)")
    axes.set_title(
        f"{record['table']}, {record['measure']}, {record['seeds']} seeds",
        loc="left",
        color=INK,
        fontsize=11,
        parse_math=False,
    )
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=144, format="png")
