"""Records of the runs of a sweep, a file each, for the process that has started it to read. Needs no torch."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lit_shift.runs.run import Run
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import atomic_text, hidden

RUNNING, DONE, BEFORE, FAILED, STOPPED = "running", "done", "finished before", "failed", "stopped"
ELSEWHERE, THERE = "left to another process", "finished by another process"
FINISHED = (DONE, BEFORE, THERE)
DEATHS = 3  # of a run's processes in a row, without a new checkpoint, after which there will be no other


@dataclass
class Job:
    """What becomes of a run.

    ``name`` tells it from others of its command; ``record`` is the file for others to read, if there is to be one;
    ``began`` and ``ended`` are in seconds since 1970; ``state`` is one of those above; ``folder`` is where it has one;
    ``reason`` says why it has failed; ``deaths`` counts the processes in a row that began it before and ended
    without a word or a new checkpoint; ``words`` are those of its command.
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

    @classmethod
    def of(cls, words: Sequence[str], record: str) -> "Job":
        """A job that begins, also where a launcher starts it again."""
        job = cls(",".join(words), record, time.time(), words=list(words))
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
        """Raise an InputError where its processes die again and again, as a launcher may start them for ever."""
        if self.deaths >= DEATHS:
            raise InputError(
                f"Its process has died {DEATHS} times in a row without getting any further: is there enough memory for "
                "so many runs at once?"
            )

    @property
    def title(self) -> str:
        """What people call it."""
        return Path(self.folder).name or self.name

    def note(self, **news: Any) -> None:
        """Set fields, in the record too."""
        for name, value in news.items():
            setattr(self, name, value)
        if self.record:
            atomic_text(Path(self.record), json.dumps(asdict(self)))


def counted(jobs: Sequence[Job], total: int) -> str:
    """How many of so many runs are in each state, in words."""
    counts = Counter(job.state for job in jobs) | {"to come": total - len(jobs)}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{total} run{'s' * (total > 1)}: {told}"


def read_jobs(sweep: Path) -> list[Job]:
    """The jobs of a sweep that have begun, in its order; their names without what all have in common."""
    records = [record for record in sweep.glob("*.json") if not hidden(record.name)]
    records.sort(key=lambda record: int(record.stem))
    jobs = [Job.read(record) for record in records]
    common = set.intersection(*(set(job.words) for job in jobs)) if jobs else set()
    for job in jobs:
        job.name = ",".join(word for word in job.words if word not in common) or job.name
    return jobs


def read_progress(folder: str) -> dict[str, Any]:
    """What :class:`lit_shift.callbacks.Heartbeat` has noted last of a run, and nothing where it has not yet."""
    try:
        progress: dict[str, Any] = json.loads((Path(folder) / "progress.json").read_text())
    except (OSError, ValueError):
        return {}
    return progress
