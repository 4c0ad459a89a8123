"""Records of a sweep's runs, one file each, read by the process that has started the sweep. Needs no torch."""

import json
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lit_shift.runs.run import Run
from lit_shift.utils.command import called
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_text, hidden

RUNNING, DONE, BEFORE, FAILED, STOPPED = "running", "done", "finished before", "failed", "stopped"
ELSEWHERE, THERE = "left to another process", "finished by another process"
FINISHED = (DONE, BEFORE, THERE)
DEATHS = 3  # a run is given up after this many of its processes died in a row without a new checkpoint


@dataclass
class Job:
    """State of one run of a command.

    ``name`` identifies it within its command; ``record`` is the file that other processes read, or empty; ``began`` and
    ``ended`` are in seconds since 1970; ``state`` is one of those above; ``folder`` is the run's, once known;
    ``reason`` is the error of a failed run; ``deaths`` counts the previous processes in a row that ended without a
    message or a new checkpoint; ``words`` are those of its command, and ``script`` is its name, ``train`` or ``eval``.
    """

    name: str
    record: str
    began: float
    ended: float = 0
    state: str = RUNNING
    folder: str = ""
    reason: str = ""
    deaths: int = 0
    words: list[str] = field(default_factory=list)
    script: str = ""

    @classmethod
    def of(cls, script: str, words: Sequence[str], record: str) -> "Job":
        """Create a job that begins, possibly because a launcher restarts it."""
        job = cls(",".join(sorted(words)), record, time.time(), words=list(words), script=script)
        if record and Path(record).exists():
            before = cls.read(Path(record))
            job.folder, checkpoint = before.folder, Run(Path(before.folder)).checkpoint
            got_further = checkpoint.exists() and checkpoint.stat().st_mtime > before.began
            if before.state in (RUNNING, STOPPED) and not got_further:
                job.deaths = before.deaths + 1
        return job

    @classmethod
    def read(cls, record: Path) -> "Job":
        return cls(**json.loads(record.read_text()))

    def check_deaths(self) -> None:
        """Raise an InputError if the job's processes keep dying, as some launchers would restart it forever."""
        if self.deaths >= DEATHS:
            raise InputError(
                f"Its process has died {DEATHS} times in a row without getting any further: is there enough memory for "
                "so many runs at once?"
            )

    @property
    def command(self) -> str:
        """Command that would run this job alone, even if it is one of a sweep's."""
        return f"{called(self.script)} {shlex.join(self.words)}"

    @property
    def title(self) -> str:
        """Name to show to people."""
        return Path(self.folder).name or self.name

    def note(self, **news: Any) -> None:
        """Set fields, and write them to the record."""
        for name, value in news.items():
            setattr(self, name, value)
        if self.record:
            atomic_text(Path(self.record), json.dumps(asdict(self)))


def counted(jobs: Sequence[Job], total: int) -> str:
    """Return the number of runs in each state, in words."""
    counts = Counter(job.state for job in jobs) | {"to come": total - len(jobs)}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{total} run{'s' * (total > 1)}: {told}"


def read_jobs(sweep: Path) -> list[Job]:
    """Read the jobs of a sweep that have begun, in order. Words that all jobs share are dropped from their names."""
    records = [record for record in sweep.glob("*.json") if not hidden(record.name)]
    records.sort(key=lambda record: int(record.stem))
    jobs = [Job.read(record) for record in records]
    common = set.intersection(*(set(job.words) for job in jobs)) if jobs else set()
    for job in jobs:
        job.name = ",".join(word for word in job.words if word not in common) or job.name
    return jobs


def read_progress(folder: str) -> dict[str, Any]:
    """Read the latest note of :class:`lit_shift.training.heartbeat.Heartbeat` on a run; empty if there is none yet."""
    try:
        progress: dict[str, Any] = json.loads((Path(folder) / "progress.json").read_text())
    except (OSError, ValueError):
        return {}
    return progress
