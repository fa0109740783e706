from __future__ import annotations

import pytest
from torch import nn

from metanas.core.objective import Objective
from metanas.core.plugins import listing, reference, resolve
from metanas.testing import check_objective


def named(name: str) -> Objective:
    """The objective of that name, with its options at their defaults where it has any."""
    found = resolve(reference("objectives", name))
    objective: Objective = found() if callable(found) else found
    return objective


@pytest.mark.parametrize("name", [listed.name for listed in listing("objectives")])
def test_every_objective_keeps_the_laws(name: str) -> None:
    objective = named(name)
    assert objective.name == name
    check_objective(objective)


@pytest.mark.parametrize(
    ("name", "value"),
    [("params", 650.0), ("flops", 1280.0), ("activation_mb", 4 * 74 / 1e6)],
)
def test_it_measures_what_it_is_named_after(name: str, value: float) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    measure = named(name).measure
    assert measure is not None
    assert measure(module, (1, 8, 8)) == value


def test_accuracy_is_left_to_the_estimator() -> None:
    assert named("accuracy").measure is None


def test_an_objective_takes_its_options_by_name() -> None:
    objective = resolve(reference("objectives", "latency_ms", {"batch": "4"}))()
    assert objective.name == "latency_ms"
    check_objective(objective)
