"""DataFrame, tables, figures and an HTML page of finished runs. Needs no torch."""

from lit_shift.results.comparison import agreement_with_paper, table1
from lit_shift.results.frame import load

__all__ = ["agreement_with_paper", "load", "table1"]
