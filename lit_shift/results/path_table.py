"""Classifiers along paths as a table for a terminal, CSV, Markdown or LaTeX. Needs no torch."""

import csv
import math
from collections.abc import Iterator, Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text
from tabulate import tabulate

from lit_shift.results.formats import escaped
from lit_shift.results.path_gallery import ALL, by_answer, comparable, correct_class, interval
from lit_shift.results.remarks import remarks
from lit_shift.runs.findings import Findings, without_old
from lit_shift.units import factor

# In 80 columns.
SHOWN: tuple[str, ...] = ("accuracy", "agreement", "jaggedness_top1", "jaggedness_rate_top1", "jagged_fraction_top1")
SHOWN += ("jaggedness_top5", "jaggedness_rate_top5", "mad")
WORDS = {"jaggedness_rate": "changes_per step", "jaggedness": "changes", "jagged_fraction": "changing"}


def caption(models: Sequence[Findings]) -> str:
    """What the columns of these models' tables are."""
    measured = [(model, protocol) for model in models for protocol in model.protocols]
    rates = {
        "accuracy: over all frames": not all(by_answer(*each) for each in measured),
        "agreement: with the answer on the whole image, over all frames": any(by_answer(*each) for each in measured),
    }
    name = " or ".join(dict.fromkeys(correct_class([model], protocol) for model, protocol in measured))
    return (
        f"Mean over images, and its 95% interval. {'; '.join(r for r in rates if rates[r])}; "
        f"changes: jaggedness, how often the {name} enters or leaves the k most probable along the path, or per step "
        "where paths differ in length; changing: images where it does; mad: mean absolute change of its probability "
        "per step. Percent, but for changes along the path."
    )


def by_protocol(models: Sequence[Findings]) -> dict[str, list[tuple[Findings, str]]]:
    """Models measured under the same protocol with the same options, by its name and options in words."""
    found: dict[str, list[tuple[Findings, str]]] = {}
    for model in models:
        for protocol in model.protocols:
            with without_old():
                options = str(model.arrays[f"{protocol}/options"])
                found.setdefault(f"{protocol} ({options})" if options else protocol, []).append((model, protocol))
    return found


def terminal(models: Sequence[Findings]) -> Group:
    """A table for each protocol."""
    parts: list[Table | Text] = []
    for title, members in by_protocol(models).items():
        columns = [column for column in _measured(members) if column in SHOWN]
        table = Table(Column("model", overflow="fold", min_width=16), title=title, box=SIMPLE_HEAD)
        table.collapse_padding, table.pad_edge = True, False
        for column in columns:
            table.add_column(_head(column).replace("_", "\n"), justify="right", overflow="fold")
        for model, protocol in members:
            name, data, images = _lead(model, protocol)
            cells = [_written(model, protocol, column, "\n") for column in columns]
            table.add_row(Text.assemble(name, "\n", (f"{data}, n={images}", "dim")), *cells)
        parts.append(table)
    return Group(*parts, *map(Text, [caption(models), *remarks(models)])) if parts else Group()


def comma_separated(models: Sequence[Findings]) -> str:
    """A line for each model and protocol, rates in [0, 1]; an empty cell where there is no value."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = ("", "_ci95_low", "_ci95_high")
    measures = [column + end for column in ALL for end in ends]
    writer.writerow(["model", "data", "images", "complete", "protocol", *measures])
    for title, members in by_protocol(models).items():
        for model, protocol in members:
            values = [value for column in ALL for value in interval(model, f"{protocol}/{column}")]
            rounded = ["" if math.isnan(value) else f"{value:.6g}" for value in values]
            counted = [f"{model.metrics[f'{protocol}/{key}']:.0f}" for key in ("n", "complete")]
            writer.writerow([*_lead(model, protocol)[:2], *counted, title, *rounded])
    return text.getvalue()


def markdown(models: Sequence[Findings]) -> str:
    """A Markdown table for each protocol."""
    tables = [f"**{title}**\n\n{table}\n\n{caption(models)}" for title, table in _tabulated(models, "github")]
    return "\n\n".join([*tables, *remarks(models)])


def latex(models: Sequence[Findings]) -> str:
    """A LaTeX table for each protocol."""
    tables = []
    for title, table in _tabulated(models, "latex"):
        text = escaped(f"{title}. {caption(models)}")
        tables.append("\n".join([r"\begin{table}", r"\centering", table, rf"\caption{{{text}}}", r"\end{table}"]))
    return "\n\n".join(tables)


def _tabulated(models: Sequence[Findings], style: str) -> Iterator[tuple[str, str]]:
    for title, members in by_protocol(models).items():
        columns = _measured(members)
        lines = [[*_lead(model, p), *(_written(model, p, column, " ") for column in columns)] for model, p in members]
        yield (
            title,
            tabulate(
                lines,
                ["model", "data", "images", *(_head(column).replace("_", " ") for column in columns)],
                style,
                disable_numparse=True,
            ),
        )


def _head(column: str) -> str:
    for measure, words in WORDS.items():
        column = column.replace(measure, words)
    return column


def _measured(members: Sequence[tuple[Findings, str]]) -> list[str]:
    found = (name for name in ALL if any(f"{protocol}/{name}" in model.metrics for model, protocol in members))
    return [name for name in found if name in comparable(members)]


def _lead(model: Findings, protocol: str) -> list[str]:
    part = "" if model.metrics[f"{protocol}/complete"] else " (incomplete)"
    return [model.name, model.config["choices"]["data"], f"{model.metrics[f'{protocol}/n']:.0f}{part}"]


def _written(model: Findings, protocol: str, column: str, between: str) -> str:
    """For people: in percent, but for what is a number."""
    mean, low, high = (factor(column) * value for value in interval(model, f"{protocol}/{column}"))
    if math.isnan(mean):
        return "-"
    return f"{mean:.3g}" + ("" if math.isnan(low) else f"{between}{_short(low)}-{_short(high)}")


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
