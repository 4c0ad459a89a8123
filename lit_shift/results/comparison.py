"""Zhang's Table 1 from finished runs, averaged over seeds, beside the published values. Needs no torch."""

from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lit_shift import published
from lit_shift.filters import FILTERS
from lit_shift.measures import TABLE1, measure_of, standing
from lit_shift.results.writer import Cell, Table
from lit_shift.runs.recipe import PAPERS

MEASURES = tuple(measure.name for measure in standing(TABLE1))
MARKED = 3  # number of best and of worst cells that are marked, as in the paper
ROW = ["recipe", "pool", "filter", "aug"]
# Published rates in [0, 1], by filter and augmentation.
PUBLISHED = {
    (row["filter"], row["aug"] == "true"): {
        measure: round(float(row[measure]) / 100, 4) for measure in MEASURES if measure in row
    }
    for row in published.load("zhang_table1")
}
STATISTICS = ("", "_std", "_published")
MARKS = "the three best are bold, the three worst italic"
CAPTION = f"Mean ± standard deviation over n seeds, percent; {MARKS}."
BESIDE = (
    f"Ours ± standard deviation over n seeds (published, difference), percent; {MARKS}. "
    "Last rows: Spearman's rank correlation with the published values and the mean absolute difference from them."
)
DAGGER = "\N{DAGGER}"


