"""A plain convolutional network: how deep, how wide, which kernels, blocks and layers.

A stem, then two to four stages that each halve the resolution and hold one or two
blocks, then global average pooling and a linear head. Kernel sizes of stages that are
not there change nothing, and the canonical form leaves them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metanas.core.space import Choice, Space, Value, Values

if TYPE_CHECKING:
    from torch import nn

MOST_STAGES = 4

CHOICES = (
    Choice("stages", (2, 3, 4), ordered=True),
    Choice("depth", (1, 2), ordered=True),
    Choice("width", (8, 12, 16, 24), ordered=True),
    Choice("growth", (1.0, 1.5, 2.0), ordered=True),
    *(Choice(f"kernel_{stage}", (3, 5), ordered=True) for stage in range(1, MOST_STAGES + 1)),
    Choice("block", ("plain", "residual", "separable")),
    Choice("pool", ("max", "average", "stride")),
    Choice("norm", ("batch", "group")),
    Choice("activation", ("relu", "gelu", "silu")),
)


def canonical(values: Values) -> dict[str, Value]:
    """The values that have an effect."""
    stages = int(values["stages"])
    absent = {f"kernel_{stage}" for stage in range(stages + 1, MOST_STAGES + 1)}
    return {name: value for name, value in values.items() if name not in absent}


def build(values: Values, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The network: images ``[batch, *shape]`` to scores ``[batch, outputs]``."""
    from metanas.spaces._cnn_network import ConvNet

    plain: dict[str, Any] = dict(values)
    kernels = [plain[f"kernel_{stage}"] for stage in range(1, plain["stages"] + 1)]
    return ConvNet(
        shape,
        outputs,
        kernels=kernels,
        depth=plain["depth"],
        width=plain["width"],
        growth=plain["growth"],
        block=plain["block"],
        pool=plain["pool"],
        norm=plain["norm"],
        activation=plain["activation"],
    )


SPACE = Space("cnn", CHOICES, build, canonical=canonical)
