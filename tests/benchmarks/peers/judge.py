"""What is told of the rows that each case proposed: figures, differences in pairs, tables.

Shapes: ``s`` seeds, ``f`` figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metanas.bench.scores import Floats, Standing, scores, so_far

FIGURES = ("top 0.1 %", "regret 25", "regret 50")
"""Mean evaluations to the top 0.1 %, and the mean normalised regret after 25 and 50."""
PLACES = (1, 4, 4)


@dataclass(frozen=True)
class Found:
    """A case's seeds.

    Args:
        name: Of the peer or strategy.
        version: Of its package.
        rows: By seed, the rows in order.
        seconds_per_suggestion: The median over the seeds; NaN where there are none.
        error: Why seeds are missing, "" where none is known.
    """

    name: str
    version: str
    rows: Mapping[int, Sequence[int]]
    seconds_per_suggestion: float
    error: str = ""


def figures(of: Standing, rows: Mapping[int, Sequence[int]], trials: int) -> dict[int, Floats]:
    """By seed ``[f]``; NaN for a regret after more evaluations than there were."""
    each = [scores(of, [seed], trials) for seed in rows.values()]
    regrets = of.regret(so_far(of, list(rows.values()), trials))
    at = [regrets[:, k - 1] if k <= trials else np.full(len(rows), np.nan) for k in (25, 50)]
    table = np.stack([[e["evaluations_to_top_0.1pct"]["mean"] for e in each], *at], axis=1)
    return dict(zip(rows, table, strict=True))


def compared(ours: Mapping[int, Floats], theirs: Mapping[int, Floats]) -> list[tuple[float, float]]:
    """Theirs less ours over the seeds of both, and its standard error, by figure."""
    both = sorted(ours.keys() & theirs.keys())
    if len(both) < 2:
        return [(float("nan"), float("nan"))] * len(FIGURES)
    less = np.stack([theirs[seed] - ours[seed] for seed in both])
    error = less.std(axis=0, ddof=1) / np.sqrt(len(both))
    return [(float(m), float(e)) for m, e in zip(less.mean(axis=0), error, strict=True)]


def records(
    of: Standing, cases: Sequence[Found], ours: Sequence[str], trials: int
) -> list[dict[str, Any]]:
    """A JSON object a case: its scores, and under `less` its differences to each of ours."""
    by_seed = {case.name: figures(of, case.rows, trials) for case in cases if case.rows}
    told = []
    for case in cases:
        head = {"peer": case.name, "version": case.version, "seeds": sorted(case.rows)}
        failed = {"error": case.error} if case.error else {}
        if not case.rows:
            told.append({**head, **failed})
            continue
        mine = by_seed[case.name]
        less = {
            name: _pairs(by_seed[name], mine)
            for name in ours
            if name in by_seed and name != case.name
        }
        means = dict(zip(FIGURES, map(float, np.mean(list(mine.values()), axis=0)), strict=True))
        told.append(
            {
                **head,
                **failed,
                **scores(of, list(case.rows.values()), trials),
                "mean": means,
                "seconds_per_suggestion": case.seconds_per_suggestion,
                "less": less,
            }
        )
    return told


def _pairs(ours: Mapping[int, Floats], theirs: Mapping[int, Floats]) -> dict[str, Any]:
    found = {
        figure: {"mean": mean, "standard_error": error}
        for figure, (mean, error) in zip(FIGURES, compared(ours, theirs), strict=True)
    }
    return {"seeds": len(ours.keys() & theirs.keys()), **found}


def tables(told: Sequence[Mapping[str, Any]], ours: Sequence[str]) -> str:
    """The means of all cases; then, for each of ours, what the others need more."""
    shown = [["", "seeds", *FIGURES, "ms"]]
    for case in told:
        row = [case["peer"], str(len(case["seeds"]))]
        if "mean" in case:
            row += [f"{case['mean'][f]:.{p}f}" for f, p in zip(FIGURES, PLACES, strict=True)]
            row += [f"{1000 * case['seconds_per_suggestion']:.1f}"]
        shown.append([*row, *([case["error"]] if "error" in case else [])])
    blocks = [_aligned(shown)]
    for name in ours:
        rows = [_less(case, name) for case in told if name in case.get("less", {})]
        if rows:
            blocks.append(_aligned([[f"less {name}", "pairs", *FIGURES], *rows]))
    return "\n\n".join(blocks)


def _less(case: Mapping[str, Any], name: str) -> list[str]:
    pairs = case["less"][name]
    marks = [
        f"{pairs[f]['mean']:+.{p}f} ± {pairs[f]['standard_error']:.{p}f}"
        for f, p in zip(FIGURES, PLACES, strict=True)
    ]
    return [case["peer"], str(pairs["seeds"]), *marks]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of one width; one beyond the head's, an error, may be of any."""
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(len(rows[0]))]
    whole = [*widths, 0]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, whole, strict=False)).rstrip()
        for row in rows
    )
