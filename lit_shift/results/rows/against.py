"""Paired differences of the rows of Table 1 from one of them, over the same test images. Needs no torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lit_shift.intervals import of_difference, of_seeds
from lit_shift.measures import ENDS, measure_of
from lit_shift.results.comparison import ROW, table1
from lit_shift.results.writer import Cell, Table
from lit_shift.runs.findings import Findings
from lit_shift.utils.command import called
from lit_shift.utils.errors import InputError, unknown

# All are better if higher. Each has an array of the same name, with a value for each test image.
MEASURES = ("accuracy", "accuracy_random", "consistency")
OVER_SEEDS = tuple(f"_seeds{end}" for end in ENDS)
ENDINGS = ("", *ENDS, *OVER_SEEDS, "_mark")
COLUMNS = [f"{measure}{end}" for measure in MEASURES for end in ENDINGS]
ONE_SEED = "With a single seed, a mark says that these trained networks differ; another training might turn it round."
SEVERAL = "Of cells in which the pools do not differ, up to one in twenty is marked by chance."
MARKS = {"better": "best", "worse": "worst"}
NAMED_BY_POOL = ("max", "avg")


def against(frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the difference of each row of Table 1 from a baseline, over the same test images, with 95% intervals.

    Rows are compared with the baseline of their own recipe and augmentation; rows for which there is none are left out.

    Args:
        frame: runs, as :func:`lit_shift.results.load` returns them.
        baseline: pool and filter of a row, such as ``blur-tri5``; ``max``, ``avg`` or another pool without a filter.

    Returns:
        Columns ``recipe``, ``pool``, ``filter``, ``aug``; ``runs``, the names of the row's runs; ``baseline``; ``n``,
        the number of seeds in common; and ``images``, the number of test images on which the rows are compared.

        For ``accuracy``, ``accuracy_random`` and ``consistency``: the mean difference, row minus baseline, in [-1, 1],
        under the measure's name; the ends of its interval over images as ``..._ci95_low`` and ``..._ci95_high``; those
        over seeds as ``..._seeds_ci95_low`` and ``..._seeds_ci95_high``, NaN for fewer than two seeds in common; and
        ``..._mark``, ``better`` or ``worse`` if no interval includes 0, else empty.

        Differences are taken of each image and each seed in common, or, if there is none, of each image's mean over
        all seeds of a row.

    Raises:
        InputError: there is no such baseline, or nothing to compare with it; runs hold no values of each test image, or
            were measured on other test images.
    """
    rows = table1(frame)
    used = {name for names in rows["runs"] for name in names}
    folders = {run["name"]: run["folder"] for run in frame.to_dict("records") if run["name"] in used}
    return differences(rows, {name: Findings.load(Path(folder), name) for name, folder in folders.items()}, baseline)


def differences(rows: pd.DataFrame, models: Mapping[str, Findings], baseline: str) -> pd.DataFrame:
    """Return the DataFrame of :func:`against` for rows of Table 1 and their runs, by name."""
    bases = _bases(rows, baseline)
    if rows.empty:
        raise InputError(f"There is no finished training to compare with {baseline}.")
    if not bases:
        raise unknown("row", baseline, dict.fromkeys(names_of(row)[0] for row in rows.to_dict("records")))
    pairs = [(row, bases[key]) for row in rows.to_dict("records") if (key := (row["recipe"], row["aug"])) in bases]
    pairs = [(row, base) for row, base in pairs if row["runs"] != base["runs"]]
    if not pairs:
        raise InputError(
            f"There is nothing to compare with {baseline}: train another pool or filter by the same recipe, with the "
            "same augmentation."
        )
    _check_measured([models[name] for pair in pairs for row in pair for name in row["runs"]])
    found = [
        {name: row[name] for name in (*ROW, "runs")}
        | {"baseline": baseline}
        | _difference([models[name] for name in row["runs"]], [models[name] for name in base["runs"]])
        for row, base in pairs
    ]
    return pd.DataFrame(found, columns=[*ROW, "runs", "baseline", "n", "images", *COLUMNS])


def _bases(rows: pd.DataFrame, baseline: str) -> dict[tuple[str, bool], dict[str, Any]]:
    """Return the baseline's rows, by recipe and augmentation."""
    return {(row["recipe"], row["aug"]): row for row in rows.to_dict("records") if baseline in names_of(row)}


def names_of(row: Mapping[str, Any]) -> list[str]:
    """Return the names that a row is known by, the shortest first: ``max`` and ``max-delta``, or ``blur-tri5``."""
    if row["filter"] == "-":
        return [row["pool"]]
    full = f"{row['pool']}-{row['filter']}"
    return [row["pool"], full] if row["pool"] in NAMED_BY_POOL else [full]


def _check_measured(runs: list[Findings]) -> None:
    """Raise an InputError if a run lacks values of each of its test images."""
    lacking = dict.fromkeys(
        run.name
        for run in runs
        for measure in MEASURES
        if measure not in run.arrays or len(run.arrays[measure]) != len(run.arrays.get("labels", ()))
    )
    if lacking:
        raise InputError(
            f"A paired comparison needs the values of each test image, which are missing in {', '.join(lacking)}: "
            f"measure again by {called('eval')} ckpt=RUN."
        )


