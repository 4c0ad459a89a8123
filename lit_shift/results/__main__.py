"""Compare runs with the published numbers: ``python -m lit_shift.results runs/``; see ``--help``."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from io import StringIO
from pathlib import Path

from rich.console import Console

from lit_shift.results import comparison, gallery, path_table, writer
from lit_shift.results.frame import frame
from lit_shift.results.gather import gather
from lit_shift.results.images import by_images
from lit_shift.results.page import render, runs
from lit_shift.results.rows import against, costs
from lit_shift.utils.console import say, show
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_text, given

TABLES = ("table1", "paths", "costs")
IN_TERMINAL = ("table1", "paths")
TEXTS = {"markdown": writer.markdown, "latex": writer.latex}
SUFFIXES = {".txt": "table", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the given arguments, or those of ``sys.argv``."""
    parser = argparse.ArgumentParser(prog="python -m lit_shift.results", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("runs", nargs="*", default=["runs"], help="folders of runs, or folders containing runs [runs]")
    parser.add_argument(
        "--format",
        choices=list(SUFFIXES.values()),
        help="html is a page with the table, all figures and a shift explorer [from the suffix of --out, else table]",
    )
    parser.add_argument(
        "--out", type=given, help="file to write [standard output; for html, results.html in RUNS if it is one folder]"
    )
    table = parser.add_mutually_exclusive_group()
    table.add_argument(
        "--table",
        choices=TABLES,
        help="table1 (training runs), paths (protocols) or costs (parameters, multiplications, images per second) "
        "[table1 if there is a run, else paths; both in a terminal]",
    )
    table.add_argument(
        "--against",
        metavar="ROW",
        help="difference of each row of table1 from this one, such as blur-tri5, over the same test images, with 95%% "
        "intervals; html has it below table1",
    )
    parser.add_argument(
        "--figures",
        type=given,
        metavar="FOLDER",
        help="also draw all figures as PNG, with runs overlaid; several data sets have a subfolder each",
    )
    options = parser.parse_args(arguments)
    try:
        if options.out and options.out.is_dir():
            raise InputError(f"--out={options.out} is a folder: name a file.")
        format = options.format or (_format_of(options.out) if options.out else "table")
        report(options.runs, format, options.table, options.against, options.out, options.figures)
    except InputError as error:
        say(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        say(f"error: {error.strerror}: {error.filename}.")
        sys.exit(2)


def _format_of(out: Path) -> str:
    """Return the format for a file's suffix, or raise InputError for an unknown suffix."""
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out={out} has no known suffix: end it in {', '.join(SUFFIXES)}, or say --format.")
    return SUFFIXES[out.suffix.lower()]


def report(
    paths: Sequence[str], format: str, chosen: str | None, baseline: str | None, out: Path | None, figures: Path | None
) -> None:
    """Write the tables or the page, and the figures, of the runs in some folders."""
    models, unfinished = gather(paths)
    loaded = frame(models)
    table1 = costs.with_costs(comparison.table1(loaded), loaded)
    # Keep the table's order, which has the baseline first.
    in_table = [name for names in table1["runs"] for name in names]
    by_name = {model.name: model for model in models}
    models = [by_name[name] for name in in_table] + [model for model in models if not model.trained]
    compared = against.differences(table1, by_name, baseline) if baseline is not None else None
    first = chosen or ("table1" if len(table1) else "paths")
    tables = {
        "table1": partial(comparison.tables, table1),
        "paths": partial(path_table.tables, models),
        "costs": partial(costs.tables, table1),
    }
    frames = {
        "table1": partial(comparison.for_csv, table1),
        "paths": partial(path_table.paths, models),
        "costs": partial(costs.for_csv, table1),
    }
    if compared is not None:
        first = chosen = "against"
        tables[first], frames[first] = partial(against.tables, compared, table1), partial(against.for_csv, compared)
    if format == "html":
        out = out or (given(paths[0]) if len(paths) == 1 else Path()) / "results.html"
        atomic_text(out, render.render(runs.content(models, table1, unfinished, compared)))
    elif format == "table":
        shown = writer.terminal([table for name in ([chosen] if chosen else IN_TERMINAL) for table in tables[name]()])
        if out:
            drawn = StringIO()
            Console(file=drawn, width=120).print(shown)
            atomic_text(out, drawn.getvalue())
        else:
            show(shown)
    else:
        text = writer.csv(frames[first]()) if format == "csv" else TEXTS[format](tables[first]())
        if out:
            atomic_text(out, text)
        else:
            print(text, end="" if text.endswith("\n") else "\n")
    for name, state in unfinished:
        say(f"{name} is not in the table: {state}.")
    for sentence in [] if compared is None else against.alone(compared, table1):
        say(sentence)
    if out:
        say(f"written: {out}")
    if figures:
        sets = by_images(models)
        for name, members in sets.items():
            folder = figures / name if len(sets) > 1 else figures
            gallery.save(members, folder)
            say(f"written: {folder}")


if __name__ == "__main__":
    main()
