"""DataFrame, tables, figures and an HTML page of finished runs. Needs no torch."""

from lit_shift.results.comparison import agreement, table1
from lit_shift.results.frame import load

__all__ = ["agreement", "load", "table1"]
