"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from metanas.core.errors import ConfigError


def expanded(path: str | Path) -> Path:
    """The path with its ``~`` written out.

    Raises:
        ConfigError: If nobody has the name after the ``~``, or this user has no home folder,
            as in many containers.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = Path(path).parts[0]
        raise ConfigError(f"{path}: there is no folder '{name}' here") from None


def whole(path: str | Path) -> Path:
    """The same from the root on, without ``..``: it means the same in any working directory."""
    return Path(os.path.abspath(expanded(path)))
