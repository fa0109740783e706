"""Share of inputs whose most likely class is the right one; the estimator reports it."""

from __future__ import annotations

from metanas.core.objective import Objective

OBJECTIVE = Objective("accuracy", "", "max")
