"""Text of tables for a terminal, in Markdown or in LaTeX, and of frames in CSV. Needs no torch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

STYLES = {"best": "bold", "worst": "italic"}
# Markup of the best and worst cells, and escapes of characters with a special meaning.
MARKDOWN = {"best": "**{}**", "worst": "*{}*"}
LATEX = {"best": r"\textbf{{{}}}", "worst": r"\textit{{{}}}"}
IN_MARKDOWN = {character: f"\\{character}" for character in "\\`*_|<"}
IN_LATEX = {character: f"\\{character}" for character in "&%#$_{}"} | {"~": r"\textasciitilde{}", "²": "$^2$"}
IN_LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "\N{DAGGER}": r"$\dagger$"}
IN_LATEX |= {character: f"${character}$" for character in "|<>"}


class Cell(NamedTuple):
    """Cell of a table: its text, a secondary text beside it, and the mark ``best`` or ``worst``, if any."""

    text: str
    beside: str = ""
    mark: str = ""


@dataclass
class Table:
    """A table to be written.

    Args:
        frame: texts and :class:`Cell`, one column per heading.
        title: text above the table.
        caption: explanation of the cells, below the table.
        notes: sentences below the caption, one per line.
        words: number of leading columns that hold words and are left-aligned; the others hold numbers.
        breaks: indices of the rows before which a terminal draws a rule.
    """

    frame: pd.DataFrame
    title: str = ""
    caption: str = ""
    notes: Sequence[str] = ()
    words: int = 1
    breaks: Collection[int] = ()


def terminal(tables: Sequence[Table]) -> Group:
    """Return the tables for a terminal, one below the other."""
    parts: list[RichTable | Text] = []
    for table in tables:
        shown = RichTable(title=table.title or None, caption=table.caption or None, box=SIMPLE_HEAD)
        shown.collapse_padding, shown.pad_edge = True, False
        for place, name in enumerate(table.frame):
            numbers = place >= table.words
            # In a narrow terminal words of more than 16 letters may be broken, numbers may not.
            least = max((len(word) for cell in table.frame[name] for word in _parts(cell).text.split()), default=0)
            shown.add_column(
                name,
                justify="right" if numbers else "left",
                min_width=least if numbers else min(least, 16),
                overflow="fold",
            )
        for number, row in enumerate(table.frame.itertuples(index=False)):
            if number in table.breaks:
                shown.add_section()
            shown.add_row(*map(_styled, row))
        parts += [shown, *map(Text, table.notes)]
    return Group(*parts)


def _styled(cell: Cell | str) -> Text:
    text, beside, mark = _parts(cell)
    lines = [Text(text, STYLES.get(mark, "")), Text(beside, "dim")]
    return Text("\n").join(line for line in lines if line)


def markdown(tables: Sequence[Table]) -> str:
    """Return the tables in Markdown."""
    texts = []
    for table in tables:
        title, caption, *notes = (_escaped(text, IN_MARKDOWN) for text in (table.title, table.caption, *table.notes))
        rows = _tabulated(table, "github", MARKDOWN, IN_MARKDOWN)
        texts.append("\n\n".join(filter(None, [title and f"**{title}**", rows, caption, *notes])))
    return "\n\n".join(texts)


def latex(tables: Sequence[Table]) -> str:
    """Return the tables in LaTeX that needs no package."""
    texts = []
    for table in tables:
        sentences = [
            text if text.endswith(".") else f"{text}." for text in (table.title, table.caption, *table.notes) if text
        ]
        caption = rf"\caption{{{_escaped(' '.join(sentences), IN_LATEX)}}}"
        rows = _tabulated(table, "latex_raw", LATEX, IN_LATEX)
        texts.append("\n".join([r"\begin{table}", r"\centering", rows, caption, r"\end{table}"]))
    return "\n\n".join(texts)


def _tabulated(table: Table, format: str, marks: dict[str, str], escapes: dict[str, str]) -> str:
    def written(cell: Cell | str) -> str:
        text, beside, mark = (_escaped(part, escapes) for part in _parts(cell))
        return " ".join(filter(None, [marks.get(mark, "{}").format(text), f"({beside})" if beside else ""]))

    cells = table.frame.map(written).rename(columns=lambda name: _escaped(name, escapes))
    sides = ["left"] * table.words + ["right"] * (len(cells.columns) - table.words)
    return cells.to_markdown(index=False, tablefmt=format, disable_numparse=True, colalign=sides)


def _parts(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: rates in [0, 1], empty cells for missing values, lists joined by semicolons."""
    return frame.map(_plain).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _plain(value: object) -> object:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value
