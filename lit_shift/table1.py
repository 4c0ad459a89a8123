"""Zhang's Table 1 from finished runs: seeds averaged, the published value beside each. Needs no torch."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from scipy.stats import spearmanr

from lit_shift import published
from lit_shift.findings import Findings

MEASURES = ("accuracy", "accuracy_random", "consistency", "average")
BEST = 3

PUBLISHED = {(row["filter"], row["aug"] == "true"): row for row in published.load("zhang_table1")}
ORDER = list(dict.fromkeys(filter for filter, _ in PUBLISHED))

# What tells rows of one protocol apart, and what does not change what is measured.
_ROW = ("pool", "filter", "aug", "seed", "choices")
_NO_MATTER = (
    *("runs", "fresh", "logger", "compile", "callbacks"),
    *("trainer.accelerator", "trainer.devices", "trainer.strategy", "data.eval_batch_size"),
)
_FOLLOW = ("data._target_", "data.aug", "data.seed", "data.padding", "model.padding", "classes")
PAPERS = "CIFAR-10, VGG13 of width 64, 200 epochs, circular boundaries"
_PAPER = {"data": "cifar10", "model.width": 64, "trainer.max_epochs": 200, "padding": "circular", "data.val_size": 0}


@dataclass
class Cell:
    """A measure over seeds: mean, standard deviation (None for one seed), published value (None where there is none).

    ``best`` where the mean is among the three best of the rows of its protocol and augmentation.
    """

    mean: float
    std: float | None
    published: float | None
    best: bool = False


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

    @property
    def family(self) -> str:
        return family(self.filter)

    @property
    def taps(self) -> int:
        return taps(self.filter)


@dataclass(frozen=True)
class Agreement:
    """How a measure compares with the published one over the rows of a protocol.

    ``rank_correlation`` is Spearman's, None for fewer than three rows.
    """

    rows: int
    rank_correlation: float | None
    mean_absolute_difference: float


def family(filter: str) -> str:
    """``tri`` of ``tri5``."""
    return filter.rstrip("0123456789")


def taps(filter: str) -> int:
    """5 of ``tri5``, 1 of ``delta``."""
    return int(filter.removeprefix(family(filter)) or 1)


def filter_of(config: Mapping[str, Any]) -> str:
    """The low-pass filter of a run's pool: plain max pooling has ``delta``, average pooling ``rect6``."""
    return {"max": "delta", "avg": "rect6"}.get(config["choices"]["pool"]) or config["pool"].get("filter", "delta")


def published_rate(pool: str, filter: str, aug: bool, measure: str) -> float | None:
    """A number of the paper's Table 1 in [0, 1]: of its max pools, with whatever filter."""
    row = PUBLISHED.get((filter, aug)) if pool in ("max", "blur") else None
    return round(float(row[measure]) / 100, 4) if row else None


def build(runs: Sequence[Findings]) -> list[Row]:
    """Rows in the paper's order, protocol by protocol."""
    names = protocols(runs)
    groups: dict[tuple[str, str, str, bool], list[Findings]] = defaultdict(list)
    for run, protocol in zip(runs, names, strict=True):
        config = run.config
        groups[protocol, config["choices"]["pool"], filter_of(config), config["aug"]].append(run)
    rows = [_row(Row(*key, *_newest_of_each_seed(members))) for key, members in groups.items()]
    rows.sort(key=lambda row: (row.protocol, _place(row.filter), row.pool != "max", row.pool, row.aug))
    images = {id(row): {run.metrics.get("test/images") for run in row.runs} for row in rows}
    for protocol in {row.protocol for row in rows}:
        members = [row for row in rows if row.protocol == protocol]
        usual = Counter(count for row in members for count in images[id(row)]).most_common(1)[0][0]
        for row in members:
            if not all(is_papers(run.config) for run in row.runs):
                row.notes.insert(0, f"not the paper's protocol, which is {PAPERS}")
            row.notes += [f"measured on {count:,.0f} images" for count in images[id(row)] if count and count != usual]
        for aug in (False, True):
            _mark_best([row for row in members if row.aug == aug])
    return rows


