"""The report of a search, over or running: a page that stands alone, and its figures."""

from metanas.report.story import Story
from metanas.report.write import write_report

__all__ = ["Story", "write_report"]
