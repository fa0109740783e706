"""Benchmark tables: fully trained architectures, one a row, as data."""

from metanas.tables.packaged import PACKAGED
from metanas.tables.read import load
from metanas.tables.table import (
    Rows,
    Table,
    TableTask,
    measured_rows,
    objective_of,
    space_of_rows,
)

__all__ = [
    "PACKAGED",
    "Rows",
    "Table",
    "TableTask",
    "load",
    "measured_rows",
    "objective_of",
    "space_of_rows",
]