def _place(filter: str) -> float:
    return ORDER.index(filter) if filter in ORDER else math.inf


def _newest_of_each_seed(runs: list[Findings]) -> tuple[list[Findings], dict[str, Any], list[str]]:
    """The runs that count, no cells yet, and a note where a seed was trained more than once."""
    newest = {run.config["seed"]: run for run in runs}
    again = [seed for seed, count in Counter(run.config["seed"] for run in runs).items() if count > 1]
    notes = [f"seed {seed} was trained several times: the last counts" for seed in sorted(again)]
    return [newest[seed] for seed in sorted(newest)], {}, notes


def _row(row: Row) -> Row:
    for measure in MEASURES:
        values = [value for run in row.runs if (value := rate(run.metrics, measure)) is not None]
        row.cells[measure] = None
        if len(values) == len(row.runs):
            std = stdev(values) if len(values) > 1 else None
            row.cells[measure] = Cell(mean(values), std, published_rate(row.pool, row.filter, row.aug, measure))
        else:
            row.notes.append(f"{measure} was not measured in every run")
    sampled = {run.metrics["test/shifts"] for run in row.runs if run.metrics.get("test/exact") == 0}
    row.notes += [f"a sample of {shifts:.0f} shifts an image" for shifts in sampled]
    return row


def rate(metrics: Mapping[str, float], measure: str) -> float | None:
    """A measure of a run in [0, 1]; ``average`` is the mean of accuracy and consistency, as in the paper."""
    if measure == "average":
        both = [rate(metrics, part) for part in ("accuracy", "consistency")]
        return None if None in both else mean(both)  # type: ignore[type-var]
    return metrics.get(f"test/{measure}")


def _mark_best(rows: Sequence[Row]) -> None:
    for measure in MEASURES:
        cells = [cell for row in rows if (cell := row.cells[measure])]
        if len(cells) > BEST:
            for cell in sorted(cells, key=lambda cell: -cell.mean)[:BEST]:
                cell.best = True


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


def protocols(runs: Sequence[Findings]) -> list[str]:
    """What each run was trained and measured on, in words that differ exactly where the configs do.

    Data, network, epochs and boundary are always named; anything else where it is not the same in all runs.
    """
    settings = [_settings(run.config) for run in runs]
    usual: dict[str, Any] = {}
    for key in dict.fromkeys(key for setting in settings for key in setting):
        values = [str(setting.get(key)) for setting in settings]
        usual[key] = Counter(values).most_common(1)[0][0]
    names = []
    for run, setting in zip(runs, settings, strict=True):
        config, model = run.config, re.sub(r"_slim$", "", run.config["choices"]["model"])
        parts = [config["choices"]["data"], f"{model} of width {setting.get('model.width')}"]
        parts.append(f"{setting['trainer.max_epochs']} epochs")
        if setting["padding"] != "circular":
            parts.append(f"padding {setting['padding']}")
        named = ("data", "model.width", "trainer.max_epochs", "padding")
        others = [key for key in setting if key not in named and str(setting[key]) != usual[key]]
        parts += [f"{key}={setting[key]}" for key in others]
        names.append(", ".join(parts))
    return names


def is_papers(config: Mapping[str, Any]) -> bool:
    """Whether a run followed the paper's protocol, as far as the paper tells it."""
    setting = _settings(config)
    return all(setting.get(key) == value for key, value in _PAPER.items())


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the protocol of a run, flat: ``trainer.max_epochs`` and so on."""
    flat = {"data": config["choices"]["data"]}
    stack = [(key, value) for key, value in config.items() if key not in (*_ROW, *_NO_MATTER)]
    for key, value in stack:
        if isinstance(value, Mapping):
            stack += [(f"{key}.{name}", inner) for name, inner in value.items()]
        elif not key.startswith((*_NO_MATTER, *_FOLLOW)) and not (key == "data.root" and flat["data"] == "cifar10"):
            flat[key] = value
    return flat
