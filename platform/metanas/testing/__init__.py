"""The laws that every plug-in must keep, for the tests of those who write one.

Each `check_*` function takes a plug-in and raises AssertionError with one message that
says which law it breaks and how::

    from metanas.testing import check_space

    def test_my_space_keeps_the_laws() -> None:
        check_space(my_net.space)
"""

from __future__ import annotations

from metanas.testing.estimator import check_estimator
from metanas.testing.objective import check_objective
from metanas.testing.space import check_space
from metanas.testing.strategy import additive_context, check_strategy
from metanas.testing.task import check_task

__all__ = [
    "additive_context",
    "check_estimator",
    "check_objective",
    "check_space",
    "check_strategy",
    "check_task",
]
