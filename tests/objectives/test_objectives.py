from __future__ import annotations

import pytest
from torch import nn

from metanas.core.plugins import listing, reference, resolve
from metanas.testing import check_objective


@pytest.mark.parametrize("name", [listed.name for listed in listing("objectives")])
def test_every_objective_keeps_the_laws(name: str) -> None:
    objective = resolve(reference("objectives", name))
    assert objective.name == name
    check_objective(objective)


@pytest.mark.parametrize(("name", "value"), [("params", 650.0), ("flops", 1280.0)])
def test_it_measures_what_it_is_named_after(name: str, value: float) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert resolve(reference("objectives", name)).measure(module, (1, 8, 8)) == value


def test_accuracy_is_left_to_the_estimator() -> None:
    assert resolve(reference("objectives", "accuracy")).measure is None
