"""Scores of NAS-Bench-201's cells against the published ones and the accuracies in its table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from helpers import SHARED

pytest.importorskip("scipy")
from scipy.stats import spearmanr

from metanas.core.space import check
from metanas.measures.zero_cost import SCORES
from metanas.meta.scores import Scoring, matrix
from metanas.spaces.nasbench201 import nasbench201
from metanas.tables import Table, load
from metanas.tasks.parquet import parquet

TABLE = SHARED / "tables" / "nasbench201.parquet"
IMAGES = SHARED / "data" / "sign_digits.parquet"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (TABLE.exists() and IMAGES.exists()), reason="needs ../shared"),
]

CELLS = 60

Scored = tuple[Table, npt.NDArray[np.intp], Mapping[str, npt.NDArray[np.float64]]]
"""The table, `CELLS` of its rows, and each score of these."""

# In a network of one cell a stage instead of five; jacov, snip and grad_norm grow with depth.
LEAST_PUBLISHED: Mapping[str, float] = {
    "nwot": 0.9, "jacov": 0.5, "synflow": 0.97, "snip": 0.5, "grad_norm": 0.5,
}  # fmt: skip
LEAST_ACCURACY: Mapping[str, float] = {"nwot": 0.45, "jacov": 0.45, "synflow": 0.4}


@pytest.fixture(scope="module")
def scored() -> Scored:
    table = load(str(TABLE))
    columns = [table.read(f"cifar10.zc_{name}") for name in SCORES]
    rows = np.flatnonzero(np.isfinite(columns).all(axis=0))
    rows = np.random.default_rng(0).permutation(rows)[:CELLS]
    space = nasbench201(channels=16, cells=1)
    task = parquet(path=str(IMAGES), size=32)
    found = matrix(Scoring(space, task)([check(space, table.values(int(row))) for row in rows]))
    ranked = np.where(np.isfinite(found), found, -np.finfo(np.float64).max)
    return table, rows, dict(zip(SCORES, ranked.T, strict=True))


def correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(spearmanr(one, other).statistic)


@pytest.mark.parametrize("name", SCORES)
def test_cells_are_ranked_as_their_published_scores_rank_them(scored: Scored, name: str) -> None:
    table, rows, ours = scored
    published = table.read(f"cifar10.zc_{name}")[rows]
    assert correlation(ours[name], published) > LEAST_PUBLISHED[name]


@pytest.mark.parametrize("name", sorted(LEAST_ACCURACY))
@pytest.mark.parametrize("data", ["cifar10", "cifar100", "imagenet16_120"])
def test_scores_go_with_the_accuracies_of_trained_cells(
    scored: Scored, name: str, data: str
) -> None:
    table, rows, ours = scored
    accuracies = table.read(f"{data}.valid_accuracy_200ep_pct")[rows]
    assert correlation(ours[name], accuracies) > LEAST_ACCURACY[name]
