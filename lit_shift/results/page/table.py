"""Text of the page's tables: Table 1, and classifiers that are in no row of it. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lit_shift.filters import family
from lit_shift.measures import measure_of
from lit_shift.results.along import under
from lit_shift.results.comparison import MEASURES, agreement_with_paper, any_published
from lit_shift.results.writer import Cell, Table
from lit_shift.runs.findings import Findings

FEW = 4  # number of models that are easily distinguished in a figure
LEAD, COLUMNS = ("pool", "filter", "aug", "n"), ("ours", "paper", "diff")
MISSING = "\N{EN DASH}"


def number(value: float | None, digits: int = 1, sign: str = "") -> str:
    """Format a number with a given number of decimals; ``sign="+"`` adds the sign of a non-zero number."""
    if value is None or value != value:
        return MISSING
    text = f"{value:,.{digits}f}"
    if not float(text.replace(",", "")):
        return text.lstrip("-")
    return f"{value:{sign},.{digits}f}".replace("-", "\N{MINUS SIGN}")


def table(rows: pd.DataFrame, unfinished: Sequence[tuple[str, str]], drawn: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of the page's table.

    Args:
        rows: rows of runs of one data set, from :func:`lit_shift.results.comparison.table1`.
        unfinished: name and state of each run that is in no row.
        drawn: number of figures that show each run, by its name. The seed with the highest number comes first in a
            row, and the rows with the highest numbers are initially ticked.
    """
    several, compared, records = rows["recipe"].nunique() > 1, any_published(rows), rows.to_dict("records")
    most = [max(drawn[name] for name in row["runs"]) for row in records]
    ticked = sorted((i for i in range(len(records)) if most[i] or not any(most)), key=lambda i: -most[i])[:FEW]
    names = {i: name_of(row, several) for i, row in enumerate(records)}
    return {
        "columns": [*LEAD, *[*COLUMNS[: 3 if compared else 1]] * len(MEASURES), *(["recipe"] if several else [])],
        "measures": [measure_of(measure) for measure in MEASURES],
        "compared": compared,
        "caption": "No run has finished." if rows.empty else "" if several else records[0]["recipe"],
        "several_seeds": any(len(row["runs"]) > 1 for row in records),
        "rows": [
            {
                "name": names[i],
                "ticked": i in ticked,
                "runs": sorted(row["runs"], key=lambda name: -drawn[name]),
                "words": f"{names[i]} {family(row['filter'])} {row['recipe']} {' '.join(row['runs'])}".lower(),
                "aug": str(row["aug"]).lower(),
                "notes": "; ".join(row["notes"]),
                "cells": [
                    *(_text(kind, row[kind] if kind != "aug" else "yes" if row["aug"] else "no") for kind in LEAD),
                    *(cell for measure in MEASURES for cell in _cells(row, measure, compared)),
                    *([_text("recipe", row["recipe"])] if several else []),
                ],
            }
            for i, row in enumerate(records)
        ],
        "foot": [
            line
            for recipe, members in rows.groupby("recipe")
            if any_published(members)
            for line in _foot(members, f" of {recipe}" if several else "")
        ],
        "notes": [
            f"\N{DAGGER} {note}: {'; '.join(names[i] for i, row in enumerate(records) if note in row['notes'])}"
            for note in dict.fromkeys(note for row in records for note in row["notes"])
        ]
        + [f"Not in the table: {name} ({state})" for name, state in unfinished],
    }


def name_of(row: Mapping[str, Any], several_recipes: bool) -> str:
    """Return a description of a row."""
    parts = [row["pool"], row["filter"], "with shift augmentation" if row["aug"] else ""]
    return " ".join(part for part in [*parts, f"({row['recipe']})" if several_recipes else ""] if part)


def _text(kind: str, value: Any) -> dict[str, Any]:
    return {"kind": kind, "value": value, "text": str(value)}


def _cells(row: Mapping[str, Any], measure: str, compared: bool) -> list[dict[str, Any]]:
    """Return cells for our value and, if values are compared, the published one and the difference."""
    ends = ("", "_std", "_published", "_difference")
    declared = measure_of(measure)
    mean, std, published, difference = (declared.factor * row[f"{measure}{end}"] for end in ends)
    written = number if declared.factor > 1 else declared.written
    spread = "" if std != std else f" \N{PLUS-MINUS SIGN} {written(std)}"
    ours = (f"ours {row[f'{measure}_mark']}".strip(), mean, written(mean) + spread)
    beside = [("paper", published, number(published)), ("diff", difference, number(difference, sign="+"))]
    return [
        {"kind": f"numeric {kind}", "value": None if value != value else value, "text": text}
        for kind, value, text in [ours, *(beside if compared else [])]
    ]


def _foot(rows: pd.DataFrame, where: str) -> list[dict[str, Any]]:
    """Return lines with the agreement of each measure with the published one."""
    found = [agreement_with_paper(rows, measure) for measure in MEASURES]
    count = max(each.rows for each in found if each)
    which = f"{count} row{'s' * (count != 1)}{where}"
    lines = {
        "Rank correlation with the published order": [
            number(each.rank_correlation if each else None, 2) for each in found
        ],
        "Mean absolute difference": [number(100 * each.mean_absolute_difference if each else None) for each in found],
    }
    return [{"text": f"{text}, {which}", "cells": cells} for text, cells in lines.items()]


def plain(table: Table) -> dict[str, Any]:
    """Return the texts of a table that cannot be sorted or ticked: its cells' numbers, what is beside them, marks."""
    kinds = ["" if place < table.words else "numeric" for place in range(len(table.frame.columns))]
    return {
        "title": table.title,
        "caption": table.caption,
        "notes": table.notes,
        "heads": [{"text": name, "kind": kind} for name, kind in zip(table.frame, kinds, strict=True)],
        "rows": [
            {"rule": place in table.breaks, "cells": [_plain(*each) for each in zip(row, kinds, strict=True)]}
            for place, row in enumerate(table.frame.itertuples(index=False))
        ],
    }


def _plain(cell: Cell | str, kind: str) -> dict[str, str]:
    text, beside, mark = cell if isinstance(cell, Cell) else Cell(cell)
    if kind:
        text = MISSING if text == "-" else text.replace("-", "\N{MINUS SIGN}")
    return {"text": text, "beside": beside.replace("-", "\N{MINUS SIGN}"), "kind": f"{kind} {mark}".strip()}


def alone(models: Sequence[Findings], titles: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """List classifiers that are in no row, with the titles of the protocols under which they were measured."""
    shown = []
    for place, model in enumerate(models):
        images = dict.fromkeys(f"{each.images:,}" for each in under([model]))
        cells = [model.config["choices"]["data"], ", ".join(images), ", ".join(titles[model.name])]
        shown.append({"name": model.name, "ticked": place < FEW, "cells": [cell or MISSING for cell in cells]})
    return shown
