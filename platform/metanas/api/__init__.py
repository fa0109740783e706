"""A search from its description: what the command line and Python programs call."""

from metanas.api.config import SearchConfig
from metanas.api.exporting import Exported, export, retrain
from metanas.api.home import LOG, home_folder, searches
from metanas.api.parts import assemble
from metanas.api.searching import Finished, record, resume, search, show

__all__ = [
    "LOG",
    "Exported",
    "Finished",
    "SearchConfig",
    "assemble",
    "export",
    "home_folder",
    "record",
    "resume",
    "retrain",
    "search",
    "searches",
    "show",
]
