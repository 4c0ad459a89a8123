"""Zhang's Table 1 from finished runs: seeds averaged, the published value beside each. Needs no torch."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from scipy.stats import spearmanr

from lit_shift import published
from lit_shift.filters import FILTERS
from lit_shift.runs.findings import Findings
from lit_shift.runs.recipe import PAPERS, of_cifar10, own_pool, protocol

MEASURES = ("accuracy", "accuracy_random", "consistency", "average")
MARKED = 3  # at the top and at the bottom, as in the paper

# Rates in [0, 1] by filter and augmentation.
PUBLISHED = {
    (row["filter"], row["aug"] == "true"): {measure: round(float(row[measure]) / 100, 4) for measure in MEASURES}
    for row in published.load("zhang_table1")
}


Options = tuple[tuple[str, str], ...]  # names and values


@dataclass
class Cell:
    """A measure over seeds: mean, standard deviation (None for one seed), published value (None where there is none).

    ``best`` where the mean is among the three best of the rows of its protocol and augmentation, ``worst`` where it is
    among the three worst; marked where that leaves rows unmarked.
    """

    mean: float
    std: float | None
    published: float | None
    best: bool = False
    worst: bool = False


@dataclass
class Row:
    """A row of the table: what was trained and, by measure, what came out; None where a run lacks the measure.

    ``notes`` say what keeps the row from comparing with the published one or with its neighbours.
    """

    protocol: str
    pool: str
    filter: str
    aug: bool
    runs: list[Findings]
    cells: dict[str, Cell | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Agreement:
    """How a measure compares with the published one over the rows of a protocol.

    ``rank_correlation`` is Spearman's, None for fewer than three rows.
    """

    rows: int
    rank_correlation: float | None
    mean_absolute_difference: float


def filter_of(config: Mapping[str, Any]) -> str:
    """The low-pass filter of a run's pool: ``delta`` of plain max pooling, ``-`` where its config names none."""
    return {"max": "delta", "avg": "rect6"}.get(config["choices"]["pool"]) or config["pool"].get("filter", "-")


def published_rates(config: Mapping[str, Any]) -> Mapping[str, float]:
    """What the paper's Table 1 has beside a run, in [0, 1]: of its max pools on CIFAR-10, with whatever filter."""
    comparable = config["choices"]["pool"] in ("max", "blur") and of_cifar10(config)
    return PUBLISHED.get((filter_of(config), config["aug"]), {}) if comparable else {}


def build(runs: Iterable[Findings]) -> list[Row]:
    """Rows in the paper's order, protocol by protocol; of runs that differ in nothing, the last one counts."""
    groups: dict[tuple[str, str, Options, str, bool], list[Findings]] = defaultdict(list)
    for run in runs:
        config = run.config
        made = tuple(own_pool(config).items())
        groups[protocol(config), config["choices"]["pool"], made, filter_of(config), config["aug"]].append(run)
    namesakes: dict[tuple[str, str], list[Options]] = defaultdict(list)
    for words, pool, made, *_ in groups:
        namesakes[words, pool].append(made)
    rows = [
        _row(words, _named(pool, made, namesakes[words, pool]), filter, aug, members)
        for (words, pool, made, filter, aug), members in groups.items()
    ]
    rows.sort(key=lambda row: (row.protocol, _place(row.filter), row.pool != "max", row.pool, row.aug))
    for members in by_protocol(rows).values():
        for aug in (False, True):
            _mark([row for row in members if row.aug == aug])
    return rows


def _named(pool: str, made: Options, namesakes: Iterable[Options]) -> str:
    """A pool's name, and of one's own what others of that name in the same table do not share."""
    own = [f"{name}={value}" for name, value in made if any((name, value) not in other for other in namesakes)]
    return f"{pool} ({', '.join(own)})" if own else pool


def by_protocol(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows in groups that may be compared."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.protocol].append(row)
    return groups


def _place(filter: str) -> float:
    return FILTERS.index(filter) if filter in FILTERS else math.inf


def _row(protocol: str, pool: str, filter: str, aug: bool, runs: Sequence[Findings]) -> Row:
    last = {run.config["seed"]: run for run in runs}
    row = Row(protocol, pool, filter, aug, [last[seed] for seed in sorted(last)])
    if protocol != PAPERS:
        row.notes.append("not the paper's protocol, which is CIFAR-10, VGG13 of width 64, 200 epochs, circular")
    for seed, count in Counter(run.config["seed"] for run in runs).items():
        if count > 1:
            row.notes.append(f"seed {seed} was trained {count} times: the last counts")
    for run in row.runs:
        if run.metrics.get("test/complete", 1) == 0:
            row.notes.append(f"{run.name} was measured on a sample of {run.metrics['test/images']:,.0f} test images")
    for shifts in {run.metrics["test/shifts"] for run in row.runs if run.metrics.get("test/exact") == 0}:
        row.notes.append(f"a sample of {shifts:.0f} shifts an image")
    for measure in MEASURES:
        values = [value for run in row.runs if (value := rate(run.metrics, measure)) is not None]
        row.cells[measure] = None
        if len(values) == len(row.runs):
            std = stdev(values) if len(values) > 1 else None
            row.cells[measure] = Cell(mean(values), std, published_rates(row.runs[0].config).get(measure))
        else:
            row.notes.append(f"{measure} was not measured in every run")
    return row


def rate(metrics: Mapping[str, float], measure: str) -> float | None:
    """A measure of a run in [0, 1]; ``average`` is the mean of accuracy and consistency, as in the paper."""
    if measure == "average":
        both = [rate(metrics, part) for part in ("accuracy", "consistency")]
        return None if None in both else mean(both)  # type: ignore[type-var]
    value = metrics.get(f"test/{measure}")
    return value if value is not None and math.isfinite(value) else None


def _mark(rows: Sequence[Row]) -> None:
    for measure in MEASURES:
        cells = [cell for row in rows if (cell := row.cells[measure])]
        cells.sort(key=lambda cell: -cell.mean)
        if len(cells) > MARKED:
            for cell in cells[:MARKED]:
                cell.best = True
        if len(cells) >= 2 * MARKED:
            for cell in cells[-MARKED:]:
                cell.worst = True


def any_published(rows: Iterable[Row]) -> bool:
    """Whether anything was published beside any of some rows."""
    return any(cell and cell.published is not None for row in rows for cell in row.cells.values())


def agreement(rows: Iterable[Row], measure: str) -> Agreement | None:
    """How a measure of rows of one protocol agrees with the published; None where nothing can be compared."""
    cells = [cell for row in rows if (cell := row.cells[measure])]
    pairs = [(cell.mean, cell.published) for cell in cells if cell.published is not None]
    if not pairs:
        return None
    ours, theirs = zip(*pairs, strict=True)
    correlation = None
    if len(pairs) > 2 and len(set(ours)) > 1 and len(set(theirs)) > 1:
        correlation = float(spearmanr(ours, theirs).statistic)
    return Agreement(len(pairs), correlation, mean(abs(a - b) for a, b in pairs))
