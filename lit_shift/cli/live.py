"""Live view of a sweep: a line per active run, and the time left for all. Needs no torch."""

import time
from collections.abc import Sequence
from datetime import timedelta
from heapq import heapify, heapreplace
from pathlib import Path
from threading import Event, Thread

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from lit_shift.cli.jobs import DONE, RUNNING, Job, counted, read_jobs, read_progress


class LiveView:
    """Live view of a sweep's active runs in a terminal, read from their records. Without a terminal it shows nothing.

    Args:
        sweep: the folder of records.
        total: total number of runs.
        live: False leaves the terminal to the runs.
    """

    SECONDS = 1.0

    def __init__(self, sweep: Path, total: int, live: bool) -> None:
        self.sweep = sweep
        self.total = total
        self.console = Console(stderr=True)
        self.stopped = Event()
        self.thread = Thread(target=self._show, daemon=True)
        if live and self.console.is_terminal:
            self.thread.start()

    def stop(self) -> None:
        """Remove the view."""
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join()

    def _show(self) -> None:
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while not self.stopped.wait(self.SECONDS):
                live.update(picture(read_jobs(self.sweep), self.total, time.time()), refresh=True)


def picture(jobs: Sequence[Job], total: int, now: float) -> Group:
    """Table of the active runs, and a line about all."""
    right = {"justify": "right", "no_wrap": True}
    columns = ("epoch", "accuracy", "images/s", "left")
    table = Table(Column("run", overflow="fold"), *(Column(name, **right) for name in columns), box=None)  # type: ignore[arg-type]
    running = []  # for each: seconds since it began, and seconds of training left if known
    for job in jobs:
        if job.state != RUNNING:
            continue
        progress = read_progress(job.folder)
        left = progress.get("seconds_left")
        running.append((now - job.began, left))
        if left is None:
            table.add_row(job.title, "measuring" if progress else "starting", "", "", "")
            continue
        table.add_row(
            job.title,
            f"{progress['epoch']}/{progress['epochs']}",
            "" if progress["accuracy"] is None else f"{progress['accuracy']:.1%}",
            f"{progress['images_per_second']:,.0f}",
            _clock(left),
        )
    told = counted(jobs, total)
    durations = [job.ended - job.began for job in jobs if job.ended and job.state == DONE]
    # Until a run is finished, estimate its duration from the trainings, without the measurement.
    if durations := durations or [age + left for age, left in running if left is not None]:
        duration = sum(durations) / len(durations)
        # Seconds until each slot is free. A run to come takes the slot that is free first.
        free = [max(0.0, duration - age) if left is None else left for age, left in running] or [0.0]
        heapify(free)
        for _ in range(total - len(jobs)):
            heapreplace(free, free[0] + duration)
        told += f"; about {_clock(max(free))} left"
    return Group(table, Text(told))


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
