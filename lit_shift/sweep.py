"""What becomes of the runs of a command, also where they run in processes or on machines of their own.

Each run of a sweep (``-m``) leaves a record in the sweep's folder, whichever launcher of Hydra's runs it. Needs no
torch.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from uuid import uuid4

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import RenderableType

from lit_shift.cli import report
from lit_shift.config import Switches, switches
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
        try:
            total = _check(config)
        except Exception as error:  # which Hydra would let pass with a warning
            report(error)
            sys.exit(2)
        Sweep.view = View(Path(config.hydra.sweep.dir).absolute(), total, self.live)
        if Sweep.view.thread.is_alive():
            os.environ["LIT_SHIFT_VIEW"] = "sweep"  # for runs to show no bars of their own


def _check(config: DictConfig) -> int:
    """Say at once what would else be said of a sweep's runs when their turn comes, or never.

    Returns:
        How many runs there will be.

    Raises:
        InputError: a value that no run can have, or runs that can never be started.
        HydraException: what Hydra says of overrides.
    """
    given = config.hydra.sweeper.params or {}
    for key, value in given.items():
        if OmegaConf.is_config(value):
            raise InputError(f"The sweep's values of {key} are to be separated by commas, as '{key}: 0,1,2'.")
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides(
        [*(f"{key}={value}" for key, value in given.items()), *config.hydra.overrides.task]
    )
    (runs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    values: dict[str, set[str]] = {}
    for override in {override for run in runs for override in run}:
        key, _, value = override.partition("=")
        values.setdefault(key.lstrip("+"), set()).add(value)
    if len(values.get("runs", ())) > 1:
        raise InputError("The runs of a sweep go into one folder: runs=... takes one value.")
    if {"true", "True"} & values.get("fresh", set()) and "submitit" in config.hydra.launcher._target_:
        raise InputError(
            "With fresh=true a job that SLURM starts again would start over: say runs=FOLDER for new runs."
        )
    if len(values.get("sweep", ())) > 1:
        raise InputError("A sweep over sweeps is none: give each +sweep=NAME a command of its own.")
    for key in values.keys() & {field.name for field in fields(Switches)}:
        for value in values[key]:
            switches(OmegaConf.from_dotlist([f"{key}={value}"]))
    published = {row["filter"] for row in load("zhang_table1")}  # without torch
    for name in values.get("filter", set()) - published - {"None", "null"}:
        from lit_shift.filters import lowpass

        lowpass(name)
    if OmegaConf.select(config, "hydra.launcher.ray.init.address") == "local":
        _check_ray(config.hydra.launcher.ray.init, config.hydra.launcher.ray.remote)
    return len(runs)


def _check_ray(there: DictConfig, taken: DictConfig) -> None:
    """Say that a run takes more than this machine has, for which Ray would wait."""
    cpus = there.num_cpus or os.cpu_count() or 1
    if taken.num_cpus > cpus:
        raise InputError(
            f"A run takes {taken.num_cpus} CPUs (hydra.launcher.ray.remote.num_cpus), but there are {cpus} here."
        )
    if taken.num_gpus and not there.num_gpus:
        import torch

        gpus = torch.cuda.device_count()
        if not gpus:
            raise InputError(
                "There is no GPU here that PyTorch can use: say hydra/launcher=ray_cpu, or name a cluster by "
                "hydra.launcher.ray.init.address=HOST:PORT."
            )
        if taken.num_gpus > gpus:
            raise InputError(
                f"A run takes {taken.num_gpus} GPUs (hydra.launcher.ray.remote.num_gpus), but there are {gpus} here."
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
        try:
            os.chdir(hydra.runtime.cwd)  # a cluster's processes start elsewhere
        except OSError as error:
            raise InputError(
                f"The folder {hydra.runtime.cwd}, in which the command was given, is not there on {platform.node()}: "
                "the machines of a cluster must share it."
            ) from error
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
            jobs, missing = self.jobs, 0
            if Sweep.view:
                Sweep.view.stop()
                jobs = read_jobs(Sweep.view.sweep)
                missing = Sweep.view.total - len(jobs)
            if is_first_process():
                for job in jobs:
                    if job.state == ELSEWHERE and Run(Path(job.folder)).finished:  # in the meantime
                        job.state = THERE
                finished = [Path(job.folder) for job in jobs if job.state in FINISHED]
                if results and finished:
                    show(results(finished))
                if Sweep.view and (missing or any(job.state not in FINISHED for job in jobs)):
                    show(others(jobs, Sweep.view.total))
        bad = {FAILED, STOPPED, RUNNING} if Sweep.view else {FAILED, RUNNING, ELSEWHERE}
        if missing or any(job.state in bad for job in jobs):
            sys.exit(2)
