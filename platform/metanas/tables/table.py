"""A table in memory: what each row decided, and what was measured of it.

A row is an architecture by the exact values of its choices. Combinations without a row,
and rows that lack what is looked for, are no members of the space that a search sees.

Shapes: ``n`` rows, ``c`` choices, ``m`` rows with a value.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NoReturn, overload

import numpy as np
import numpy.typing as npt

from metanas.core.errors import DataError, InfeasibleError, unknown
from metanas.core.objective import Objective
from metanas.core.space import Build, Choice, Space, Value, Values

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.uint64]
Goal = Literal["max", "min"]
COSTS = ("s", "ms", "mJ", "M")
"""Units of which less is better: time, energy, and millions of parameters or operations."""

LESS = ("loss", "error", "params", "flops", "latency", "energy")
"""Words in the names of columns of which less is better."""

CODE = "H"
"""Type of an option's number within its choice, for `array`: 16 bits, unsigned."""


@dataclass(frozen=True)
class TableTask:
    """What was measured on one task.

    Args:
        name: Of the task.
        metric: The column that is searched on.
        goal: Whether more or less of it is better.
        test: The column with test values, "" where there is none.
        low_fidelity: Columns of cheaper trainings, by their epochs.
        cost_s: The column with what a training took, in seconds; "" where there is none.
    """

    name: str
    metric: str
    goal: Goal
    test: str = ""
    low_fidelity: Mapping[int, str] = field(default_factory=dict)
    cost_s: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """A benchmark table.

    Args:
        name: Of the benchmark.
        origin: Where it was read, for messages.
        space: The name of the search space whose architectures these are; "" for none.
        choices: The decisions.
        codes: ``[n, c]``, the number of each row's option within its choice.
        tasks: By name.
        columns: Names of all that was measured.
        read: ``read(column)`` gives its ``[n]`` values, NaN where there is none.
    """

    name: str
    origin: str
    space: str
    choices: tuple[Choice, ...]
    codes: npt.NDArray[np.uint16]
    tasks: Mapping[str, TableTask]
    columns: tuple[str, ...]
    read: Callable[[str], Floats]

    def __post_init__(self) -> None:
        if len(self.row_numbers) < len(self):
            first, second = _twins(self.codes)
            raise DataError(f"{self.origin}: rows {first} and {second} have the same choices")

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def row_numbers(self) -> Mapping[bytes, int]:
        """The row of each combination of options that has one."""
        text, width = self.codes.tobytes(), self.codes.shape[1] * self.codes.itemsize
        return {text[at * width : (at + 1) * width]: at for at in range(len(self.codes))}

    @cached_property
    def _options(self) -> tuple[Mapping[tuple[type, Value], int], ...]:
        # By type too: 1, 1.0 and True are three options.
        return tuple({(type(o), o): at for at, o in enumerate(c.options)} for c in self.choices)

    def row(self, values: Values) -> int | None:
        """The number of the row with these values; None where there is none."""
        codes = self._codes(values)
        return None if codes is None else self.row_numbers.get(codes.tobytes())

    def codes_of(self, values: Values) -> npt.NDArray[np.uint16] | None:
        """The numbers of these options, ``[c]``; None where one is no option."""
        codes = self._codes(values)
        return None if codes is None else np.array(codes, dtype=np.uint16)

    def _codes(self, values: Values) -> array[int] | None:
        codes = array(CODE)
        for choice, options in zip(self.choices, self._options, strict=True):
            value = values[choice.name]
            code = options.get((type(value), value))
            if code is None:
                return None
            codes.append(code)
        return codes

    def values(self, row: int) -> dict[str, Value]:
        """What a row decided, by the names of the choices."""
        codes = self.codes[row].tolist()
        return {c.name: c.options[code] for c, code in zip(self.choices, codes, strict=True)}

    def task(self, name: str) -> TableTask:
        """The task of this name.

        Raises:
            DataError: If there is none.
        """
        if name not in self.tasks:
            raise DataError(f"{self.origin}: no task '{name}'{unknown(name, self.tasks)}")
        return self.tasks[name]

    def measure(self, task: TableTask, column: str = "") -> str:
        """The column that is searched on: the task's metric, or another, with or without its task.

        Raises:
            DataError: If there is no such column, or nothing was measured in it.
        """
        wanted = column or task.metric
        names = [name for name in (wanted, f"{task.name}.{wanted}") if name in self.columns]
        if not names:
            known = [name for name in self.columns if name.startswith(f"{task.name}.")]
            raise DataError(f"{self.origin}: no column '{wanted}'{unknown(wanted, known)}")
        if not np.isfinite(self.read(names[0])).any():
            raise DataError(f"{self.origin}: column '{names[0]}' holds no number")
        return names[0]