def table1(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a comparison of runs with the published values, in the paper's order within each recipe.

    Each row combines a pool, a filter and an augmentation under one recipe. If several runs have identical settings,
    the most recent is used.

    Args:
        frame: runs, as :func:`lit_shift.results.load` returns them.

    Returns:
        Columns ``recipe``, ``pool``, ``filter``, ``aug``; ``n``, the number of seeds; ``runs``, their names; and
        ``notes``, reasons why the row does not compare with the published one or with its neighbours.

        For ``accuracy``, ``accuracy_random``, ``consistency`` and ``average`` (of accuracy and consistency), in [0, 1]:
        the mean over seeds under the measure's name, the standard deviation as ``..._std``, the published value as
        ``..._published``, the difference from it as ``..._difference``, and ``..._mark``, ``best`` or ``worst`` among
        rows of the same recipe and augmentation. A value is NaN if a run lacks the measure, for the standard deviation
        if there is a single seed, and for the published value and the difference if nothing is published.
    """
    runs = frame[frame["trained"]] if len(frame) else frame
    rows = [_row(dict(zip(ROW, key, strict=True)), members) for key, members in runs.groupby(ROW)] if len(runs) else []
    rows.sort(key=lambda row: (row["recipe"], _place(row["filter"]), row["pool"] != "max", row["pool"], row["aug"]))
    columns = [f"{measure}{end}" for measure in MEASURES for end in (*STATISTICS, "_difference", "_mark")]
    table = pd.DataFrame(rows, columns=[*ROW, "n", "runs", "notes", *columns])
    for measure in MEASURES:
        table[f"{measure}_difference"] = table[measure] - table[f"{measure}_published"]
        alike = table.groupby(["recipe", "aug"])[measure]
        upward = measure_of(measure).better == "lower"
        place, count = alike.rank(ascending=upward, method="first"), alike.transform("count")
        best = (place <= MARKED) & (count > MARKED)  # a short column would be marked throughout
        worst = (place > count - MARKED) & (count >= 2 * MARKED)
        table[f"{measure}_mark"] = np.select([best, worst], ["best", "worst"], "")
    return table


def _place(filter: str) -> int:
    return FILTERS.index(filter) if filter in FILTERS else len(FILTERS)


def _row(key: dict[str, Any], runs: pd.DataFrame) -> dict[str, Any]:
    last = runs.drop_duplicates("seed", keep="last").sort_values("seed")
    notes = []
    if key["recipe"] != PAPERS:
        notes.append("not the paper's recipe (CIFAR-10, VGG13 of width 64, 200 epochs, circular)")
    for seed, count in Counter(runs["seed"]).items():
        if count > 1:
            notes.append(f"seed {seed:.0f} was trained {count} times: the most recent is used")
    records = last.to_dict("records")
    notes += [
        f"{run['name']} was measured on a sample of {run['test/images']:,.0f} test images"
        for run in records
        if run.get("test/complete") == 0
    ]
    sampled = dict.fromkeys(run["test/shifts"] for run in records if run.get("test/exact") == 0)
    notes += [f"a sample of {shifts:.0f} shifts an image" for shifts in sampled]
    row: dict[str, Any] = key | {"n": len(last), "runs": last["name"].tolist(), "notes": notes}
    printed = PUBLISHED.get((key["filter"], key["aug"]), {}) if _compares(last) else {}
    for measure in MEASURES:
        values = rates(last, measure)
        row[measure], row[f"{measure}_std"] = values.mean(skipna=False), values.std(skipna=False)
        row[f"{measure}_published"] = np.nan if values.hasnans else printed.get(measure, np.nan)
        if values.hasnans and f"test/{measure}" in (*runs, "test/average"):  # else it is newer than all these runs
            notes.append(f"{measure} was not measured in every run")
    return row


def _compares(runs: pd.DataFrame) -> bool:
    """Return True if the paper reports such runs: max pools on CIFAR-10, with any filter."""
    first = runs.iloc[0]
    return bool(first["cifar10"]) and first["choices.pool"] in ("max", "blur")


def rates(frame: pd.DataFrame, measure: str) -> pd.Series:
    """Return a measure of each run, in [0, 1]; ``average`` is the mean of accuracy and consistency, as in the paper."""
    if measure == "average":
        return (rates(frame, "accuracy") + rates(frame, "consistency")) / 2
    values = frame.get(f"test/{measure}", pd.Series(np.nan, frame.index))
    return values.where(np.isfinite(values))


class AgreementWithPaper(NamedTuple):
    """Agreement of a measure with the published one over the rows of a recipe.

    ``rank_correlation`` is Spearman's, NaN for fewer than three rows.
    """

    rows: int
    rank_correlation: float
    mean_absolute_difference: float


def agreement_with_paper(rows: pd.DataFrame, measure: str) -> AgreementWithPaper | None:
    """Return a measure's agreement with the published one over rows of one recipe; None if no row is published."""
    pairs = rows[[measure, f"{measure}_published"]].dropna()
    if pairs.empty:
        return None
    correlation = pairs.corr("spearman").iloc[0, 1] if len(pairs) > 2 else np.nan
    return AgreementWithPaper(len(pairs), correlation, rows[f"{measure}_difference"].abs().mean())


def any_published(rows: pd.DataFrame) -> bool:
    """Return True if any of the rows has a published value."""
    return bool(rows[[f"{measure}_published" for measure in MEASURES]].notna().any(axis=None))


def for_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns for a CSV file; published values only if any row has one."""
    kept = STATISTICS if any_published(table) else STATISTICS[:2]
    columns = [f"{measure}{end}" for measure in MEASURES for end in kept]
    return table[["pool", "filter", "aug", "n", *columns, "recipe", "notes"]]


def tables(table: pd.DataFrame) -> list[Table]:
    """Return a table for each recipe, with its notes and, in the last rows, its agreement with the paper."""
    found = []
    for recipe, rows in table.groupby("recipe"):
        cells = [[*_lead(row), *(cell(row, measure) for measure in MEASURES)] for row in rows.to_dict("records")]
        heads = ["pool", "filter", "aug", "n", *(measure.heading for measure in standing(TABLE1))]
        foot = _foot(rows)
        caption = BESIDE if any_published(rows) else CAPTION
        frame = pd.DataFrame([*cells, *foot], columns=heads)
        found.append(Table(frame, str(recipe), caption, notes(rows), words=4, breaks={len(cells)} if foot else ()))
    return found


def _lead(row: dict[str, Any]) -> list[str]:
    """Leading cells of a row: pool, filter, augmentation, number of seeds."""
    name = f"{row['pool']} {DAGGER}" if row["notes"] else row["pool"]
    return [name, row["filter"], "yes" if row["aug"] else "no", str(row["n"])]


def cell(row: dict[str, Any], measure: str) -> Cell:
    """Format a measure as ``93.2 ± 0.1``, beside the published value and the difference, ``93.3, -0.1``, if known."""
    mean, std, published, difference, mark = (row[f"{measure}{end}"] for end in (*STATISTICS, "_difference", "_mark"))
    if np.isnan(mean):
        return Cell("-")
    written = partial(measure_of(measure).written, decimals=1)
    spread = "" if np.isnan(std) else f" ± {written(std)}"
    beside = "" if np.isnan(published) else f"{written(published)}, {100 * difference:+.1f}"
    return Cell(f"{written(mean)}{spread}", beside, mark)


def notes(rows: pd.DataFrame) -> list[str]:
    """Return the notes on rows of one recipe, each with the rows that it concerns."""
    who: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        for note in row["notes"]:
            who.setdefault(note, []).append(f"{row['pool']} {row['filter']} {'aug' if row['aug'] else 'noaug'}")
    return [
        f"{DAGGER} {'all rows' if len(names) == len(rows) else ', '.join(names)}: {note}" for note, names in who.items()
    ]


def _foot(rows: pd.DataFrame) -> list[list[str]]:
    """Rows of rank correlation and mean absolute difference; none if nothing compares with the paper."""
    found = [agreement_with_paper(rows, measure) for measure in MEASURES]
    if not any(found):
        return []
    correlations = ["-" if a is None or np.isnan(a.rank_correlation) else f"{a.rank_correlation:.2f}" for a in found]
    differences = ["-" if a is None else f"{100 * a.mean_absolute_difference:.1f}" for a in found]
    return [["rank corr.", "", "", "", *correlations], ["mean diff.", "", "", "", *differences]]
