"""The papers' tables as printed, in percent and milliseconds."""

import csv
from importlib.resources import files


def load(table: str) -> list[dict[str, str]]:
    """Return the rows of a published table: ``zhang_table1`` or ``zhang_table2``."""
    text = files(__name__).joinpath(f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
