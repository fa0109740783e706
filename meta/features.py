"""A network in numbers that mean the same in every space: size, depth, paths, windows, widths.

The numbers are taken from the traced module (`metanas.measures.trace`), so they need
nothing of the space. A sum is no operation here: who takes from it takes from its terms,
and so two writings of one network have equal features wherever their space knows that
they are one network. Of a module that cannot be traced, its layers count as one chain.

Words: a *layer* is what has weights, beside normalisations; a *merge* an operation that
takes the sum or the concatenation of several; a *skip* a merge in which one of the terms
is made from another one of them; a *level* the most operations on a way from the input.

Shapes: ``n`` architectures, ``d`` features (`NAMES`).
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metanas.core.space import Architecture, Space
from metanas.measures.trace import Node, trace
from metanas.meta._flow import Flow, flow_of
from metanas.meta.scores import built, space_print

VERSION = 1
"""Grows with every change after which the same network has other features."""

NUMBER_BYTES = 4
QUARTERS = (0.25, 0.5, 0.75, 1.0)
KERNELS = (1, 3, 5, 7)

NAMES: tuple[str, ...] = (
    *("log_params", "log_flops", "log_activations", "log_peak_bytes"),
    *("log_depth", "log_paths", "log_path_length", "log_receptive_field"),
    *("skip_ratio", "parallel_ratio", "depthwise_ratio", "pool_ratio", "attention_ratio"),
    *(f"kernel_{size}" for size in KERNELS),
    "kernel_larger",
    *(f"log_width_{round(100 * q)}" for q in QUARTERS),
    *(f"log_resolution_{round(100 * q)}" for q in QUARTERS),
)
"""Of the columns. Logarithms are natural, of the number plus one; ratios are of all layers,
pools, attentions and merges; `kernel_...` are shares of the convolutions, nought where
there are none; widths and resolutions those of the layers a quarter, a half, three quarters
and the whole way through the layers with a resolution."""

KEPT = 65_536

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Features:
    """What architectures are like.

    Args:
        values: ``[n, d]``, finite; zeros for a network that cannot be built or run.
        known: ``[n]``, whether it could.
    """

    values: Matrix
    known: npt.NDArray[np.bool_]


_KEPT: OrderedDict[tuple[str, str], Matrix | None] = OrderedDict()


def features(
    space: Space, architectures: Sequence[Architecture], shape: tuple[int, ...], outputs: int
) -> Features:
    """Describe architectures by the networks that they build.

    What was described is remembered in this process, by the identifier of the network.

    Args:
        space: Of all architectures.
        architectures: ``n`` of them; may be empty.
        shape: Of one input of the task.
        outputs: Of the task.
    """
    place = space_print(space, shape, outputs)
    rows = [_remembered(place, architecture, shape, outputs) for architecture in architectures]
    known = np.array([row is not None for row in rows], dtype=bool)
    zeros = np.zeros(len(NAMES))
    values = np.array([zeros if row is None else row for row in rows])
    return Features(values.reshape(len(rows), len(NAMES)), known)


def _remembered(
    place: str, architecture: Architecture, shape: tuple[int, ...], outputs: int
) -> Matrix | None:
    key = place, architecture.id
    if key not in _KEPT:
        _KEPT[key] = _described(architecture, shape, outputs)
        if len(_KEPT) > KEPT:
            _KEPT.popitem(last=False)
    return _KEPT[key]


def _described(architecture: Architecture, shape: tuple[int, ...], outputs: int) -> Matrix | None:
    try:
        module = built(architecture, shape, outputs, seed=0)
        return described(trace(module, shape, disposable=True))
    except Exception:  # noqa: BLE001 - a user's network raises anything
        return None


def described(nodes: Sequence[Node]) -> Matrix:
    """The features ``[d]`` of a network from its operations.

    Args:
        nodes: As `metanas.measures.trace.trace` gives them.
    """
    flow = flow_of(nodes)
    found = [*_sizes(nodes, flow), *_ways(flow), *_ratios(flow), *_kernels(flow), *_course(flow)]
    return np.array(found, dtype=np.float64)


def _sizes(nodes: Sequence[Node], flow: Flow) -> list[float]:
    counts = (
        sum(node.params for node in nodes),
        sum(node.flops for node in nodes),
        sum(math.prod(node.shape) for node in flow.nodes),
        NUMBER_BYTES * flow.peak(),
    )
    return [math.log1p(count) for count in counts]


def _ways(flow: Flow) -> list[float]:
    paths, steps = flow.paths()
    mean = steps / paths if paths else 0.0
    field = flow.receptive_field()
    # Paths may be more than a float holds; their logarithm never is.
    return [math.log1p(flow.depth()), _log1p(paths), math.log1p(mean), math.log1p(field)]


def _log1p(count: int) -> float:
    return math.log(1 + count)


def _ratios(flow: Flow) -> list[float]:
    merges = len(flow.merges)
    skips = sum(map(flow.is_skip, flow.merges))
    depthwise, pools = sum(map(flow.is_depthwise, flow.nodes)), sum(map(flow.is_pool, flow.nodes))
    attentions = sum(map(flow.is_attention, flow.nodes))
    layers = sum(flow.is_layer(n) and not flow.is_attention(n) for n in flow.nodes)
    counts = (skips, merges - skips, depthwise, pools, attentions)
    whole = max(1, layers + pools + attentions + merges)
    return [count / whole for count in counts]


def _kernels(flow: Flow) -> list[float]:
    sizes = [max(n.window.kernel) for n in flow.nodes if n.window and flow.is_layer(n)]
    edges = (0, *KERNELS, math.inf)
    shares = [sum(low < size <= high for size in sizes) for low, high in itertools.pairwise(edges)]
    return [share / max(1, len(sizes)) for share in shares]


def _course(flow: Flow) -> list[float]:
    """Width and resolution along the way, a logarithm each."""
    ordered = flow.course()
    picked = [ordered[math.ceil(q * len(ordered)) - 1] for q in QUARTERS] if ordered else []
    sizes = [_width_and_side(node) for node in picked] or [(0, 0.0)] * len(QUARTERS)
    return [math.log1p(width) for width, _ in sizes] + [math.log1p(side) for _, side in sizes]


def _width_and_side(node: Node) -> tuple[int, float]:
    """Channels, and the mean side of what they lie on: 1 where there is none.

    Channels come first where there are sides, but for a sequence they come last, unless a
    convolution gives it.
    """
    shape = node.shape
    if not shape:
        return 1, 1.0
    if len(shape) == 2 and node.window is None:
        return shape[1], float(shape[0])
    sides = shape[1:]
    return shape[0], math.prod(sides) ** (1 / len(sides)) if sides else 1.0
