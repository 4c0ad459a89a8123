"""Table 1 as a terminal's table, CSV, Markdown or LaTeX. Needs no torch."""

import csv
from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from lit_shift.results.table1 import MEASURES, Cell, Row, agreement, any_published, by_protocol

HEADS = {"accuracy": "accuracy", "accuracy_random": "random", "consistency": "consistency", "average": "average"}
MARKS = "the three best are bold, the three worst italic"
CAPTION = f"Mean ± standard deviation over n seeds, percent; {MARKS}."
BESIDE = (
    f"Ours ± standard deviation over n seeds (published, difference), percent; {MARKS}. "
    "At the foot, Spearman's rank correlation with the published values and the mean absolute difference from them."
)
DAGGER = "\u2020"
SYMBOLS: dict[str, str | int | None] = {"±": r"$\pm$", DAGGER: r"$\dagger$", "_": r"\_", "|": "$|$"}  # in LaTeX


def terminal(rows: Sequence[Row]) -> Group:
    """A table for each protocol, with its notes and its agreement with the paper below."""
    parts: list[Table | Text] = []
    for protocol, members in by_protocol(rows).items():
        heads = ("pool", "filter", "aug", "n", *HEADS.values())
        table = Table(*heads, title=protocol, caption=caption(members), box=SIMPLE_HEAD)
        table.collapse_padding, table.pad_edge = True, False
        for row in members:
            cells = [_styled(row.cells[measure]) for measure in MEASURES]
            table.add_row(*_lead(row), *cells)
        if foot := _foot(members):
            table.add_section()
            for name, *figures in foot:
                table.add_row(name, "", "", "", *figures)
        parts += [table, *(Text(note) for note in notes(members))]
    return Group(*parts)


def caption(rows: Sequence[Row]) -> str:
    """What the cells of some rows mean."""
    return BESIDE if any_published(rows) else CAPTION


def _lead(row: Row) -> list[str]:
    """What a line starts with: pool, filter, augmentation, number of seeds."""
    name = f"{row.pool} {DAGGER}" if row.notes else row.pool
    return [name, row.filter, "yes" if row.aug else "no", str(len(row.runs))]


def _styled(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-")
    style = "bold" if cell.best else "italic" if cell.worst else ""
    below = "" if cell.published is None else "\n" + beside(cell).strip(" ()")
    return Text.assemble((ours(cell), style), (below, "dim"))


def ours(cell: Cell) -> str:
    """``93.2 ± 0.1``."""
    return f"{100 * cell.mean:.1f}" + ("" if cell.std is None else f" ± {100 * cell.std:.1f}")


def beside(cell: Cell) -> str:
    """`` (93.3, -0.1)``: the published value and the difference; nothing where there is none."""
    if cell.published is None:
        return ""
    return f" ({100 * cell.published:.1f}, {100 * (cell.mean - cell.published):+.1f})"


def notes(rows: Sequence[Row]) -> list[str]:
    """What is to be known of rows of one protocol, a line each."""
    of_note: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            of_note.setdefault(note, []).append(f"{row.pool} {row.filter} {'aug' if row.aug else 'noaug'}")
    who = {note: "all rows" if len(names) == len(rows) else ", ".join(names) for note, names in of_note.items()}
    return [f"{DAGGER} {names}: {note}" for note, names in who.items()]


def _foot(rows: Sequence[Row]) -> list[list[str]]:
    """Rank correlation and mean absolute difference, where anything can be compared with the paper."""
    agreements = [agreement(rows, measure) for measure in MEASURES]
    if not any(agreements):
        return []
    correlations = ["-" if a is None or a.rank_correlation is None else f"{a.rank_correlation:.2f}" for a in agreements]
    differences = ["-" if a is None else f"{100 * a.mean_absolute_difference:.1f}" for a in agreements]
    return [["rank corr.", *correlations], ["mean diff.", *differences]]


def comma_separated(rows: Sequence[Row]) -> str:
    """A line for each row, rates in [0, 1]; an empty cell where there is no value.

    Columns of published values are there if any row has one.
    """
    text = StringIO()
    suffixes = ("", "_std", "_published") if any_published(rows) else ("", "_std")
    columns = [f"{measure}{suffix}" for measure in MEASURES for suffix in suffixes]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["pool", "filter", "aug", "n", *columns, "protocol", "notes"])
    for row in rows:
        cells = [row.cells[measure] for measure in MEASURES]
        triples = [(cell.mean, cell.std, cell.published) if cell else (None, None, None) for cell in cells]
        values = [value for triple in triples for value in triple[: len(suffixes)]]
        rounded = [None if value is None else f"{value:.6g}" for value in values]
        aug = str(row.aug).lower()
        writer.writerow([row.pool, row.filter, aug, len(row.runs), *rounded, row.protocol, "; ".join(row.notes)])
    return text.getvalue()


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table for each protocol."""
    return "\n\n".join(
        "\n\n".join(
            [f"**{protocol}**", _tabulated(members, "github", ("**{}**", "*{}*")), caption(members), *notes(members)]
        )
        for protocol, members in by_protocol(rows).items()
    )


def latex(rows: Sequence[Row]) -> str:
    """A LaTeX table for each protocol."""
    tables = []
    for protocol, members in by_protocol(rows).items():
        below = escaped(" ".join([f"{protocol}.", caption(members), *(f"{note}." for note in notes(members))]))
        marks = (r"\textbf{{{}}}", r"\textit{{{}}}")
        table = _tabulated(members, "latex_raw", marks).translate(str.maketrans(SYMBOLS))
        tables.append("\n".join([r"\begin{table}", r"\centering", table, rf"\caption{{{below}}}", r"\end{table}"]))
    return "\n\n".join(tables)


def escaped(text: str) -> str:
    """Text for LaTeX, without commands of its own."""
    commands: dict[str, str | int | None] = {character: f"\\{character}" for character in "&%#$"}
    return text.translate(str.maketrans(SYMBOLS | commands))


def _tabulated(rows: Sequence[Row], style: str, marks: tuple[str, str]) -> str:
    best, worst = marks
    lines = []
    for row in rows:
        cells = [row.cells[measure] for measure in MEASURES]
        written = []
        for cell in cells:
            mark = best if cell and cell.best else worst if cell and cell.worst else "{}"
            written.append(mark.format(ours(cell)) + beside(cell) if cell else "-")
        lines.append([*_lead(row), *written])
    lines += [[name, "", "", "", *cells] for name, *cells in _foot(rows)]
    return tabulate(lines, ["pool", "filter", "aug", "n", *HEADS.values()], style, disable_numparse=True)
