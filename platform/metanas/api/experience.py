"""The experience of a home folder: which tracking server it is read from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metanas.stores.experience import Origin

OWN = "home"
"""The name of a home folder's own database, wherever the folder lies."""


def origin_of(home: Path) -> Origin:
    """The server that searches of a home folder write to, under a name without a password."""
    from metanas.stores.experience import Origin
    from metanas.trackers.mlflow import public, tracking_uri

    uri = tracking_uri(home)
    own = uri == f"sqlite:///{home.resolve()}/mlflow.db"
    return Origin(uri, OWN if own else public(uri))
