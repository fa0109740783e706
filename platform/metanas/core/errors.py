"""The exceptions of metanas.

::

    MetanasError
    ├── ConfigError   (ValueError)   an argument or option is not allowed
    ├── PluginError   (LookupError)  no such space, task, strategy, ...
    ├── SpaceError    (ValueError)   an architecture is no member of its space
    ├── DataError     (ValueError)   a data set cannot be used
    ├── JournalError  (ValueError)   a journal holds what no search wrote
    ├── PriorError    (ValueError)   a prior cannot be used
    ├── HomeError     (OSError)      the home folder, or a search in it, cannot be used
    └── TrialError                   ends one trial, never the search
        ├── InfeasibleError          the architecture cannot be built or run
        └── DivergedError            training gave NaN or infinity

Messages are one line that says where, what was given and what is allowed: the command
line prints them without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MetanasError(Exception):
    """Base of everything that metanas raises on purpose."""


class ConfigError(MetanasError, ValueError):
    """An argument or option is not allowed."""


class PluginError(MetanasError, LookupError):
    """No plug-in of that name, or it cannot be loaded."""


class SpaceError(MetanasError, ValueError):
    """An architecture is no member of its space."""


class DataError(MetanasError, ValueError):
    """A data set cannot be used."""


class JournalError(MetanasError, ValueError):
    """A journal holds what no search wrote."""


class PriorError(MetanasError, ValueError):
    """A prior cannot be used."""


class HomeError(MetanasError, OSError):
    """The home folder, or a search in it, cannot be used."""


class TrialError(MetanasError):
    """Ends one trial with a status of its own, never the search."""


class InfeasibleError(TrialError):
    """The architecture cannot be built, or its network cannot run on the task."""


class DivergedError(TrialError):
    """Training gave NaN or infinity."""


def unknown(name: str, known: Iterable[str]) -> str:
    """Say what is close to `name` and what is known: ``; did you mean 'x'? Known: x, y``.

    >>> unknown("randm", ["random", "evolution"])
    "; did you mean 'random'? Known: evolution, random"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"{hint} Known: {', '.join(names) or 'none'}"
