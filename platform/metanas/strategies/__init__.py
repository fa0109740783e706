"""Strategies, one file each, which defines ``STRATEGY``."""
