"""NAS-Bench-201: a cell of four nodes and six edges with five operations, 15,625 in all.

Source: Dong and Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural
Architecture Search", section 2 for cell and skeleton. The paper's skeleton has 16
channels and five cells a stage; the defaults here train in seconds on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metanas.core.errors import ConfigError
from metanas.core.space import Choice, Space, Values
from metanas.spaces import _cells

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def nasbench201(*, channels: int = 8, cells: int = 1) -> Space:
    """The space, with its skeleton's size.

    Args:
        channels: Of the first stage; doubled at each of the two reductions. Paper: 16.
        cells: A stage. Paper: 5.

    Raises:
        ConfigError: If either is below 1.
    """
    for name, value in (("channels", channels), ("cells", cells)):
        if value < 1:
            raise ConfigError(f"nasbench201.{name} is {value}, expected at least 1")

    def build(values: Values, shape: tuple[int, ...], outputs: int) -> nn.Module:
        from metanas.spaces._cell_network import CellNetwork

        return CellNetwork(_cells.operations(values), shape, outputs, channels, cells)

    choices = tuple(Choice(name, OPERATIONS) for name in _cells.NAMES)
    return Space("nasbench201", choices, build, canonical=_cells.canonical, graph=_cells.graph)


SPACE = nasbench201
