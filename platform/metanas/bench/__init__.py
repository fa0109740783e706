"""Strategies replayed on a table of finished trainings: many seeds, in seconds."""

from metanas.bench.history import History, sources_of
from metanas.bench.replay import Replay
from metanas.bench.strategies import Benched, bench, references, with_priors

__all__ = ["Benched", "History", "Replay", "bench", "references", "sources_of", "with_priors"]
