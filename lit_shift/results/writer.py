"""A table as text: for a terminal, in Markdown or in LaTeX; and a frame as CSV. Needs no torch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

STYLES = {"best": "bold", "worst": "italic"}
# The marks of the best and the worst cells, and what must not be read as a command.
MARKDOWN = {"best": "**{}**", "worst": "*{}*"}
LATEX = {"best": r"\textbf{{{}}}", "worst": r"\textit{{{}}}"}
IN_MARKDOWN = {character: f"\\{character}" for character in "\\`*_|<"}
IN_LATEX = {character: f"\\{character}" for character in "&%#$_{}"} | {"~": r"\textasciitilde{}", "²": "$^2$"}
IN_LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "\N{DAGGER}": r"$\dagger$"}
IN_LATEX |= {character: f"${character}$" for character in "|<>"}


class Cell(NamedTuple):
    """A text, a lighter one beside it, and ``best`` or ``worst`` where it is marked as such."""

    text: str
    beside: str = ""
    mark: str = ""


@dataclass
class Table:
    """What is written.

    Args:
        frame: a column for each heading, of texts and :class:`Cell`.
        title: over it.
        caption: under it, what the cells mean.
        notes: sentences under that, a line each.
        words: so many columns, the first, are of words, and flush left; the others are of numbers.
        breaks: rows before which a terminal has a rule.
    """

    frame: pd.DataFrame
    title: str = ""
    caption: str = ""
    notes: Sequence[str] = ()
    words: int = 1
    breaks: Collection[int] = ()


def terminal(tables: Sequence[Table]) -> Group:
    """The tables one below the other, in as many columns as there are."""
    parts: list[RichTable | Text] = []
    for table in tables:
        shown = RichTable(title=table.title or None, caption=table.caption or None, box=SIMPLE_HEAD)
        shown.collapse_padding, shown.pad_edge = True, False
        for place, name in enumerate(table.frame):
            numbers = place >= table.words
            # Numbers are kept whole, words are broken where a line is short.
            least = max((len(word) for cell in table.frame[name] for word in _parts(cell).text.split()), default=0)
            shown.add_column(
                name, justify="right" if numbers else "left", min_width=least if numbers else None, overflow="fold"
            )
        for number, row in enumerate(table.frame.itertuples(index=False)):
            if number in table.breaks:
                shown.add_section()
            shown.add_row(*map(_styled, row))
        parts += [shown, *map(Text, table.notes)]
    return Group(*parts)


def _styled(cell: Cell | str) -> Text:
    text, beside, mark = _parts(cell)
    return Text.assemble((text, STYLES.get(mark, "")), (f"\n{beside}" if beside else "", "dim"))


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown."""
    texts = []
    for table in tables:
        title, caption, *notes = (_escaped(text, IN_MARKDOWN) for text in (table.title, table.caption, *table.notes))
        rows = _tabulated(table, "github", MARKDOWN, IN_MARKDOWN)
        texts.append("\n\n".join(filter(None, [title and f"**{title}**", rows, caption, *notes])))
    return "\n\n".join(texts)


def latex(tables: Sequence[Table]) -> str:
    """The tables as LaTeX, which needs no package."""
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
        return marks.get(mark, "{}").format(text) + (f" ({beside})" if beside else "")

    cells = table.frame.map(written).rename(columns=lambda name: _escaped(name, escapes))
    sides = ["left"] * table.words + ["right"] * (len(cells.columns) - table.words)
    return cells.to_markdown(index=False, tablefmt=format, disable_numparse=True, colalign=sides)


def _parts(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV: rates in [0, 1], an empty cell where there is no value, lists joined by semicolons."""
    return frame.map(_plain).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _plain(value: object) -> object:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value
