"""DataFrame and tables of classifiers measured along paths. Needs no torch."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from lit_shift.measures import ENDS, OF_FRAMES, Measure, along_paths
from lit_shift.results.along import Along, comparable, correct_class, grouped, under
from lit_shift.results.remarks import remarks
from lit_shift.results.writer import Cell, Table
from lit_shift.runs.findings import Findings

LEAD = ["model", "data", "images", "complete", "protocol"]
UNKNOWN = "-"


def paths(models: Sequence[Findings]) -> pd.DataFrame:
    """Return a row for each protocol and model: measures and interval ends in file units, NaN if unknown."""
    measures = [measure.name for of_top in _measures(models).values() for measure in of_top]
    columns = [f"{measure}{end}" for measure in measures for end in ("", *ENDS)]
    rows = []
    for each in under(models):
        lead = [each.name, each.data, each.images, int(each.metric("complete")), each.described]
        rows.append([*lead, *(value for measure in measures for value in each.interval(measure))])
    return pd.DataFrame(rows, columns=[*LEAD, *columns])


def tables(models: Sequence[Findings]) -> list[Table]:
    """Return a table for each k of the top-k measures, with a row for each protocol and model."""
    groups = grouped(models)
    names = Counter(group[0].protocol for group in groups)
    breaks = [sum(map(len, groups[:number])) for number in range(len(groups))]
    found: list[Table] = []
    for k, measures in _measures(models).items():
        rows: list[list[Cell | str]] = []
        for group in groups:
            compared = comparable(group)
            for number, each in enumerate(group):
                # The notes give the options, so the row has them only where they distinguish it.
                title = each.protocol if names[each.protocol] == 1 else each.described
                part = "" if each.metric("complete") else ", incomplete"
                name = Cell(each.name, f"{each.data}, n={each.images:,}{part}")
                values = (m.with_interval(*each.interval(m.name)) if m.name in compared else UNKNOWN for m in measures)
                rows.append(["" if number else title, name, *values])
        frame = pd.DataFrame(rows, columns=["protocol", "model", *(measure.heading for measure in measures)])
        if known := [measure for measure in measures if (frame[measure.heading] != UNKNOWN).any()]:
            shown = frame[["protocol", "model", *(measure.heading for measure in known)]]
            text = _caption(known, [each for group in groups for each in group])
            found.append(Table(shown, f"Along paths, top {k}", text, words=2, breaks=breaks))
    for table in found[-1:]:  # only the last table has the notes
        table.notes = [f"{group[0].described}." for group in groups if str(group[0]["options"])] + remarks(models)
    return found


def _measures(models: Sequence[Findings]) -> dict[int, list[Measure]]:
    return along_paths(key for model in models for key in model.metrics)


def _caption(measures: Sequence[Measure], members: Sequence[Along]) -> str:
    """Return a caption that explains the columns, in terms of the correct class or its stand-in."""
    told = [
        measure.axis if measure.heading in OF_FRAMES else f"{measure.heading}: {measure.axis}" for measure in measures
    ]
    return f"Mean over images (95% interval). {'; '.join(told)}.".replace("correct class", correct_class(members))
