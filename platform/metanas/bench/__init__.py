"""Strategies replayed on a table of finished trainings: many seeds, in seconds."""

from metanas.bench.replay import Replay
from metanas.bench.strategies import Benched, bench, references

__all__ = ["Benched", "Replay", "bench", "references"]
