"""Objectives, one file each, which defines ``OBJECTIVE``."""
