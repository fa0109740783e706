"""Objectives as written: their names and options are each one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from metanas.api import SearchConfig, assemble
from metanas.core.errors import ConfigError
from metanas.tasks.digits import digits

GOALS = """
from metanas.core.objective import Objective


def opt(*, batch: int = 1):
    return Objective("speed", "", "min", lambda module, shape: float(batch))


speed = Objective("speed", "", "max", lambda module, shape: 1.0)
loss = Objective("loss", "", "min", lambda module, shape: 1.0)
flops = Objective("flops", "", "min", lambda module, shape: 1.0)
"""


@pytest.fixture
def goals(tmp_path: Path) -> str:
    file = tmp_path / "my.goals.py"
    file.write_text(GOALS)
    return str(file)


def config(*objectives: str, options: tuple[tuple[str, str], ...] = ()) -> SearchConfig:
    return SearchConfig("digits", objective=objectives, set=options, executor="inline", name="a")


def test_two_objectives_of_one_name_are_refused(goals: str) -> None:
    with pytest.raises(ConfigError, match="2 objectives are called 'speed', expected names that"):
        assemble(config(f"{goals}:opt", f"{goals}:speed"))
    with pytest.raises(ConfigError, match="2 objectives are called 'flops'"):
        assemble(config("flops", f"{goals}:flops"))


def test_a_measured_objective_called_as_a_metric_of_the_task_is_refused(goals: str) -> None:
    assert "loss" in {metric.name for metric in digits().metrics}
    with pytest.raises(ConfigError, match="'loss' has the name of a metric that task 'digits' rep"):
        assemble(config("accuracy", f"{goals}:loss"))


def test_one_of_ones_own_may_take_the_place_of_one_that_is_always_measured(goals: str) -> None:
    found = assemble(config("accuracy", f"{goals}:flops")).search
    assert [objective.name for objective in found.objectives] == ["accuracy", "flops"]


def test_an_option_reaches_an_objective_whose_name_has_dots(goals: str) -> None:
    found = assemble(config(f"{goals}:opt", options=((f"{goals}:opt.batch", "2"),))).search
    measure = found.objectives[0].measure
    assert measure is not None
    assert measure(None, (1,)) == 2.0  # type: ignore[arg-type]
