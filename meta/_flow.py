"""A traced network as what flows where, sums dissolved: what `metanas.meta.features` asks of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from metanas.measures.trace import INPUT, Node

_SUM = "add"
_JOINS = frozenset({"cat", "concat", "concatenate", "stack"})
_NORM, _POOL, _ATTENTION = "norm", "pool", ("attention", "transformer")
END = ""
"""Name of the end, which takes what nothing else does."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The operations of a network.

    Args:
        nodes: Without sums, each after those it takes from, the input first.
        inputs: By the name of a node, or `END`, the names of what it takes, a term each.
    """

    nodes: tuple[Node, ...]
    inputs: Mapping[str, tuple[str, ...]]

    # -- what an operation is --------------------------------------------------------

    def is_layer(self, node: Node) -> bool:
        """Whether it has weights and is no normalisation."""
        return node.params > 0 and _NORM not in node.operation.lower()

    def is_pool(self, node: Node) -> bool:
        """Whether it takes the mean or maximum of places."""
        return _POOL in node.operation.lower()

    def is_attention(self, node: Node) -> bool:
        """Whether it weighs all places by all."""
        name = node.operation.lower()
        return any(word in name for word in _ATTENTION)

    def is_depthwise(self, node: Node) -> bool:
        """Whether it is a convolution of each channel by itself."""
        if node.window is None or node.window.groups == 1:
            return False
        sources = self.inputs[node.name]
        return bool(sources) and node.window.groups == self.node[sources[0]].shape[0]

    @cached_property
    def node(self) -> Mapping[str, Node]:
        """By name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def merges(self) -> tuple[str, ...]:
        """What takes more than one term: names of nodes, or `END`."""
        return tuple(name for name, terms in self.inputs.items() if len(terms) > 1)

    def is_skip(self, name: str) -> bool:
        """Whether one of the terms is made from another one of them."""
        terms = self.inputs[name]
        return any(other in self._before[term] for term in terms for other in terms)

    @cached_property
    def _before(self) -> Mapping[str, frozenset[str]]:
        """By name, all that an operation is made from."""
        found: dict[str, frozenset[str]] = {}
        for node in self.nodes:
            terms = self.inputs[node.name]
            found[node.name] = frozenset(terms).union(*(found[term] for term in terms))
        return found

    # -- numbers ---------------------------------------------------------------------

    def depth(self) -> int:
        """The most layers on one way from the input to the end."""
        return self._longest(self.is_layer)[END]

    def paths(self) -> tuple[int, int]:
        """Number of ways from the input to the end, and the sum of the layers on them."""
        found: dict[str, tuple[int, int]] = {}
        for name, node in [*self.node.items(), (END, None)]:
            terms = [found[term] for term in self.inputs[name]]
            number = sum(n for n, _ in terms) + (node is not None and node.operation == INPUT)
            own = node is not None and self.is_layer(node)
            found[name] = number, sum(steps for _, steps in terms) + own * number
        return found[END]

    def receptive_field(self) -> float:
        """The longest side of what one place can see of the input, in places, borders apart.

        Attention sees all of what it takes; pools of everything are left out, since most
        networks end in one.
        """
        found: dict[str, tuple[float, float]] = {}
        for node in self.nodes:
            terms = [found[term] for term in self.inputs[node.name]]
            field, jump = (max((t[at] for t in terms), default=1.0) for at in (0, 1))
            reach, stride = self._reach(node)
            found[node.name] = field + reach * jump, jump * stride
        return max(field for field, _ in found.values())

    def _reach(self, node: Node) -> tuple[float, float]:
        """How much further than one place an operation sees, and its stride, in its places."""
        window = node.window
        if window is not None:
            pairs = zip(window.kernel, window.dilation, strict=False)
            return max((kernel - 1) * dilation for kernel, dilation in pairs), max(window.stride)
        sources = self.inputs[node.name]
        before = max(self.node[sources[0]].shape[1:], default=1) if sources else 1
        after = max(node.shape[1:], default=1)
        if self.is_attention(node):
            return before - 1, 1
        if self.is_pool(node) and after > 1:  # a function, of which the sizes alone are known
            stride = max(1, before // after)
            return stride - 1, stride
        return 0, 1

    def peak(self) -> int:
        """The most numbers that are held at once if all operations of a level run together.

        An output is held from its own level to the last at which it is taken.
        """
        levels = self._longest(lambda node: True)
        last = dict(levels)
        for name, terms in self.inputs.items():
            for term in terms:
                last[term] = max(last[term], levels[name])
        changes = [0] * (levels[END] + 2)
        for node in self.nodes:
            size = math.prod(node.shape)
            changes[levels[node.name]] += size
            changes[last[node.name] + 1] -= size
        held = most = 0
        for change in changes:
            held += change
            most = max(most, held)
        return most

    def course(self) -> list[Node]:
        """The layers with a resolution by how many layers lead to them; all layers without such."""
        depths = self._longest(self.is_layer)
        layers = [node for node in self.nodes if self.is_layer(node)]
        spatial = [node for node in layers if len(node.shape) > 1] or layers
        return sorted(spatial, key=lambda node: (depths[node.name], node.shape))

    def _longest(self, counts: Callable[[Node], bool]) -> Mapping[str, int]:
        """By name and for `END`, the most operations that count on a way to it, itself included."""
        found: dict[str, int] = {}
        for node in self.nodes:
            before = max((found[term] for term in self.inputs[node.name]), default=0)
            found[node.name] = before + counts(node)
        found[END] = max((found[term] for term in self.inputs[END]), default=0)
        return found


def flow_of(nodes: Sequence[Node]) -> Flow:
    """Dissolve the sums and joins of a traced network into their terms."""
    terms: dict[str, tuple[str, ...]] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    kept = []
    for node in nodes:
        taken = tuple(dict.fromkeys(term for name in node.inputs for term in terms[name]))
        joins = node.operation in _JOINS and len(node.inputs) > 1
        if (node.operation == _SUM or joins) and taken:
            terms[node.name] = taken
            continue
        kept.append(node)
        terms[node.name], inputs[node.name] = (node.name,), taken
    inputs[END] = _ends(nodes, terms)
    return Flow(tuple(kept), inputs)


def _ends(nodes: Sequence[Node], terms: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What nothing takes."""
    used = {name for node in nodes for name in node.inputs}
    return tuple(dict.fromkeys(t for n in nodes if n.name not in used for t in terms[n.name]))
