"""Outcomes of a command's runs, even if these run in other processes or on other machines.

Each run of a sweep (``-m``) leaves a record in the sweep's folder, whichever Hydra launcher runs it. Needs no torch.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from rich.console import RenderableType

from lit_shift.cli.explain import report
from lit_shift.cli.jobs import DONE, ELSEWHERE, FAILED, FINISHED, RUNNING, STOPPED, THERE, Job, read_jobs
from lit_shift.cli.sweep import Sweep
from lit_shift.cli.tables import others
from lit_shift.runs.run import Busy, Run
from lit_shift.utils.console import is_first_process, say, show
from lit_shift.utils.errors import InputError


class Outcomes:
    """Outcomes of the runs of one command. A run that fails does not stop the others of a sweep."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.measured: set[tuple[Path, str]] = set()

    @contextmanager
    def one_run(self) -> Iterator[Job]:
        """Record the outcome of a run. Errors are printed, and the sweep continues."""
        hydra = HydraConfig.get()
        record = f"{hydra.sweep.dir}/{hydra.job.num}.json" if hydra.mode == RunMode.MULTIRUN else ""
        if not record:
            for many, typed in (
                ("+sweep", hydra.sweeper.params),
                ("hydra/launcher", hydra.runtime.choices["hydra/launcher"] != "basic"),
            ):
                if typed:
                    raise InputError(f"{many}=... is for many runs: type -m before it.")
        try:
            os.chdir(hydra.runtime.cwd)  # on a cluster, processes start in other folders
        except OSError as error:
            raise InputError(
                f"The folder {hydra.runtime.cwd}, in which the command was given, is not there on {platform.node()}: "
                "the machines of a cluster must share it."
            ) from error
        if hydra.runtime.cwd not in sys.path:
            sys.path.insert(0, hydra.runtime.cwd)  # for pools and networks of the user's own
        job = Job.of(hydra.job.name, hydra.overrides.task, record)
        self.jobs.append(job)
        try:
            job.note()
            yield job
            if job.state == RUNNING:
                job.state = DONE
        except Busy as error:
            say(str(error))
            job.state = ELSEWHERE
        except Exception as error:
            job.state, job.reason = FAILED, report(error, told=[job.reason for job in self.jobs])
        except BaseException:
            job.state = STOPPED
            raise
        finally:
            job.note(ended=time.time())

    @contextmanager
    def measuring(self, folder: Path, measures: Sequence[str]) -> Iterator[None]:
        """Prevent a run of a sweep from replacing what an earlier one has measured."""
        if again := [measure for measure in measures if (folder, measure) in self.measured]:
            raise InputError(
                f"This would replace what this sweep has measured in {folder} ({', '.join(again)}): give each of its "
                "runs a folder by an option that differs, as 'out=evals/${protocol.size}'."
            )
        yield
        self.measured |= {(folder, measure) for measure in measures}

    @contextmanager
    def told(self, results: Callable[[Sequence[Path]], RenderableType] | None = None) -> Iterator[None]:
        """At the end of the command, show the outcomes and exit with code 2 unless all runs are finished.

        Args:
            results: makes a table from the folders of finished runs.
        """
        try:
            yield
        finally:
            jobs, missing = self.jobs, 0
            if Sweep.view:
                Sweep.view.stop()
                jobs = read_jobs(Sweep.view.sweep)
                missing = Sweep.view.total - len(jobs)
            if is_first_process():
                for job in jobs:
                    if job.state == ELSEWHERE:
                        _look_again(job)
                finished = [Path(job.folder) for job in jobs if job.state in FINISHED]
                if results and finished:
                    show(results(finished))
                if Sweep.view and (missing or any(job.state not in FINISHED for job in jobs)):
                    show(others(jobs, Sweep.view.total))
        bad = {FAILED, STOPPED, RUNNING} if Sweep.view else {FAILED, RUNNING, ELSEWHERE}
        if missing or any(job.state in bad for job in jobs):
            sys.exit(2)


def _look_again(job: Job) -> None:
    """Check whether a run that was left to another process has finished in the meantime."""
    run = Run(Path(job.folder))
    if run.finished:
        try:
            run.result()
            job.state = THERE
        except InputError as error:
            job.state, job.reason = FAILED, str(error)
