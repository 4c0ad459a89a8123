"""Table 1 as a terminal's table, CSV, Markdown or LaTeX. Needs no torch."""

import csv
from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from lit_shift.table1 import MEASURES, Cell, Row, agreement, by_protocol

HEADS = {"accuracy": "accuracy", "accuracy_random": "random", "consistency": "consistency", "average": "average"}
CAPTION = (
    "Ours ± standard deviation over n seeds (published, difference), percent; the three best are bold. "
    "At the foot, Spearman's rank correlation with the published values and the mean absolute difference from them."
)
DAGGER = "\u2020"
SYMBOLS: dict[str, str | int | None] = {"±": r"$\pm$", DAGGER: r"$\dagger$", "_": r"\_", "|": "$|$"}  # in LaTeX


def terminal(rows: Sequence[Row]) -> Group:
    """A table for each protocol, with its notes and its agreement with the paper below."""
    parts: list[Table | Text] = []
    for protocol, members in by_protocol(rows).items():
        table = Table("pool", "filter", "aug", "n", *HEADS.values(), title=protocol, caption=CAPTION, box=SIMPLE_HEAD)
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


def _lead(row: Row) -> list[str]:
    """What a line starts with: pool, filter, augmentation, number of seeds."""
    name = f"{row.pool} {DAGGER}" if row.notes else row.pool
    return [name, row.filter, "yes" if row.aug else "no", str(len(row.runs))]


def _styled(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-")
    return Text.assemble((ours(cell), "bold" if cell.best else ""), ("\n" + beside(cell).strip(" ()"), "dim"))


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
    """A line for each row, rates in [0, 1]; an empty cell where there is no value."""
    text = StringIO()
    columns = [f"{measure}{suffix}" for measure in MEASURES for suffix in ("", "_std", "_published")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["pool", "filter", "aug", "n", *columns, "protocol", "notes"])
    for row in rows:
        cells = [row.cells[measure] for measure in MEASURES]
        values = [value for cell in cells for value in ((cell.mean, cell.std, cell.published) if cell else [None] * 3)]
        rounded = [None if value is None else f"{value:.6g}" for value in values]
        aug = str(row.aug).lower()
        writer.writerow([row.pool, row.filter, aug, len(row.runs), *rounded, row.protocol, "; ".join(row.notes)])
    return text.getvalue()


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table for each protocol."""
    return "\n\n".join(
        "\n\n".join([f"**{protocol}**", _tabulated(members, "github", "**{}**"), CAPTION, *notes(members)])
        for protocol, members in by_protocol(rows).items()
    )


def latex(rows: Sequence[Row]) -> str:
    """A LaTeX table for each protocol."""
    tables = []
    for protocol, members in by_protocol(rows).items():
        caption = escaped(" ".join([f"{protocol}.", CAPTION, *(f"{note}." for note in notes(members))]))
        table = _tabulated(members, "latex_raw", r"\textbf{{{}}}").translate(str.maketrans(SYMBOLS))
        tables.append("\n".join([r"\begin{table}", r"\centering", table, rf"\caption{{{caption}}}", r"\end{table}"]))
    return "\n\n".join(tables)


def escaped(text: str) -> str:
    """Text for LaTeX, without commands of its own."""
    commands: dict[str, str | int | None] = {character: f"\\{character}" for character in "&%#$"}
    return text.translate(str.maketrans(SYMBOLS | commands))


def _tabulated(rows: Sequence[Row], style: str, bold: str) -> str:
    lines = []
    for row in rows:
        cells = [row.cells[measure] for measure in MEASURES]
        written = [(bold.format(ours(c)) if c.best else ours(c)) + beside(c) if c else "-" for c in cells]
        lines.append([*_lead(row), *written])
    lines += [[name, "", "", "", *cells] for name, *cells in _foot(rows)]
    return tabulate(lines, ["pool", "filter", "aug", "n", *HEADS.values()], style, disable_numparse=True)
