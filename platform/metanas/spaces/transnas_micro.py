"""TransNAS-Bench-101's cell space: NAS-Bench-201's cell with four operations, 4,096 in all.

Source: Duan et al. 2021, "TransNAS-Bench-101: Improving Transferability and Generalizability of
Cross-Task Neural Architecture Search", section 3.1. The benchmark trained its cells in a
wider and deeper network than the one here, which trains in seconds on a CPU.
"""

from __future__ import annotations

from metanas.core.space import Space
from metanas.spaces._cells import cell_space

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")


def transnas_micro(*, channels: int = 8, cells: int = 1) -> Space:
    """The space, with its skeleton's size.

    Args:
        channels: Of the first stage; doubled at each of the two reductions.
        cells: A stage.

    Raises:
        ConfigError: If either is below 1.
    """
    return cell_space("transnas_micro", OPERATIONS, channels=channels, cells=cells)


SPACE = transnas_micro
