"""A search from its description: what the command line and Python programs call."""

from metanas.api.config import SearchConfig
from metanas.api.home import LOG, home_folder, searches
from metanas.api.parts import assemble
from metanas.api.searching import Finished, record, resume, search, show

__all__ = [
    "LOG",
    "Finished",
    "SearchConfig",
    "assemble",
    "home_folder",
    "record",
    "resume",
    "search",
    "searches",
    "show",
]
