"""A network as a graph of plain data: what it computes, in which order, and from what.

The graph is found by running symbols through the module (`torch.fx`) and then one input of
zeros through the graph. A module that decides by its data what to do cannot be followed
that way; its layers are then listed in the order in which they ran, as one chain.

What this module does not know: how a graph is drawn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import fx, nn
    from torch.utils.flop_counter import FlopCounterMode

INPUT = "input"
"""Operation of the node that stands for the network's input."""

_PASSES_ON = frozenset({"Identity", "contiguous", "clone", "detach", "to", "float", "type_as"})
"""Operations that change no value, beside dropout."""

_IN_PLACE = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "truediv"}


@dataclass(frozen=True)
class Window:
    """What of its input a convolution or pool sees at once, a number a side.

    Args:
        kernel: Places it takes.
        stride: From one place of the output to the next.
        dilation: From one place that it takes to the next.
        groups: Of channels that do not mix; 1 for a pool.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True)
class Node:
    """One operation of a network.

    Args:
        name: Unique in its graph.
        operation: Class of the layer or name of the function: ``Conv2d``, ``add``.
        inputs: Names of the nodes whose outputs it takes; none for the network's input.
        shape: Of its output, without the batch.
        params: Trainable ones; what several nodes share is counted at the first.
        flops: Of one input, as `metanas.measures.flops` counts them.
        label: The operation with what matters of its settings: ``conv 3x3 /2, 16``.
        window: Of one of torch's layers that has one: no adaptive pool, and no function.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    params: int = 0
    flops: int = 0
    label: str = ""
    window: Window | None = None


def trace(
    module: nn.Module, shape: tuple[int, ...], *, disposable: bool = False
) -> tuple[Node, ...]:
    """The operations of a module in evaluation mode, each after those it takes from.

    What computes nothing (dropout, sizes, taking one of several outputs) is left out; who
    took from it takes from its source. The module itself stays as it is: a copy runs, which
    takes a third of the time.

    Args:
        module: Maps ``[batch, *shape]`` to a tensor.
        shape: Of one input.
        disposable: Whether nobody needs the module as it was: then no copy is made.

    Returns:
        The input's node, then the others in the order in which they run. Parameters and
        operations add up to the module's, but where only a chain could be found: there
        what lies outside of layers is missing.

    Raises:
        Exception: Whatever the module raises on a batch of zeros.
    """

    def subject() -> nn.Module:
        return (module if disposable else copy.deepcopy(module)).eval()

    try:
        return _graph(subject(), shape)
    except Exception:  # noqa: BLE001 - a forward that needs real data raises anything on symbols
        return _chain(subject(), shape)


