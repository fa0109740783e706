"""metanas: neural architecture search on Ray, tracked in MLflow, that learns from its past."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metanas.api.python import Found, resume, search, show
    from metanas.core.space import Choice, Space

__version__ = "0.1.0"
__all__ = ["Choice", "Found", "Space", "resume", "search", "show"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # late: the command line imports this module each time
        module = "metanas.core.space" if name in ("Choice", "Space") else "metanas.api.python"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'metanas' has no attribute '{name}'")
