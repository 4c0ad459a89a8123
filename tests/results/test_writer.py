"""One table in every format."""

import io
import shutil
import subprocess

import pandas as pd
import pytest
from rich.console import Console

from lit_shift.results import writer
from lit_shift.results.writer import Cell, Table

NASTY = r"a|b_c*d`e<f\\g & 50% #1 $x {y} ~z ^w ± †"


@pytest.fixture
def table():
    rows = [
        ["max", Cell("91.0", "91.6, -0.6", "worst")],
        ["tri5", Cell("95.0", "93.3, +1.7", "best")],
        [NASTY, Cell("93.0")],
    ]
    return Table(pd.DataFrame(rows, columns=["pool", "accuracy"]), "title", "caption.", [NASTY], breaks={2})


def shown(tables, width, **options):
    console = Console(width=width, file=io.StringIO(), **options)
    console.print(writer.terminal(tables))
    return console.file.getvalue()


def test_every_format_marks_the_best_and_the_worst(table):
    in_colour = shown([table], 100, force_terminal=True, color_system="standard")
    assert "\x1b[1m95.0\x1b[0m" in in_colour
    assert "\x1b[3m91.0\x1b[0m" in in_colour
    assert "**95.0** (93.3, +1.7)" in writer.markdown([table])
    assert "*91.0* (91.6, -0.6)" in writer.markdown([table]).replace("**", "")
    assert r"\textbf{95.0} (93.3, +1.7)" in writer.latex([table])
    assert r"\textit{91.0} (91.6, -0.6)" in writer.latex([table])


def test_a_cell_may_have_only_what_is_beside_a_number():
    table = Table(pd.DataFrame([["max", Cell("", "1 .. 2")]], columns=["pool", "accuracy"]))
    assert "| max    |   (1 .. 2) |" in writer.markdown([table])
    assert [line.split() for line in shown([table], 80).splitlines() if "1" in line] == [["max", "1", "..", "2"]]


def test_a_terminal_has_a_title_a_rule_and_notes(table):
    lines = shown([table], 100).splitlines()
    assert lines[0].strip() == "title"
    assert lines[-1].rstrip() == NASTY
    rule = next(number for number, line in enumerate(lines) if "93.3, +1.7" in line) + 1
    assert not lines[rule].strip()


def test_numbers_are_kept_whole_where_a_line_is_short():
    rows = [["a rather long name of a run", *["0.353 (0.201-0.483)"] * 4]]
    text = shown([Table(pd.DataFrame(rows, columns=["model", "one", "two", "three", "four"]))], 80)
    assert text.count("(0.201-0.483)") == 4
    assert "…" not in text


def test_no_text_is_read_as_a_command(table):
    markdown = writer.markdown([table]).splitlines()
    rows = [line for line in markdown if line.startswith("|")]
    assert {line.replace("\\\\", "").replace("\\|", "").count("|") for line in rows} == {3}
    tex = writer.latex([table])
    assert tex.isascii()
    (line,) = (line for line in tex.splitlines() if "93.0" in line)
    assert line.replace(r"\&", "").count("&") == 1
    assert r"b\_c" in line
    assert r"50\% \#1 \$x \{y\}" in line


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no LaTeX")
def test_latex_compiles_without_a_package(table, tmp_path):
    text = "\\documentclass{article}\\begin{document}" + writer.latex([table]) + "\\end{document}"
    (tmp_path / "table.tex").write_text(text)
    subprocess.run(["pdflatex", "-halt-on-error", "table.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_csv_has_values_as_they_are():
    frame = pd.DataFrame({"a": [0.123456789, None], "b": [True, False], "c": [["x", "y"], []]})
    assert writer.csv(frame) == "a,b,c\n0.123457,true,x; y\n,false,\n"
