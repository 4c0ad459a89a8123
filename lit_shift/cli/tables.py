"""Terminal tables of a command's runs and of their outcomes."""

from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path

from rich.table import Column, Table

from lit_shift.cli.jobs import FINISHED, RUNNING, STOPPED, Job, counted
from lit_shift.measures import RUNS, standing
from lit_shift.runs.run import Run

UNFINISHED = {
    STOPPED: "; the same command continues it",
    RUNNING: " when this command ended; on a cluster it may continue, otherwise repeat the command",
}


def runs(folders: Iterable[Path]) -> Table:
    """Table with a row for each finished run."""
    measures, rows = standing(RUNS), []
    for folder in folders:
        config, metrics = Run(folder).result()
        choices, epochs = config["choices"], config["trainer"]["max_epochs"]
        row = {
            "data": f"{choices['data']}, {choices['model']}, {epochs} epoch{'s' * (epochs != 1)}",
            "pool": choices["pool"],
            "filter": config["pool"].get("filter", "-"),
            "aug": "yes" if config["aug"] else "no",
            "seed": str(config["seed"]),
            "run": folder.name.rpartition(f"-s{config['seed']}-")[2],  # the hash at the end of its name
        }
        cells = {each.heading: each.written(metrics.get(f"test/{each.name}", nan), decimals=1) for each in measures}
        rows.append(row | cells)
    shown = Table(caption="random: under random shifts. Rates in percent; variation is a variance.")
    # If all else is equal, only the folder tells runs apart.
    if len({tuple(row[name] for name in ("data", "pool", "filter", "aug", "seed")) for row in rows}) == len(rows):
        rows = [{name: cell for name, cell in row.items() if name != "run"} for row in rows]
    data = {row["data"] for row in rows}
    if len(data) == 1:  # then it is the title, not a column
        shown.title = data.pop()
        rows = [{name: cell for name, cell in row.items() if name != "data"} for row in rows]
    for name in rows[0]:
        shown.add_column(name, justify="right" if name in cells else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row.values())
    return shown


def others(jobs: Sequence[Job], total: int) -> Table:
    """Table of a sweep's unfinished runs, grouped by the known reason."""
    columns = (Column(name, overflow="fold") for name in ("run", "what became of it"))
    shown = Table(*columns, title=counted(jobs, total))
    titles: dict[str, list[str]] = {}
    for job in jobs:
        if job.state not in FINISHED:
            why = f": {job.reason}" if job.reason else UNFINISHED.get(job.state, "")
            titles.setdefault(job.state + why, []).append(job.title)
    for what, those in titles.items():
        shown.add_row("\n".join(those), what)
    return shown