class Rows(Sequence[Values]):
    """Some rows of a table as members of a space.

    Args:
        table: Whose.
        numbers: ``[m]``, of the rows.
    """

    def __init__(self, table: Table, numbers: npt.NDArray[np.intp]) -> None:
        self.table = table
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Values: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Values]: ...
    def __getitem__(self, index: int | slice) -> Values | Sequence[Values]:
        if isinstance(index, slice):
            return Rows(self.table, self.numbers[index])
        return self.table.values(int(self.numbers[index]))

    def beside(self, values: Values) -> npt.NDArray[np.bool_]:
        """Whether each edit of one of the rows gives another one, ``[d]``; see `core.space`.

        A row's mark is the sum of a random number for each of its options, so those of all
        its edits are one addition away (after Zobrist 1970, "A New Hashing Method with
        Application for Game Playing"); what has a row's mark is then compared with the row.
        """
        codes = self.table.codes_of(values)
        parts, starts, marks, order = self._marks
        if codes is None:
            return np.zeros(len(parts), dtype=np.bool_)
        own = parts[starts + codes]
        wanted = own.sum() - np.repeat(own, np.diff(starts, append=len(parts))) + parts
        place = np.minimum(np.searchsorted(marks, wanted), len(marks) - 1)
        found: npt.NDArray[np.bool_] = marks[place] == wanted
        found[starts + codes] = False
        for column in np.flatnonzero(found):
            choice = np.searchsorted(starts, column, side="right") - 1
            edited = codes.copy()
            edited[choice] = column - starts[choice]
            found[column] = np.array_equal(self.table.codes[order[place[column]]], edited)
        return found

    @cached_property
    def _marks(self) -> tuple[Marks, npt.NDArray[np.intp], Marks, npt.NDArray[np.intp]]:
        """A number an option ``[d]``, where each choice's begin, and the rows' marks, sorted."""
        sizes = np.array([len(choice.options) for choice in self.table.choices])
        starts = np.cumsum(sizes) - sizes
        rng = np.random.default_rng(0)
        parts = rng.integers(2**64, size=sizes.sum(), dtype=np.uint64)
        marks = np.zeros(len(self), dtype=np.uint64)
        for choice, start in enumerate(starts):
            marks += parts[start + self.table.codes[self.numbers, choice]]
        order = np.argsort(marks)
        return parts, starts, marks[order], self.numbers[order]


def space_of_rows(table: Table, numbers: npt.NDArray[np.intp], known: Space | None) -> Space:
    """The space whose members are some rows of a table.

    Args:
        table: The table.
        numbers: ``[m]``, of the rows.
        known: The space that the table names, where there is one: with the same choices,
            and at least the same options, it lends its building, canonical form and graph.
    """
    if known is None or not _fits(table, known):
        known = Space(table.space or table.name, table.choices, _unbuildable(table))
    whole = len(numbers) == int(np.prod([len(c.options) for c in table.choices], dtype=float))
    if whole:
        return replace(known, choices=table.choices)
    there = np.zeros(len(table), dtype=bool)
    there[numbers] = True

    def allowed(values: Values) -> bool:
        row = table.row(values)
        return row is not None and bool(there[row])

    return replace(known, choices=table.choices, allowed=allowed, members=Rows(table, numbers))


def _fits(table: Table, known: Space) -> bool:
    options = {choice.name: choice.options for choice in known.choices}
    ours = {choice.name: choice.options for choice in table.choices}
    return options.keys() == ours.keys() and all(set(ours[n]) <= set(options[n]) for n in ours)


def _unbuildable(table: Table) -> Build:
    def build(values: Values, shape: tuple[int, ...], outputs: int) -> NoReturn:
        raise InfeasibleError(f"{table.origin} is a table: it names no space that builds networks")

    return build


def _twins(codes: npt.NDArray[np.uint16]) -> tuple[int, int]:
    _, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    second = int(np.flatnonzero(first[inverse.ravel()] != np.arange(len(codes)))[0])
    return int(first[inverse.ravel()[second]]), second


def measured_rows(table: Table, column: str) -> npt.NDArray[np.intp]:
    """``[m]``: the rows that have a number in a column."""
    return np.flatnonzero(np.isfinite(table.read(column)))


def objective_of(column: str, task: TableTask) -> Objective:
    """The column as what a search wants, named without its task.

    The task says whether more or less of its metric is better. Of another column less is,
    if it is a cost by its unit or a loss, an error or a size by its name, else more.
    """
    name = column.removeprefix(f"{task.name}.")
    unit = name.rpartition("_")[2] if "_" in name else ""
    if column == task.metric:
        return Objective(name, unit, task.goal)
    words = name.lower().split("_")
    less = unit in COSTS or ("negative" not in words and any(w in LESS for w in words))
    return Objective(name, unit, "min" if less else "max")
