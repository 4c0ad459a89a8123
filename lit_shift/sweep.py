"""What becomes of the runs of a command, also where they run in processes or on machines of their own.

Each run of a sweep (``-m``) leaves a record in the sweep's folder, whichever launcher of Hydra's runs it. Needs no
torch.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import RenderableType

from lit_shift.cli import report
from lit_shift.console import is_first_process, say, show
from lit_shift.errors import InputError
from lit_shift.jobs import DONE, ELSEWHERE, FAILED, FINISHED, RUNNING, STOPPED, THERE, Job, read_jobs
from lit_shift.live import View
from lit_shift.published import load
from lit_shift.run import Busy, Run
from lit_shift.tables import others

# Sweeps may start in the same second. In all processes of a sweep it is the same, as Hydra copies what is cached.
OmegaConf.register_new_resolver("unique", lambda: uuid4().hex[:8], use_cache=True, replace=True)


class Sweep(Callback):
    """What Hydra calls in the process that starts a sweep.

    Args:
        live: show how far its trainings are.
    """

    view: View | None = None  # of the sweep that this process has started

    def __init__(self, live: bool) -> None:
        self.live = live

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else Ray's workers run in a copy of this folder
        given = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        overrides = OverridesParser.create().parse_overrides([*given, *config.hydra.overrides.task])
        swept = {override.get_key_element(): override for override in overrides if override.is_sweep_override()}
        try:
            _check(config, overrides)
        except InputError as error:  # which Hydra would let pass with a warning
            report(error)
            sys.exit(2)
        total = math.prod(len(list(override.sweep_string_iterator())) for override in swept.values())
        Sweep.view = View(Path(config.hydra.sweep.dir).absolute(), total, self.live)
        if Sweep.view.thread.is_alive():
            os.environ["LIT_SHIFT_VIEW"] = "sweep"  # for runs to show no bars of their own


def _check(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Say at once what would else be said when its turn comes, or never.

    Raises:
        InputError: an unknown filter, or no GPU for the runs to share.
    """
    published = {row["filter"] for row in load("zhang_table1")}  # without torch
    for override in overrides:
        if override.get_key_element() == "filter":
            names = override.sweep_string_iterator() if override.is_sweep_override() else [str(override.value())]
            for name in {*names} - published - {"None", "null"}:
                from lit_shift.filters import lowpass

                lowpass(name)
    if OmegaConf.select(config, "hydra.launcher.ray.init.address") == "local":
        ray = config.hydra.launcher.ray
        if ray.remote.num_gpus and not ray.init.num_gpus:
            import torch

            if not torch.cuda.is_available():
                raise InputError(
                    "There is no GPU here that PyTorch can use: say hydra/launcher=ray_cpu, or name a cluster by "
                    "hydra.launcher.ray.init.address=HOST:PORT."
                )


class Outcomes:
    """What becomes of the runs of one command. One that fails does not keep the others of a sweep from running."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.measured: set[tuple[Path, str]] = set()

    @contextmanager
    def one_run(self) -> Iterator[Job]:
        """Say what goes wrong in a run, and go on."""
        hydra = HydraConfig.get()
        record = f"{hydra.sweep.dir}/{hydra.job.num}.json" if hydra.mode == RunMode.MULTIRUN else ""
        if not record:
            for many, typed in (
                ("+sweep", hydra.sweeper.params),
                ("hydra/launcher", hydra.runtime.choices["hydra/launcher"] != "basic"),
            ):
                if typed:
                    raise InputError(f"{many}=... is for many runs: type -m before it.")
        job = Job(hydra.job.override_dirname, record, time.time())
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
        """Keep a run of a sweep from replacing what an earlier one has measured."""
        if again := [measure for measure in measures if (folder, measure) in self.measured]:
            raise InputError(
                f"This would replace what this sweep has measured in {folder} ({', '.join(again)}): give each of its "
                "runs a folder by an option that differs, as 'out=evals/${protocol.size}'."
            )
        yield
        self.measured |= {(folder, measure) for measure in measures}

    @contextmanager
    def told(self, results: Callable[[Sequence[Path]], RenderableType] | None = None) -> Iterator[None]:
        """At the end of the command show what has become of its runs, and exit with code 2 unless all is well.

        Args:
            results: of the folders of finished runs, what is to be shown.
        """
        try:
            yield
        finally:
            jobs = self.jobs
            if Sweep.view:
                Sweep.view.stop()
                jobs = read_jobs(Sweep.view.sweep)
            if is_first_process():
                for job in jobs:
                    if job.state == ELSEWHERE and Run(Path(job.folder)).finished:  # in the meantime
                        job.state = THERE
                finished = [Path(job.folder) for job in jobs if job.state in FINISHED]
                if results and finished:
                    show(results(finished))
                if Sweep.view and any(job.state not in FINISHED for job in jobs):
                    show(others(jobs, Sweep.view.total))
        bad = {FAILED, STOPPED, RUNNING} if Sweep.view else {FAILED, RUNNING, ELSEWHERE}
        if any(job.state in bad for job in jobs):
            sys.exit(2)
