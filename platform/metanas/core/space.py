"""Search spaces as data: named choices and a function that builds.

A space is a value, not a base class. The functions below work on every space, so a
new space supplies only its choices and `build`, and a strategy never learns which
space it searches.

Shapes: ``n`` architectures, ``c`` choices, ``d`` one-hot columns (the sum of all
option counts).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from metanas.core.errors import SpaceError
from metanas.core.graph import Graph

if TYPE_CHECKING:
    from torch import nn

Value = str | int | float | bool
Values = Mapping[str, Value]
Build = Callable[[Values, tuple[int, ...], int], "nn.Module"]

SAMPLING_TRIES = 10_000


def _same(left: Value, right: Value) -> bool:
    """Equal in value and type: 1, 1.0 and True are three options."""
    return type(left) is type(right) and left == right


@dataclass(frozen=True, slots=True)
class Choice:
    """One named decision.

    Args:
        name: Unique within its space; results are stored under it.
        options: What can be chosen: strings, numbers or booleans, each once.
        ordered: Whether neighbouring options are alike (widths are, operations are not).

    Raises:
        SpaceError: If there are no options, or one of them twice.
    """

    name: str
    options: tuple[Value, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if not self.name or not isinstance(self.name, str):
            raise SpaceError(f"choice name is {self.name!r}, expected a non-empty string")
        if not self.options:
            raise SpaceError(f"choice '{self.name}' has no options")
        for option in self.options:
            if not isinstance(option, str | int | float | bool):
                raise SpaceError(
                    f"option {option!r} of choice '{self.name}' is a {type(option).__name__}, "
                    "expected a string, number or boolean"
                )
            if isinstance(option, float) and not math.isfinite(option):
                raise SpaceError(f"option {option!r} of choice '{self.name}' is not finite")
        if len({(type(option), option) for option in self.options}) < len(self.options):
            raise SpaceError(f"choice '{self.name}' lists an option twice: {self.options}")

    def index(self, value: Value) -> int:
        """Position of `value` among the options; raises ValueError where it is none."""
        found = self.options.index(value)  # at once, and right unless 1, 1.0 or True is meant
        for position, option in enumerate(self.options[found:], found):
            if _same(option, value):
                return position
        raise ValueError(value)


@runtime_checkable
class Beside(Protocol):
    """Listed members that know which of them differ in one choice."""

    def beside(self, values: Values) -> npt.NDArray[np.bool_]:
        """Whether each edit of a member gives another one.

        Returns:
            Array of shape ``[d]``: an edit for each option of each choice, in their order.
        """


@dataclass(frozen=True)
class Space:
    """A set of architectures, and how to build one.

    Args:
        name: Stored with every trial.
        choices: The decisions, in a fixed order.
        build: ``build(values, shape, outputs)`` gives an ``nn.Module`` that maps a batch
            ``[batch, *shape]`` to ``[batch, outputs]``.
        canonical: Maps values to a normal form (anything JSON can hold), equal for two
            architectures exactly when they are the same network. Without it every
            combination of values is a network of its own.
        allowed: Whether a combination of values is a member. Without it all are.
        members: All that `allowed` lets pass, where they can be listed: sampling then costs
            the same however few they are. A list that has `beside`, see `Beside`, spares
            mutations from asking `allowed` about every edit.
        graph: Gives the operations of an architecture and how they are joined, equal up to
            the numbering for architectures that are the same network. Strategies that learn
            describe an architecture by it, and without it by its choices.

    Raises:
        SpaceError: If there are no choices, or two of one name, or no members.
    """

    name: str
    choices: tuple[Choice, ...]
    build: Build
    canonical: Callable[[Values], Any] | None = None
    allowed: Callable[[Values], bool] | None = None
    members: Sequence[Values] | None = field(default=None, repr=False)
    graph: Callable[[Values], Graph] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        names = [choice.name for choice in self.choices]
        if not names:
            raise SpaceError(f"space '{self.name}' has no choices")
        if len(set(names)) < len(names):
            raise SpaceError(f"space '{self.name}' has two choices of one name: {names}")
        if self.members is not None and not len(self.members):
            raise SpaceError(f"space '{self.name}' has no members")

    def __hash__(self) -> int:
        # Members are mappings, which cannot be hashed; equality compares them.
        return hash((self.name, self.choices))

    @property
    def size(self) -> int:
        """Number of members where they are listed, else of combinations, allowed or not."""
        if self.members is not None:
            return len(self.members)
        return math.prod(len(choice.options) for choice in self.choices)


@dataclass(frozen=True, eq=False)
class Architecture:
    """One member of a space: a value for every choice, by name.

    Two are equal when their spaces' names and their values are; they are the same
    network when their `id` is. Make one with `check`, which refuses what is no member.
    """

    space: Space = field(repr=False)
    values: Values

    @cached_property
    def key(self) -> tuple[Value, ...]:
        """The exact values, in the order of the space's choices."""
        return tuple(self.values[choice.name] for choice in self.space.choices)

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits, equal for architectures that are the same network."""
        canonical = self.space.canonical
        form = dict(self.values) if canonical is None else canonical(self.values)
        text = json.dumps([self.space.name, form], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.space.name == other.space.name and _typed(self) == _typed(other)

    def __hash__(self) -> int:
        return hash((self.space.name, self.key))


def _typed(architecture: Architecture) -> tuple[tuple[type, Value], ...]:
    return tuple((type(value), value) for value in architecture.key)


def check(space: Space, values: Values) -> Architecture:
    """The architecture with these values, checked: the border where values enter.

    Raises:
        SpaceError: If a choice is missing, unknown or not an option, or the space does
            not allow the combination.
    """
    label = hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:8]
    names = {choice.name for choice in space.choices}
    for name in values:
        if name not in names:
            raise SpaceError(
                f"architecture {label} has a choice '{name}' that space '{space.name}' lacks; "
                f"its choices: {', '.join(sorted(names))}"
            )
    for choice in space.choices:
        if choice.name not in values:
            raise SpaceError(f"architecture {label} lacks choice '{choice.name}'")
        try:
            choice.index(values[choice.name])
        except ValueError:
            raise SpaceError(
                f"choice '{choice.name}' of architecture {label} is "
                f"{values[choice.name]!r}, expected one of {choice.options}"
            ) from None
    ordered = {choice.name: values[choice.name] for choice in space.choices}
    if space.allowed is not None and not space.allowed(ordered):
        raise SpaceError(f"space '{space.name}' does not allow architecture {label}: {ordered}")
    return Architecture(space, ordered)


def sample(space: Space, rng: np.random.Generator) -> Architecture:
    """Draw a member uniformly.

    Raises:
        SpaceError: If 10,000 draws in a row are not allowed.
    """
    if space.members is not None:
        return Architecture(space, space.members[int(rng.integers(len(space.members)))])
    for _ in range(SAMPLING_TRIES):
        picks = rng.integers([len(choice.options) for choice in space.choices])
        values = {
            choice.name: choice.options[pick]
            for choice, pick in zip(space.choices, picks, strict=True)
        }
        if space.allowed is None or space.allowed(values):
            return Architecture(space, values)
    raise SpaceError(f"space '{space.name}' allowed none of {SAMPLING_TRIES} combinations drawn")


@lru_cache(maxsize=64)
def _columns(
    choices: tuple[Choice, ...],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Choice and number of each option, ``[d]``, and an edit's log probability but for 1 / c."""
    sizes = np.array([len(choice.options) for choice in choices])
    position = np.repeat(np.arange(len(choices)), sizes)
    number = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return position, number, np.log(1.0 / np.maximum(sizes - 1, 1))[position]


