"""From a network's nodes to the boxes that are drawn.

A layer goes into one box with the normalisation and activation around it, and a run of
equal boxes becomes one that says how many it stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metanas.measures.trace import INPUT, Node
from metanas.report._words import TIMES, clipped, listed, plain, plural, short

Kind = Literal["input", "layer", "pool", "join", "plain"]

WORDS: Mapping[Kind, str] = {"layer": "layer", "pool": "pooling", "join": "junction"}
LONGEST = 34
"""Letters of a line at most."""


@dataclass(frozen=True)
class Box:
    """What is drawn as one.

    Args:
        name: Unique.
        title: Its first line.
        detail: Its second; "" for none.
        kind: What sort of operation it is.
        inputs: Names of the boxes that it takes from.
        shape: Of its output.
        params: Of all its nodes.
        flops: Of all its nodes.
        times: How many equal ones in a row it stands for.
    """

    name: str
    title: str
    detail: str
    kind: Kind
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    params: int
    flops: int
    times: int = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """As they are written in it."""
        title = self.title if self.times == 1 else f"{self.times} {TIMES} {self.title}"
        return tuple(clipped(line, LONGEST) for line in (title, self.detail) if line)

    @property
    def says(self) -> str:
        """All that is known of it, in one line."""
        parts = [*self.lines, f"gives {by(self.shape) or 'one number'}"]
        parts += [f"{short(self.params)} parameters"] if self.params else []
        parts += [f"{short(self.flops)} FLOPs"] if self.flops else []
        return ", ".join(parts)


def by(shape: Sequence[int]) -> str:
    """A shape with its signs: 16 by 8 by 8."""
    return TIMES.join(str(side) for side in shape)


def boxes_of(nodes: Sequence[Node]) -> list[Box]:
    """The boxes of a graph, each after those that it takes from."""
    shapes = {node.name: node.shape for node in nodes}
    users = Counter(name for node in nodes for name in node.inputs)
    groups: list[list[Node]] = []
    place: dict[str, int] = {}
    for node in nodes:
        before = node.inputs[0] if len(node.inputs) == 1 else ""
        joins = before and users[before] == 1 and _joins(groups[place[before]], node, shapes)
        if joins:
            groups[place[before]].append(node)
        else:
            groups.append([node])
        place[node.name] = place[before] if joins else len(groups) - 1
    names = {node.name: group[0].name for group in groups for node in group}
    return _runs([_box(group, shapes, names) for group in groups])


def _light(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether it goes with a layer: a normalisation, or element-wise and without parameters."""
    operation = node.operation.lower()
    if len(node.inputs) != 1 or "pool" in operation:
        return False
    if "norm" in operation or "relu" in operation:
        return True
    return not node.params and not node.flops and node.shape == shapes[node.inputs[0]]


def _joins(group: Sequence[Node], node: Node, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a node goes into the box of what it takes from.

    What is light goes with any, but the activation after a layer that has one before it:
    that begins the next box. A layer goes with what is light and comes before it.
    """
    if group[0].operation == INPUT:
        return False
    if not _light(node, shapes):
        return all(_light(each, shapes) for each in group)
    return not (_light(group[0], shapes) and group[0].operation == node.operation)


def _box(
    group: Sequence[Node], shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> Box:
    main = next((node for node in group if not _light(node, shapes)), group[0])
    first, shape = group[0], group[-1].shape
    early = group[: group.index(main)]
    others = [f"{_written(node)} first" for node in early]
    others += [_written(node) for node in group[len(early) + 1 :]]
    before = shapes[first.inputs[0]] if first.inputs else shape
    title = _written(main)
    if main.operation == INPUT:
        title = f"input {by(shape)}"
    elif len(shape) == len(before) > 1 and shape[1:] != before[1:]:
        others.append(f"to {by(shape[1:])}")
    return Box(
        name=first.name,
        title=title,
        detail=", ".join(others),
        kind=_kind(main),
        inputs=tuple(dict.fromkeys(names[name] for name in first.inputs)),
        shape=shape,
        params=sum(node.params for node in group),
        flops=sum(node.flops for node in group),
    )


def _written(node: Node) -> str:
    """A node's label with proper signs between numbers."""
    words = plain(node.label or node.operation).split(" ")
    digits = [word.replace("x", "").rstrip(",").isdigit() for word in words]
    return " ".join(
        word.replace("x", TIMES) if number else word
        for word, number in zip(words, digits, strict=True)
    )


def _kind(node: Node) -> Kind:
    if node.operation == INPUT:
        return "input"
    if len(node.inputs) > 1:
        return "join"
    if "pool" in node.operation.lower() or node.operation == "mean":
        return "pool"
    return "layer" if node.params else "plain"


def _runs(boxes: Sequence[Box]) -> list[Box]:
    """Equal boxes that follow each other, and nothing else, become one."""
    users = Counter(name for box in boxes for name in box.inputs)
    merged: dict[str, Box] = {}
    stands: dict[str, str] = {}
    for box in boxes:
        inputs = tuple(dict.fromkeys(stands[name] for name in box.inputs))
        last = merged[inputs[0]] if len(inputs) == 1 else None
        if last is not None and users[box.inputs[0]] == 1 and _alike(last, box):
            stands[box.name] = last.name
            merged[last.name] = replace(
                last,
                times=last.times + 1,
                params=last.params + box.params,
                flops=last.flops + box.flops,
            )
        else:
            stands[box.name] = box.name
            merged[box.name] = replace(box, inputs=inputs)
    return list(merged.values())


def _alike(left: Box, right: Box) -> bool:
    same = (left.title, left.detail, left.kind, left.shape)
    return same == (right.title, right.detail, right.kind, right.shape)


def in_words(boxes: Sequence[Box]) -> str:
    """A network in one line, for who cannot see it."""
    kinds = Counter(box.kind for box in boxes for _ in range(box.times))
    parts = [plural(kinds[kind], word) for kind, word in WORDS.items() if kinds[kind]]
    inputs = [by(box.shape) for box in boxes if box.kind == "input"]
    return f"{listed(inputs)} in, {by(boxes[-1].shape)} out: {listed(parts) or 'nothing to learn'}"