def _difference(row: list[Findings], base: list[Findings]) -> dict[str, Any]:
    """Return the differences between the runs of two rows, with their intervals and marks."""
    labels = base[0].arrays["labels"]
    for run in row + base:
        if not np.array_equal(run.arrays["labels"], labels):
            raise InputError(
                f"{run.name} and {base[0].name} were measured on different test images, whose labels differ: compare "
                "runs of one data set."
            )
    ours, theirs = ({run.config["seed"]: _values(run) for run in runs} for runs in (row, base))
    if common := [seed for seed in ours if seed in theirs]:
        found = np.stack([ours[seed] - theirs[seed] for seed in common])
    else:
        found = np.mean([*ours.values()], axis=0, keepdims=True) - np.mean([*theirs.values()], axis=0)
    found = found[..., np.isfinite(found).all((0, 1))]  # (seeds, measures, images)
    if not found.size:
        raise InputError(f"No test image was answered with finite numbers by both {row[0].name} and {base[0].name}.")
    by_image, by_seed, images = found.mean(0), found.mean(2).T, found.shape[2]
    gain, loss = (np.maximum(sign * by_image, 0).mean(1) for sign in (1, -1))
    ends = [*of_difference(gain, loss, np.square(by_image).mean(1), images)]
    ends += of_seeds(by_seed) if len(common) > 1 else [np.full(len(MEASURES), np.nan)] * 2
    values = [by_image.mean(1), *ends, _marks(np.array(ends))]
    columns = (f"{measure}{end}" for end in ENDINGS for measure in MEASURES)
    return {"n": len(common), "images": images} | dict(zip(columns, np.concatenate(values, dtype=object), strict=True))


def _values(run: Findings) -> np.ndarray:
    """Return a run's values of each image, (measures, images)."""
    return np.array([run.arrays[measure] for measure in MEASURES], float)


def _marks(ends: np.ndarray) -> np.ndarray:
    """Return ``better`` or ``worse`` for each measure whose intervals (ends, measures) are all on that side of 0.

    Ends that are missing are NaN.
    """
    known = ~np.isnan(ends)
    above, below = ((sign * ends > 0).sum(0) == known.sum(0) for sign in (1, -1))
    return np.select([above, below], ["better", "worse"], "")


def for_csv(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the columns for a CSV file: differences in [-1, 1], and the ends of their intervals."""
    return compared[["pool", "filter", "aug", "baseline", "n", "images", *COLUMNS, "recipe"]]


def tables(compared: pd.DataFrame, rows: pd.DataFrame) -> list[Table]:
    """Return a table for each recipe and augmentation: the baseline's rates, then the differences from it.

    Args:
        compared: differences, from :func:`against`.
        rows: Table 1 of the same runs.
    """
    heads, made = ["row", "95% over", *(measure_of(measure).heading for measure in MEASURES)], []
    for (recipe, aug), members in compared.groupby(["recipe", "aug"]):
        baseline = members["baseline"].iloc[0]
        base = _bases(rows, baseline)[recipe, aug]
        cells = [[baseline, "", *(measure_of(measure).written(base[measure], decimals=2) for measure in MEASURES)]]
        cells += [line for row in members.to_dict("records") for line in _lines(row)]
        images = " or ".join(f"{images:,}" for images in members["images"].unique())
        seeds = " and over the seeds in common" if (members["n"] > 1).any() else ""
        caption = (
            f"Rates of {baseline} in percent, then differences from it on the same {images} test images in percentage "
            f"points, with 95% intervals over these images{seeds}. Bold is better and italic worse: no interval "
            "includes 0."
        )
        frame, title = pd.DataFrame(cells, columns=heads), f"{recipe}, {_augmentation(aug)}"
        made.append(Table(frame, title, caption, words=2, breaks={1}))
    for table in made[-1:]:  # only the last table has the note
        table.notes = [ONE_SEED] if (compared["n"] < 2).any() else [SEVERAL]
    return made


def alone(compared: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Return a sentence on the rows of each recipe and augmentation that have no baseline."""
    baseline = compared["baseline"].iloc[0]
    return [
        f"No {baseline} to compare with: {', '.join(names_of(row)[0] for row in members.to_dict('records'))} "
        f"({recipe}, {_augmentation(aug)})."
        for (recipe, aug), members in rows.groupby(["recipe", "aug"])
        if (recipe, aug) not in _bases(rows, baseline)
    ]


def _augmentation(aug: bool) -> str:
    return f"{'with' if aug else 'without'} shift augmentation"


def _lines(row: Mapping[str, Any]) -> Iterator[list[Cell | str]]:
    """Yield the line of differences and intervals over images, and that of intervals over seeds if there are any."""
    cells = [
        Cell(_points(row[measure]), _interval(row, measure, ENDS), MARKS.get(row[f"{measure}_mark"], ""))
        for measure in MEASURES
    ]
    yield [names_of(row)[0], "images", *cells]
    if row["n"] > 1:
        yield ["", f"{row['n']} seeds", *(Cell("", _interval(row, measure, OVER_SEEDS)) for measure in MEASURES)]


def _interval(row: Mapping[str, Any], measure: str, ends: Sequence[str]) -> str:
    return " .. ".join(_points(row[f"{measure}{end}"]) for end in ends)


def _points(difference: float) -> str:
    """Format a difference in percentage points, with its sign unless it is 0."""
    text = f"{100 * difference:+.2f}"
    return text if float(text) else "0.00"
