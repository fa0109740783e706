"""``python -m metanas`` is the command line."""

from metanas.cli import main

main()