def _zeros(module: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    first = next(module.parameters(), None)
    return torch.zeros(1, *shape, device=first.device if first is not None else "cpu")


# -- by symbols ------------------------------------------------------------------


def _graph(module: nn.Module, shape: tuple[int, ...]) -> tuple[Node, ...]:
    import torch
    from torch import fx
    from torch.utils.flop_counter import FlopCounterMode

    graph = fx.Tracer().trace(module)
    counter = FlopCounterMode(display=False)
    values: dict[fx.Node, Any] = {}
    flops: dict[fx.Node, int] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            before = int(counter.get_total_flops())
            values[n] = super().run_node(n)
            flops[n] = int(counter.get_total_flops()) - before
            return values[n]

    with torch.no_grad(), counter:
        Recorder(module, graph=graph).run(_zeros(module, shape))
    return _nodes(module, graph, values, flops)


def _nodes(
    traced: nn.Module, graph: fx.Graph, values: dict[fx.Node, Any], flops: dict[fx.Node, int]
) -> tuple[Node, ...]:
    """The graph's nodes that compute something, each with the sources that do."""
    found: list[Node] = []
    sources: dict[fx.Node, tuple[str, ...]] = {}
    holds: dict[fx.Node, list[torch.Tensor]] = {}
    counted: set[int] = set()
    for node in graph.nodes:
        if node.op == "output":
            continue
        taken = _once(name for each in node.all_input_nodes for name in sources[each])
        holds[node] = [t for each in node.all_input_nodes for t in holds[each]]
        holds[node] += _parameters(traced, node)
        tensor = _tensor(values[node])
        if tensor is None:
            sources[node] = ()
        elif _passes_on(traced, node, values):
            sources[node] = taken
        else:
            operation, label = _described(traced, node)
            size = _count(holds.pop(node), counted)
            shape = tuple(tensor.shape[1:])
            window = _window(_layer(traced, node))
            found.append(Node(node.name, operation, taken, shape, size, flops[node], label, window))
            sources[node], holds[node] = (node.name,), []
    return tuple(found)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _tensor(value: Any) -> torch.Tensor | None:
    """The first tensor in what a node gave; None where it gave numbers."""
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return next((t for t in map(_tensor, value) if t is not None), None)
    return None


def _layer(traced: nn.Module, node: fx.Node) -> nn.Module | None:
    """The layer that a node calls, if it calls one."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _parameters(traced: nn.Module, node: fx.Node) -> list[torch.Tensor]:
    """What a node itself holds: a layer's parameters, or the one that it fetches."""
    layer = _layer(traced, node)
    if layer is not None:
        return list(layer.parameters())
    if node.op != "get_attr":
        return []
    value: Any = traced
    for part in str(node.target).split("."):
        value = getattr(value, part)
    tensor = _tensor(value)
    return [] if tensor is None else [tensor]


def _count(tensors: Sequence[torch.Tensor], counted: set[int]) -> int:
    """Trainable numbers in tensors that have not been counted; `counted` grows."""
    new = {id(t): t for t in tensors if t.requires_grad and id(t) not in counted}
    counted.update(new)
    return sum(tensor.numel() for tensor in new.values())


def _passes_on(traced: nn.Module, node: fx.Node, values: dict[fx.Node, Any]) -> bool:
    """Whether a node only hands on what it takes."""
    operation = _described(traced, node)[0]
    if operation == "getitem":  # of several outputs; of a tensor it is an operation
        return isinstance(values[node.all_input_nodes[0]], tuple | list | dict)
    return node.op == "get_attr" or _idle(operation)


def _idle(operation: str) -> bool:
    return operation in _PASSES_ON or "dropout" in operation.lower()


def _described(traced: nn.Module, node: fx.Node) -> tuple[str, str]:
    """A node's operation and label."""
    if node.op == "placeholder":
        return INPUT, INPUT
    layer = _layer(traced, node)
    if layer is not None:
        return type(layer).__name__, _label(layer)
    target = node.target
    name = str(getattr(target, "__name__", target)).rstrip("_")
    name = _IN_PLACE.get(name, name)
    return name, name.replace("_", " ")


# -- by hooks --------------------------------------------------------------------


def _chain(module: nn.Module, shape: tuple[int, ...]) -> tuple[Node, ...]:
    """One node a layer in the order in which they ran; layers within layers are not listed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    watch = _Watch(counter, shape)
    for name, layer in module.named_modules():
        if _is_layer(layer):
            layer.register_forward_pre_hook(watch.enter)
            layer.register_forward_hook(watch.leave)
            watch.names[layer] = name or "network"
    with torch.no_grad(), counter:
        module(_zeros(module, shape))
    return tuple(watch.found)


class _Watch:
    """Takes note of each layer that runs."""

    def __init__(self, counter: FlopCounterMode, shape: tuple[int, ...]) -> None:
        self.found = [Node(INPUT, INPUT, (), shape, label=INPUT)]
        self.names: dict[nn.Module, str] = {}
        self._counter = counter
        self._starts: list[int] = []
        self._counted: set[int] = set()

    def enter(self, layer: nn.Module, inputs: object) -> None:
        self._starts.append(int(self._counter.get_total_flops()))

    def leave(self, layer: nn.Module, inputs: object, output: Any) -> None:
        flops = int(self._counter.get_total_flops()) - self._starts.pop()
        operation, tensor = type(layer).__name__, _tensor(output)
        if self._starts or tensor is None or _idle(operation):
            return
        size = _count(list(layer.parameters()), self._counted)
        shape = tuple(tensor.shape[1:])
        name, before = self._unused(self.names[layer]), (self.found[-1].name,)
        label, window = _label(layer), _window(layer)
        self.found.append(Node(name, operation, before, shape, size, flops, label, window))

    def _unused(self, name: str) -> str:
        """The name, or with a number where the layer has run before."""
        taken = {node.name for node in self.found}
        name, times = name.replace(".", "_"), 1
        given = name
        while given in taken:
            given, times = f"{name}_{times}", times + 1
        return given


def _is_layer(module: nn.Module) -> bool:
    """What symbols would not be led into either: torch's own, and what has no parts."""
    from torch import nn

    own = type(module).__module__.startswith(("torch.nn", "torch.ao.nn"))
    container = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    return (own and not container) or not any(True for _ in module.children())


# -- windows ---------------------------------------------------------------------


def _window(layer: Any) -> Window | None:
    """Of one of torch's convolutions or pools, if it has a kernel."""
    name = type(layer).__name__
    kernel = getattr(layer, "kernel_size", None)
    if kernel is None or not name.endswith(("1d", "2d", "3d")):
        return None
    sides = int(name[-2])
    return Window(
        _tuple(kernel, sides),
        _tuple(getattr(layer, "stride", None) or kernel, sides),
        _tuple(getattr(layer, "dilation", 1), sides),
        getattr(layer, "groups", 1),
    )


# -- labels ----------------------------------------------------------------------


def _label(layer: nn.Module) -> str:
    """A layer in a few words: ``conv 3x3 /2, 16``, ``depthwise 5x5, 8``, ``batch norm``."""
    from torch import nn

    name = type(layer).__name__
    if not type(layer).__module__.startswith("torch.nn"):
        return name
    if name.startswith("Conv") and hasattr(layer, "out_channels"):
        return _conv_label(layer)
    if "Pool" in name:
        return _pool_label(layer)
    if isinstance(layer, nn.Linear):
        return f"linear, {layer.out_features}"
    return f"{name.split('Norm')[0].lower()} norm" if "Norm" in name else name.lower()


def _conv_label(layer: Any) -> str:
    groups = layer.groups
    kind = "depthwise" if 1 < groups == layer.in_channels else "conv"
    if layer.transposed:
        kind = "transposed conv"
    label = f"{kind} {_by(layer.kernel_size)}{_stride(layer.stride)}, {layer.out_channels}"
    dilated = math.prod(layer.dilation) > 1
    label += f", dilated {_by(layer.dilation)}" if dilated else ""
    return label + (f", {groups} groups" if groups > 1 and kind != "depthwise" else "")


def _pool_label(layer: Any) -> str:
    name = type(layer).__name__
    kind = "max pool" if "Max" in name else "average pool" if "Avg" in name else "pool"
    sides = int(name[-2]) if name.endswith(("1d", "2d", "3d")) else 2
    if "Adaptive" in name:
        output = _tuple(layer.output_size, sides)
        return f"global {kind}" if set(output) == {1} else f"{kind} to {_by(output)}"
    kernel = getattr(layer, "kernel_size", None)
    if kernel is None:
        return kind
    stride = getattr(layer, "stride", None) or kernel
    return f"{kind} {_by(_tuple(kernel, sides))}{_stride(_tuple(stride, sides))}"


def _tuple(size: Any, sides: int) -> tuple[Any, ...]:
    """Pools keep a size as it was given, one for all sides or one for each."""
    return tuple(size) if isinstance(size, tuple | list) else (size,) * sides


def _by(size: tuple[Any, ...]) -> str:
    return "x".join(str(side) for side in size)


def _stride(stride: tuple[Any, ...]) -> str:
    if set(stride) == {1}:
        return ""
    return f" /{stride[0] if len(set(stride)) == 1 else _by(stride)}"
