"""Finished runs as a DataFrame, tables, figures and one HTML page. Needs no torch."""

from lit_shift.results.comparison import agreement, table1
from lit_shift.results.frame import load

__all__ = ["agreement", "load", "table1"]
