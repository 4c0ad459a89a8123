"""Table 1 and the classifiers measured alone, as text for the page's tables. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from lit_shift.filters import family
from lit_shift.measures import measure_of
from lit_shift.results.table1 import MEASURES, Cell, Row, agreement, any_published, by_protocol
from lit_shift.runs.findings import Findings

FEW = 4  # models can be told apart at a glance
LEAD, COLUMNS = ("pool", "filter", "aug", "n"), ("ours", "paper", "diff")
MISSING = "\N{EN DASH}"


def number(value: float | None, digits: int = 1, sign: str = "") -> str:
    """A number with so many digits after the point; with ``sign="+"`` one that is not 0 has its sign."""
    if value is None or value != value:
        return MISSING
    text = f"{value:,.{digits}f}"
    if not float(text.replace(",", "")):
        return text.lstrip("-")
    return f"{value:{sign},.{digits}f}".replace("-", "\N{MINUS SIGN}")


def table(rows: Sequence[Row], unfinished: Sequence[tuple[str, str]], drawn: Mapping[str, int]) -> dict[str, Any]:
    """What the page's table shows.

    Args:
        rows: of runs of one data set.
        unfinished: name and state of each run that is in no row.
        drawn: in how many figures each run is, by its name. Of a row's seeds the one in most is drawn first, and the
            rows with most are ticked to begin with.
    """
    several, compared = len(by_protocol(rows)) > 1, any_published(rows)
    richest = {id(row): max(drawn[run.name] for run in row.runs) for row in rows}
    able = [row for row in rows if richest[id(row)]] or rows
    ticked = sorted(able, key=lambda row: -richest[id(row)])[:FEW]
    notes = dict.fromkeys(note for row in rows for note in row.notes)
    return {
        "columns": [*LEAD, *[*COLUMNS[: 3 if compared else 1]] * len(MEASURES), *(["protocol"] if several else [])],
        "measures": [measure_of(measure).label.capitalize() for measure in MEASURES],
        "compared": compared,
        "caption": "" if several else rows[0].protocol if rows else "No run has finished.",
        "several_seeds": any(len(row.runs) > 1 for row in rows),
        "rows": [
            {
                "name": name_of(row, several),
                "ticked": any(row is each for each in ticked),
                "runs": [run.name for run in sorted(row.runs, key=lambda run: -drawn[run.name])],
                "words": " ".join(
                    [row.pool, row.filter, family(row.filter), "aug" if row.aug else "noaug", row.protocol]
                    + [run.name for run in row.runs]
                ).lower(),
                "aug": str(row.aug).lower(),
                "notes": "; ".join(row.notes),
                "cells": [
                    *(_text(kind, value) for kind, value in zip(LEAD, _lead(row), strict=True)),
                    *(cell for measure in MEASURES for cell in _cells(row.cells[measure], compared)),
                    *([_text("protocol", row.protocol)] if several else []),
                ],
            }
            for row in rows
        ],
        "foot": [
            line
            for protocol, members in by_protocol(rows).items()
            if any_published(members)
            for line in _foot(members, f" of {protocol}" if several else "")
        ],
        "notes": [
            f"\N{DAGGER} {note}: {'; '.join(name_of(row, several) for row in rows if note in row.notes)}"
            for note in notes
        ]
        + [f"Not in the table: {name} ({state})" for name, state in unfinished],
    }


def name_of(row: Row, several_protocols: bool) -> str:
    """A row in words."""
    parts = [row.pool, row.filter, "with shift augmentation" if row.aug else ""]
    return " ".join(part for part in [*parts, f"({row.protocol})" if several_protocols else ""] if part)


def _lead(row: Row) -> tuple[Any, ...]:
    return row.pool, row.filter, "yes" if row.aug else "no", len(row.runs)


def _text(kind: str, value: Any) -> dict[str, Any]:
    return {"kind": kind, "value": value, "text": str(value)}


def _cells(cell: Cell | None, compared: bool) -> list[dict[str, Any]]:
    """Ours and, where anything is compared, the published value and the difference."""
    cell = cell or Cell(float("nan"), None, None)
    mean, published = (
        None if value is None or value != value else 100 * value for value in (cell.mean, cell.published)
    )
    difference = None if mean is None or published is None else mean - published
    spread = "" if cell.std is None or mean is None else f" \N{PLUS-MINUS SIGN} {number(100 * cell.std)}"
    mark = "best" if cell.best else "worst" if cell.worst else ""
    ours = {"kind": f"numeric ours {mark}".strip(), "value": mean, "text": number(mean) + spread}
    if not compared:
        return [ours]
    paper = {"kind": "numeric paper", "value": published, "text": number(published)}
    return [ours, paper, {"kind": "numeric diff", "value": difference, "text": number(difference, sign="+")}]


def _foot(rows: Sequence[Row], where: str) -> list[dict[str, Any]]:
    """How each measure agrees with the published one."""
    found = [agreement(rows, measure) for measure in MEASURES]
    count = max(each.rows for each in found if each)
    which = f"{count} row{'s' * (count != 1)}{where}"
    return [
        {
            "text": f"Rank correlation with the published order, {which}",
            "cells": [number(each.rank_correlation if each else None, 2) for each in found],
        },
        {
            "text": f"Mean absolute difference, {which}",
            "cells": [number(100 * each.mean_absolute_difference if each else None) for each in found],
        },
    ]


def alone(models: Sequence[Findings], titles: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Classifiers that are in no row, each with the titles of the protocols under which it was measured."""
    shown = []
    for place, model in enumerate(models):
        counts = [len(model.arrays[f"{protocol}/places"]) for protocol in model.protocols]
        images = dict.fromkeys(
            number(model.metrics.get(f"{protocol}/n", count), 0)
            for protocol, count in zip(model.protocols, counts, strict=True)
        )
        cells = [model.config["choices"]["data"], ", ".join(images), ", ".join(titles[model.name])]
        shown.append({"name": model.name, "ticked": place < FEW, "cells": [cell or MISSING for cell in cells]})
    return shown
