"""The laws of an estimator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from metanas.core.errors import ConfigError
from metanas.core.objective import Objective
from metanas.core.protocols import Estimator
from metanas.core.space import Space, Value, sample
from metanas.core.task import Task
from metanas.core.trial import Report
from metanas.testing._require import require


def check_estimator(
    estimator: Estimator,
    space: Space,
    task: Task,
    *,
    epochs: int = 2,
    objectives: Sequence[Objective] = (),
) -> None:
    """Check an estimator on one architecture that is drawn from `space`.

    It reports `epochs` times, numbered from 1, with finite numbers, at last with every
    metric of the task and every measured objective; the same arguments give the same
    metrics; settings that it does not know are refused; a final training shows the task's
    metrics once, at its end.

    Args:
        estimator: To check.
        space: It can work with.
        task: It can work with.
        epochs: Of each training.
        objectives: To have measured.

    Raises:
        AssertionError: If a law is broken.
    """
    architecture = sample(space, np.random.default_rng(0))

    def judged(settings: Mapping[str, Value], final: bool) -> list[Report]:
        return list(
            estimator(
                space,
                architecture,
                task,
                epochs=epochs,
                settings=settings,
                seed=1,
                objectives=objectives,
                final=final,
            )
        )

    reports = judged({}, False)
    wanted = {metric.name for metric in task.metrics}
    measured = {objective.name for objective in objectives if objective.measure is not None}
    _check_reports(reports, epochs, wanted | measured)
    again = judged({}, False)
    first, second = ([dict(report.metrics) for report in run] for run in (reports, again))
    require(first == second, f"the same arguments gave {first}, then {second}")
    final = judged({}, True)
    _check_reports(final, epochs, wanted)
    early = [report.epoch for report in final[:-1] if wanted & set(report.metrics)]
    require(not early, f"a final training shows test metrics after epochs {early}")
    try:
        judged({"no_such_setting": 1}, False)
    except ConfigError as error:
        require("no_such_setting" in str(error), f"the refusal does not name the setting: {error}")
    else:
        raise AssertionError("a setting that does not exist, 'no_such_setting', is not refused")


def _check_reports(reports: Sequence[Report], epochs: int, wanted: set[str]) -> None:
    given = [report.epoch for report in reports]
    expected = list(range(1, epochs + 1))
    require(given == expected, f"reports are of epochs {given}, expected {expected}")
    for report in reports:
        wrong = {name: v for name, v in report.metrics.items() if not math.isfinite(v)}
        require(not wrong, f"epoch {report.epoch} reports {wrong}, expected finite numbers")
    missing = wanted - set(reports[-1].metrics)
    require(not missing, f"the last report lacks {sorted(missing)}")
