"""The architectures of a benchmark table: its rows, and nothing between them."""

from __future__ import annotations

from metanas.core.errors import PluginError
from metanas.core.plugins import reference, resolve
from metanas.core.space import Space
from metanas.tables import Table, load, measured_rows, space_of_rows


def table(*, path: str = "", target: str = "", measure: str = "") -> Space:
    """The rows of a table that were measured.

    Where the table names a space that is installed and has its choices, architectures are
    those of that space: they can be built, and networks that are the same are known.

    Args:
        path: Of the file, or the name of a table that an installed package carries.
        target: The task.
        measure: A column to search on in place of the task's metric.

    Raises:
        ConfigError: If no table is named.
        DataError: If there is no such table, task or column.
    """
    found = load(path)
    task = found.task(target)
    numbers = measured_rows(found, found.measure(task, measure))
    return space_of_rows(found, numbers, known_space(found))


def known_space(found: Table) -> Space | None:
    """The installed space that a table names, if there is one."""
    if not found.space.isidentifier() or found.space == "table":
        return None  # a name may not be a file's: reading a table runs nobody's code
    try:
        known = resolve(reference("spaces", found.space))
    except PluginError:
        return None
    space = known() if callable(known) else known
    return space if isinstance(space, Space) else None


SPACE = table
