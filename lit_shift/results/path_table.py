"""DataFrame and tables of classifiers measured along paths. Needs no torch."""

from collections import Counter
from collections.abc import Collection, Sequence

import pandas as pd

from lit_shift.measures import ENDS, FRAMES, Measure, along_paths, interval_in
from lit_shift.results.path_gallery import comparable, correct_class
from lit_shift.results.remarks import remarks
from lit_shift.results.writer import Cell, Table
from lit_shift.runs.findings import Findings

LEAD = ["model", "data", "images", "complete", "protocol"]
UNKNOWN = "-"
Measured = tuple[Findings, str]  # a model, and a protocol under which it was measured


def by_protocol(models: Sequence[Findings]) -> dict[str, list[Measured]]:
    """Group models by protocol and options, under the protocol's name and its options in words."""
    found: dict[str, list[Measured]] = {}
    for model in models:
        for protocol in model.protocols:
            options = str(model.arrays[f"{protocol}/options"])
            found.setdefault(f"{protocol} ({options})" if options else protocol, []).append((model, protocol))
    return found


def paths(models: Sequence[Findings]) -> pd.DataFrame:
    """Return a row for each protocol and model: measures and interval ends in file units, NaN if unknown."""
    keys = [key for model in models for key in model.metrics]
    measures = [measure.name for of_top in along_paths(keys).values() for measure in of_top]
    columns = [f"{measure}{end}" for measure in measures for end in ("", *ENDS)]
    rows = []
    for title, members in by_protocol(models).items():
        for model, protocol in members:
            images, complete = (int(model.metrics[f"{protocol}/{key}"]) for key in ("n", "complete"))
            intervals = [interval_in(model.metrics, f"{protocol}/{measure}") for measure in measures]
            lead = [model.name, model.config["choices"]["data"], images, complete, title]
            rows.append([*lead, *(value for interval in intervals for value in interval)])
    return pd.DataFrame(rows, columns=[*LEAD, *columns])


def tables(models: Sequence[Findings]) -> list[Table]:
    """Return a table for each k of the top-k measures, with a row for each protocol and model."""
    groups = by_protocol(models)
    compared = {title: comparable(members) for title, members in groups.items()}
    names = Counter(members[0][1] for members in groups.values())
    notes = [f"{title}." for title in groups if "(" in title] + remarks(models)
    found: list[Table] = []
    for k, measures in along_paths(key for model in models for key in model.metrics).items():
        rows: list[list[Cell | str]] = []
        breaks = []
        for title, members in groups.items():
            breaks.append(len(rows))
            for number, (model, protocol) in enumerate(members):
                # The notes give the options, so the row has them only where they distinguish it.
                name = protocol if names[protocol] == 1 else title
                lead: list[Cell | str] = ["" if number else name, _name(model, protocol)]
                rows.append([*lead, *(_written(model, protocol, each, compared[title]) for each in measures)])
        frame = pd.DataFrame(rows, columns=["protocol", "model", *(measure.heading for measure in measures)])
        known = [measure for measure in measures if (frame[measure.heading] != UNKNOWN).any()]
        if known:
            shown = frame[["protocol", "model", *(measure.heading for measure in known)]]
            found.append(Table(shown, f"Along paths, top {k}", caption(known, models), notes, words=2, breaks=breaks))
    for table in found[:-1]:
        table.notes = ()  # only the last table has the notes
    return found


def _name(model: Findings, protocol: str) -> Cell:
    """Cell of a model's name, beside the data set and the number of images."""
    part = "" if model.metrics[f"{protocol}/complete"] else ", incomplete"
    return Cell(model.name, f"{model.config['choices']['data']}, n={model.metrics[f'{protocol}/n']:,.0f}{part}")


def _written(model: Findings, protocol: str, measure: Measure, compared: Collection[str]) -> str:
    if measure.name not in compared:
        return UNKNOWN
    return measure.with_interval(*interval_in(model.metrics, f"{protocol}/{measure.name}"))


def caption(measures: Sequence[Measure], models: Sequence[Findings]) -> str:
    """Return a caption that explains the columns, in terms of the correct class or its stand-in."""
    told = [measure.axis if FRAMES in measure.taken else f"{measure.heading}: {measure.axis}" for measure in measures]
    return f"Mean over images (95% interval). {'; '.join(told)}.".replace("correct class", correct_class(models))
