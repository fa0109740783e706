"""1,797 handwritten digits of 8x8 pixels, from scikit-learn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from metanas.core.task import Task
from metanas.tasks.classification import Rows, classification


@lru_cache(maxsize=1)
def digits() -> Task:
    """The task; scikit-learn carries the data."""
    from sklearn.datasets import load_digits

    data = load_digits()
    # Grey values run from 0 to 16.
    images = (data.images * (255 / 16)).round().astype(np.uint8)[:, None]
    return classification("digits", Rows(images, data.target), where="digits")


TASK = digits
