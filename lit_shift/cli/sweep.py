"""Checks before the first run of a sweep (``-m``), and the start of its live view. Needs no torch."""

import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from lit_shift.cli.explain import report
from lit_shift.cli.live import LiveView
from lit_shift.filters import FILTERS
from lit_shift.utils.command import called, each, parsed
from lit_shift.utils.errors import InputError, at_least, one_of, true_or_false
from lit_shift.utils.files import given

# Sweeps may start within the same second. All processes of a sweep share the value, since Hydra copies its cache.
OmegaConf.register_new_resolver("unique", lambda: uuid4().hex[:8], use_cache=True, replace=True)
OmegaConf.register_new_resolver("command", called, replace=True)  # for the help texts
OmegaConf.register_new_resolver("given", lambda path: str(given(path)), replace=True)  # for Hydra's own folders


class Sweep(Callback):
    """Hydra callback in the process that starts a sweep.

    Args:
        live: show the progress of its trainings.
    """

    view: LiveView | None = None  # of the sweep started by this process

    def __init__(self, live: bool) -> None:
        self.live = live

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # or Ray's workers run in a copy of this folder
        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            return  # other sweepers choose runs as they go
        try:
            runs = _runs(config)
            _check(config, runs)
        except Exception as error:  # Hydra would only warn
            report(error)
            sys.exit(2)
        Sweep.view = LiveView(Path(config.hydra.sweep.dir).absolute(), len(runs), self.live)
        if Sweep.view.thread.is_alive():
            os.environ["LIT_SHIFT_VIEW"] = "sweep"  # so that runs show no bars of their own


def _runs(config: DictConfig) -> Sequence[Sequence[str]]:
    """Return the overrides of each run, as Hydra expands them from a command and its sweep.

    Raises:
        InputError: a sweep's values are a list.
        HydraException: Hydra rejects an override.
    """
    given = config.hydra.sweeper.params or {}
    for key, value in given.items():
        if OmegaConf.is_config(value):
            raise InputError(f"The sweep's values of {key} are to be separated by commas, as '{key}: 0,1,2'.")
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides(
        [*(f"{key}={value}" for key, value in given.items()), *config.hydra.overrides.task]
    )
    for override in overrides:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise InputError(f"{override.input_line}: a sweep takes values with commas between them, or range(...).")
    return list(product(*{override.get_key_element(): each(override) for override in overrides}.values()))


def _check(config: DictConfig, runs: Sequence[Sequence[str]]) -> None:
    """Report errors now that would otherwise appear only when a run's turn comes, or never.

    Raises:
        InputError: a value that is invalid in every run, or runs that can never start.
    """
    values: dict[str, list[Any]] = {}
    for override in parsed(sorted({word for run in runs for word in run})):
        values.setdefault(override.key_or_group, []).append(override.value())
    if len(values.get("runs", ())) > 1:
        raise InputError("The runs of a sweep go into one folder: runs=... takes one value.")
    if True in values.get("fresh", ()) and "submitit" in config.hydra.launcher._target_:
        raise InputError(
            "With fresh=true a job that SLURM starts again would start over: say runs=FOLDER for new runs."
        )
    if len(values.get("sweep", ())) > 1:
        raise InputError("+sweep takes one name: run a separate command for each.")
    for key in values:
        if isinstance(OmegaConf.select(config, key), bool):  # the value without the sweep
            for value in values[key]:
                true_or_false(key, value)
    for seed in values.get("seed", ()):
        at_least(0, "seed", seed)
    for name in values.get("filter", ()):
        if name is not None:
            one_of(FILTERS, "filter", name)
    if OmegaConf.select(config, "hydra.launcher.ray.init.address") == "local":
        _check_ray(config.hydra.launcher.ray.init, config.hydra.launcher.ray.remote)


def _check_ray(there: DictConfig, taken: DictConfig) -> None:
    """Raise an InputError if a run needs more than this machine has; Ray would wait forever."""
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
                "There is no GPU here that PyTorch can use: say hydra/launcher=ray_cpu, without experiment=gpu, or "
                "name a cluster by hydra.launcher.ray.init.address=HOST:PORT."
            )
        if taken.num_gpus > gpus:
            raise InputError(
                f"A run takes {taken.num_gpus} GPUs (hydra.launcher.ray.remote.num_gpus), but there are {gpus} here."
            )
