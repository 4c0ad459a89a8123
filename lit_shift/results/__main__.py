"""Runs in the papers' tables, beside the published numbers: ``python -m lit_shift.results runs/``; see ``--help``."""

import argparse
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console, Group

from lit_shift.results import formats, gallery, path_table, table1
from lit_shift.results.gather import gather
from lit_shift.results.page import render, runs
from lit_shift.utils.console import say, show
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_text, given

TABLES = {"table1": formats, "paths": path_table}


TEXTS = {"csv": "comma_separated", "markdown": "markdown", "latex": "latex"}


SUFFIXES = {".txt": "table", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html"}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m lit_shift.results", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("runs", nargs="*", default=["runs"], help="folders of runs, or that hold runs [runs]")
    parser.add_argument(
        "--format",
        choices=["table", *TEXTS, "html"],
        help="html is one page with the table, every figure and a shift explorer [by the suffix of --out, else table]",
    )
    parser.add_argument(
        "--out", type=given, help="file to write [standard output; for html results.html in RUNS, if that is one]"
    )
    parser.add_argument(
        "--table",
        choices=list(TABLES),
        help="table1, of runs, or paths, what protocols measured [table1 where there is a run; in a terminal both]",
    )
    parser.add_argument(
        "--figures",
        type=given,
        metavar="FOLDER",
        help="also draw every figure, runs overlaid, as PNG; of several data sets each into a folder of its own there",
    )
    options = parser.parse_args(arguments)
    try:
        if options.out and options.out.is_dir():
            raise InputError(f"--out={options.out} is a folder: name a file.")
        format = options.format or (_format_of(options.out) if options.out else "table")
        report(options.runs, format, options.table, options.out, options.figures)
    except InputError as error:
        say(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        say(f"error: {error.strerror}: {error.filename}.")
        sys.exit(2)


def _format_of(out: Path) -> str:
    """The format that a file's name tells; an InputError where it tells none."""
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out={out} tells no format: let it end in {', '.join(SUFFIXES)}, or say --format.")
    return SUFFIXES[out.suffix.lower()]


def report(paths: Sequence[str], format: str, table: str | None, out: Path | None, figures: Path | None) -> None:
    """Gather the runs and write the tables, or the render, and the figures."""
    models, unfinished = gather(paths)
    rows = table1.build([model for model in models if model.trained])
    # The table's order, the baseline first.
    models = [run for row in rows for run in row.runs] + [model for model in models if not model.trained]
    if format == "html":
        out = out or (given(paths[0]) if len(paths) == 1 else Path()) / "results.html"
        atomic_text(out, render.render(runs.content(models, rows, unfinished)))
    elif format in TEXTS:
        table = table or ("table1" if rows else "paths")
        text = getattr(TABLES[table], TEXTS[format])(rows if table == "table1" else models)
        if out:
            atomic_text(out, text)
        else:
            print(text, end="" if text.endswith("\n") else "\n")
    else:
        tables = {"table1": formats.terminal(rows), "paths": path_table.terminal(models)}
        shown = Group(*(tables[name] for name in ([table] if table else TABLES)))
        if out:
            drawn = StringIO()
            Console(file=drawn, width=120).print(shown)
            atomic_text(out, drawn.getvalue())
        else:
            show(shown)
    for name, state in unfinished:
        say(f"{name}: {state}; it is in no row.")
    if out:
        say(f"written: {out}")
    if figures:
        sets = gallery.by_images(models)
        for name, members in sets.items():
            folder = figures / name if len(sets) > 1 else figures
            gallery.save(members, folder)
            say(f"written: {folder}")


if __name__ == "__main__":
    main()
