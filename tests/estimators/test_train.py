"""Training on real digits: it learns, repeats itself, and says how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from metanas.core.errors import ConfigError, DivergedError, InfeasibleError
from metanas.core.plugins import reference, resolve
from metanas.core.space import Choice, Space, check
from metanas.core.trial import Report
from metanas.estimators.train import Train
from metanas.measures.flops import flops
from metanas.spaces.cnn import SPACE as CNN
from metanas.tasks.digits import digits

SENSIBLE = {
    "stages": 2, "depth": 1, "width": 16, "growth": 2.0, "kernel_1": 3, "kernel_2": 3,
    "kernel_3": 3, "kernel_4": 3, "block": "residual", "pool": "max", "norm": "batch",
    "activation": "relu",
}  # fmt: skip


def trained(space: Space = CNN, values: Any = None, **given: Any) -> list[Report]:
    arguments = {"epochs": 1, "settings": {}, "seed": 0} | given
    architecture = check(space, SENSIBLE if values is None else values)
    task = arguments.pop("task", digits())
    reports: Iterator[Report] = Train()(space, architecture, task, **arguments)
    return list(reports)


def one(build: Any) -> Space:
    return Space("one", (Choice("a", (1,)),), build)


def test_a_sound_network_learns_digits() -> None:
    reports = trained(epochs=6)
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].metrics["accuracy"] > 0.93


def test_the_same_seed_gives_the_same_numbers_and_another_one_does_not() -> None:
    first, again, other = (trained(seed=seed)[-1].metrics for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_objectives_are_measured() -> None:
    objectives = [resolve(reference("objectives", name)) for name in ("params", "flops")]
    metrics = trained(objectives=objectives)[-1].metrics
    module = CNN.build(SENSIBLE, (1, 8, 8), 10)
    assert metrics["params"] == sum(p.numel() for p in module.parameters())
    assert metrics["flops"] == flops(module, (1, 8, 8))


def test_flops_are_counted_as_by_hand() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 10))
    assert flops(module, (3, 4, 4)) == 2 * (16 * 8 * 3 * 9) + 2 * (8 * 16 * 10)


def test_the_final_training_sees_more_rows_and_scores_test_at_its_end_only() -> None:
    seen: list[int] = []
    task = digits()

    def score(outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        seen.append(len(targets))
        return dict(task.score(outputs, targets))

    watched = replace(task, score=score)
    data = task.load(0)
    reports = trained(task=watched, epochs=2, final=True)
    assert seen == [len(data.test)]
    assert set(reports[0].metrics) == {"train_loss"}
    assert set(reports[1].metrics) == {"accuracy", "loss"}


def test_a_wrong_output_shape_is_named_with_both_shapes() -> None:
    space = one(lambda v, shape, outputs: nn.Sequential(nn.Flatten(), nn.Linear(64, outputs + 1)))
    with pytest.raises(InfeasibleError, match=r"gives \(2, 11\), expected \(2, 10\)"):
        trained(space, {"a": 1})


def test_what_build_raises_is_infeasible() -> None:
    def build(*_: object) -> nn.Module:
        raise ValueError("no such layer")

    with pytest.raises(InfeasibleError, match="build fails: ValueError: no such layer"):
        trained(one(build), {"a": 1})


def test_nan_is_divergence() -> None:
    with pytest.raises(DivergedError, match="loss became nan"):
        trained(settings={"learning_rate": 1e30})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"lr": 1}, "no setting 'lr'"), ({"batch_size": 0}, "batch_size is 0, expected at least 1")],
)
def test_wrong_settings_are_refused(settings: dict[str, float], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        trained(settings=settings)
