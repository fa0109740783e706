"""Rows in numbers: balance, what images look like, what a linear classifier makes of them.

Shapes: images ``[rows, channels, height, width]``, uint8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.task import Data, Part

LINEAR_SIDE = 8
LINEAR_ROWS = 4_000
RIDGE = 0.01
"""Of the ridge, a row; inputs have unit deviation."""
STATISTICS_ROWS = 4_096
AT_ONCE = 2**24
"""So many numbers are held at a time."""


def is_images(part: Part) -> bool:
    """Whether the inputs are images of one size."""
    return part.inputs.ndim == 4 and part.inputs.dtype == np.uint8 and len(part) > 1


def is_classes(part: Part) -> bool:
    """Whether the targets are one class a row."""
    return part.targets.ndim == 1 and bool(np.issubdtype(part.targets.dtype, np.integer))


def imbalance(part: Part, classes: int) -> float:
    """1 less the entropy of the classes' shares over that of equal shares."""
    shares = np.bincount(part.targets, minlength=classes) / max(1, len(part))
    present = shares[shares > 0]
    entropy = -float((present * np.log(present)).sum())
    return max(0.0, round(1 - entropy / math.log(classes), 6)) if classes > 1 else 0.0


def image(part: Part) -> dict[str, Any]:
    """Of pixels from 0 to 1, over at most 4,096 rows, fewer of large images.

    `mean` and `deviation` a channel; `roughness`, the mean step between neighbours over the
    mean deviation; `colour`, the mean deviation between a pixel's channels.
    """
    most = max(1, min(STATISTICS_ROWS, AT_ONCE // part.inputs[0].size))
    images = thinned(part, most).inputs.astype(np.float32) / 255
    deviation = images.std(axis=(0, 2, 3), dtype=np.float64)
    steps = [
        float(np.abs(np.diff(images, axis=axis)).mean())
        for axis in (2, 3)
        if images.shape[axis] > 1
    ]
    rough = float(np.mean(steps)) / max(float(deviation.mean()), 1e-6) if steps else 0.0
    return {
        "mean": [round(float(mean), 6) for mean in images.mean(axis=(0, 2, 3), dtype=np.float64)],
        "deviation": [round(float(each), 6) for each in deviation],
        "roughness": round(rough, 6),
        "colour": round(float(images.std(axis=1).mean()), 6),
    }


def thinned(part: Part, most: int) -> Part:
    """Evenly spaced rows, `most` at the most."""
    step = max(1, -(-len(part) // most))
    return Part(part.inputs[::step], part.targets[::step])


def shrunk(part: Part, side: int) -> Part:
    """Images of at most `side` a side: each pixel the mean of equal blocks, borders cut."""
    block = max(1, -(-max(part.inputs.shape[2:]) // side))
    if block == 1:
        return part
    step = max(1, AT_ONCE // part.inputs[0].size)
    chunks = [part.inputs[at : at + step] for at in range(0, len(part), step)]
    return Part(np.concatenate([_blocks(chunk, block) for chunk in chunks]), part.targets)


def _blocks(images: npt.NDArray[np.uint8], block: int) -> npt.NDArray[np.float32]:
    rows, channels, height, width = images.shape
    tall, wide = max(1, height // block), max(1, width // block)
    cut = images[:, :, : tall * block, : wide * block].astype(np.float32)
    blocks = cut.reshape(rows, channels, tall, min(block, height), wide, min(block, width))
    means: npt.NDArray[np.float32] = blocks.mean(axis=(3, 5))
    return means


def linear(data: Data, classes: int) -> float:
    """Share of the way from chance to all, on validation, of a ridge on 8x8 images."""
    train, held = (
        shrunk(thinned(p, LINEAR_ROWS), LINEAR_SIDE) for p in (data.train, data.validation)
    )
    mean = train.inputs.reshape(len(train), -1).mean(axis=0)
    known, asked = (p.inputs.reshape(len(p), -1).astype(np.float64) - mean for p in (train, held))
    scale = max(float(known.std()), 1e-6)
    known, asked = known / scale, asked / scale
    wanted = np.eye(classes)[train.targets]
    share = wanted.mean(axis=0)
    gram = known.T @ known + RIDGE * len(train) * np.eye(known.shape[1])
    outputs = asked @ np.linalg.solve(gram, known.T @ (wanted - share)) + share
    hits = float((outputs.argmax(axis=1) == held.targets).mean())
    chance = float((held.targets == share.argmax()).mean())
    return round(max(0.0, (hits - chance) / max(1 - chance, 1e-6)), 6)
