"""DataFrame, tables, figures and an HTML page of finished runs. Needs no torch."""

from lit_shift.results.comparison import agreement_with_paper, table1
from lit_shift.results.frame import load
from lit_shift.results.rows.against import against

__all__ = ["against", "agreement_with_paper", "load", "table1"]
