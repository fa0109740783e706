"""Tasks and readers of data, one file each, which defines ``TASK``."""