def _edited(architecture: Architecture) -> npt.NDArray[np.intp]:
    """The columns of all edits: of every option but the architecture's own."""
    space = architecture.space
    position, number, _ = _columns(space.choices)
    own = [choice.index(architecture.values[choice.name]) for choice in space.choices]
    return np.flatnonzero(number != np.array(own)[position])


def _edits(architecture: Architecture, order: npt.NDArray[np.intp]) -> Iterator[Architecture]:
    """The members that these edits give."""
    space = architecture.space
    position, number, _ = _columns(space.choices)
    members: object = space.members
    allowed = space.allowed
    if isinstance(members, Beside):
        order, allowed = order[members.beside(architecture.values)[order]], None
    for column in order:
        choice = space.choices[position[column]]
        values = {**architecture.values, choice.name: choice.options[number[column]]}
        if allowed is None or allowed(values):
            yield Architecture(space, values)


def mutate(architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """Change one choice: the choice uniformly, then its new option uniformly.

    An edit that leaves the network the same (a kernel size of a stage that is not
    there) is passed over while another one is left. In a space without neighbours
    (a single member, or holes all around) a fresh sample is returned.
    """
    edits = _edited(architecture)
    # Gumbel keys: a random order in which each edit comes first with its weight's share.
    keys = _columns(architecture.space.choices)[2][edits] + rng.gumbel(size=len(edits))
    silent: Architecture | None = None
    for candidate in _edits(architecture, edits[np.argsort(-keys)]):
        if candidate.id != architecture.id:
            return candidate
        silent = silent or candidate
    return silent or sample(architecture.space, rng)


def neighbours(architecture: Architecture) -> list[Architecture]:
    """All members that differ in exactly one choice, in the order of choices and options."""
    return list(_edits(architecture, _edited(architecture)))


def encode(space: Space, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
    """One-hot encode architectures for a predictor.

    Args:
        space: The space all architectures come from; fixes ``c`` and ``d``.
        architectures: ``n`` members of `space`; may be empty.

    Returns:
        Array of shape ``[n, d]``, values 0 or 1, each row summing to ``c``.

    Raises:
        SpaceError: If an architecture does not belong to `space`.
    """
    widths = [len(choice.options) for choice in space.choices]
    starts = np.concatenate([[0], np.cumsum(widths)])
    matrix = np.zeros((len(architectures), int(starts[-1])), dtype=np.float32)
    for row, architecture in enumerate(architectures):
        if architecture.space.name != space.name:
            raise SpaceError(
                f"architecture {row} is of space '{architecture.space.name}', "
                f"expected '{space.name}'"
            )
        for choice, start in zip(space.choices, starts, strict=False):
            matrix[row, start + choice.index(architecture.values[choice.name])] = 1.0
    return matrix
