"""Mild variations of training images that keep what they show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROTATION_DEGREES = 10.0
SCALE = 0.1
SHIFT = 0.07


def jitter(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotate, scale and shift each image ``[channels, height, width]`` of a batch a little.

    No mirror images: they change what letters, digits and signs mean.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    def uniform(low: float, high: float) -> torch.Tensor:
        draws = torch.rand(len(images), generator=generator, device=generator.device)
        return (low + (high - low) * draws).to(images.device)

    limit = math.radians(ROTATION_DEGREES)
    angle, scale = uniform(-limit, limit), uniform(1 - SCALE, 1 + SCALE)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    # affine_grid's coordinates run from -1 to 1, so a shift of the whole side is 2.
    across, down = uniform(-2 * SHIFT, 2 * SHIFT), uniform(-2 * SHIFT, 2 * SHIFT)
    rows = (torch.stack([cosine, -sine, across], 1), torch.stack([sine, cosine, down], 1))
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)
