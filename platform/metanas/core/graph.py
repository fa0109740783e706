"""An architecture as a graph of operations, for whoever learns from its structure.

An identity is no operation: it only passes its source's terms on.
"""

from __future__ import annotations

from dataclasses import dataclass

INPUT = -1
"""Stands for the network's input among the terms; operations are numbered from 0."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operations, what each takes, and what the network gives.

    Args:
        operations: Their kinds, each after those that it takes.
        inputs: For each operation the terms whose sum it takes: `INPUT` or an operation's
            number, sorted, and as often as they are added.
        output: The terms whose sum the network gives; none where nothing gets through.

    Raises:
        ValueError: If there are not as many inputs as operations, or an operation takes
            one that does not come before it.
    """

    operations: tuple[str, ...]
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.operations):
            raise ValueError(
                f"a graph has {len(self.operations)} operations and {len(self.inputs)} inputs"
            )
        for number, terms in enumerate((*self.inputs, self.output)):
            for term in terms:
                if not INPUT <= term < number:
                    raise ValueError(
                        f"operation {number} of a graph takes term {term}, expected "
                        f"{INPUT} to {number - 1}"
                    )
