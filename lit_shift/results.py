"""Runs in the papers' tables, beside the published numbers: ``python -m lit_shift.results runs/``; see ``--help``."""

import argparse
import re
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console, Group

from lit_shift import content, formats, gallery, page, path_table, table1
from lit_shift.console import say, show
from lit_shift.errors import InputError
from lit_shift.files import atomic_text, given, hidden
from lit_shift.findings import Findings, read_history
from lit_shift.records import read_config
from lit_shift.run import Run

TABLES = {"table1": formats, "paths": path_table}
TEXTS = {"csv": "comma_separated", "markdown": "markdown", "latex": "latex"}
SUFFIXES = {".txt": "table", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html"}


def gather(paths: Sequence[str | Path]) -> tuple[list[Findings], list[tuple[str, str]]]:
    """Finished runs in the order in which they ended, and the name and state of each unfinished one.

    What eval.py has measured along paths counts as a finished run too, where it is of a classifier from elsewhere, of a
    vote, or of a run in a folder other than its ``eval``, which belongs to the run.

    Args:
        paths: folders of them, or folders that hold such at whatever depth.

    Raises:
        InputError: a path that does not exist or holds no run, or no finished run at all.
    """
    folders = [folder for path in paths for folder in _runs_in(given(path))]
    folders = sorted({folder.resolve() for folder in folders}, key=lambda folder: (Run(folder).ended, folder))
    names = _names(folders)
    finished, unfinished = [], []
    for folder in folders:
        if (folder / "metrics.json").exists():
            model = Findings.load(folder, names[folder])
            finished.append(model if model.trained else model.along_paths())
        else:
            unfinished.append((names[folder], f"unfinished: {_progress(folder)}"))
    finished = [model for model in finished if model.metrics]
    if not finished:
        states = "; ".join(f"{name} is {state}" for name, state in unfinished)
        raise InputError(f"There is no finished run yet: {states}.")
    return finished, unfinished


def _runs_in(path: Path) -> list[Path]:
    """The run folders at or below a path: those that hold a config and the environment that it was run in."""
    if path.is_file():
        raise InputError(f"{path} is a file: type the folder of a run, or one that holds runs.")
    if not path.is_dir():
        raise InputError(f"There is no folder {str(path)!r}: type the folder of a run, or one that holds runs.")
    noted = sorted(
        file for file in path.rglob("environment.json") if not any(map(hidden, file.relative_to(path).parts))
    )
    found = [file.parent for file in noted if (file.parent / "config.yaml").exists()]
    # A whole one is beside a partial one.
    found = [folder for folder in found if not folder.name.endswith("-partial") or folder == path]
    if not found:
        raise InputError(f"{path} holds no run: a run's folder has a config.yaml and an environment.json.")
    return [folder for folder in found if folder.name != "eval" or folder.parent not in found]


def _progress(folder: Path) -> str:
    config = read_config(folder / "config.yaml")
    if "ckpt" in config:
        return "measure it again"
    return f"epoch {len(read_history(folder / 'history.csv'))} of {config['trainer']['max_epochs']}"


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The shortest form of the folders' names that tells them apart; a measurement in a run's folder bears that's."""
    full = {
        folder: f"{folder.parent.name}-{folder.name}" if (folder.parent / "config.yaml").exists() else folder.name
        for folder in folders
    }
    hashed = r"^([^-]+-)(.+)-[0-9a-f]{8}(?=$|-)(-eval(?=-))?"
    short, of_data = (
        {folder: re.sub(hashed, kept, name) for folder, name in full.items()} for kept in (r"\2", r"\1\2")
    )
    for names in (short, of_data, full):  # without data and hash, and without hash
        if len(set(names.values())) == len(folders):
            return names
    return {folder: str(folder) for folder in folders}


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
    """Gather the runs and write the tables, or the page, and the figures."""
    models, unfinished = gather(paths)
    rows = table1.build([model for model in models if model.trained])
    # The table's order, the baseline first.
    models = [run for row in rows for run in row.runs] + [model for model in models if not model.trained]
    if format == "html":
        out = out or (given(paths[0]) if len(paths) == 1 else Path()) / "results.html"
        atomic_text(out, page.render(content.content(models, rows, unfinished)))
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
