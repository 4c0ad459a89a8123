"""A run's folder: where it is, what is in it, whether it is finished. Needs no torch."""

import json
import math
import os
import platform
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lit_shift.config import digest, identity, images_of, label
from lit_shift.errors import InputError
from lit_shift.files import atomic_text

NEEDED = {"choices", "data", "model", "trainer", "aug", "seed", "padding", "classes"}
NEEDED_OF_A_RUN = {"pool", "callbacks", "image_size"}
PACKAGES = ("lit-shift", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy", "scipy")


class Busy(Exception):
    """Another process trains the run."""


class Run:
    """The folder ``runs/<data>-<pool>-<filter>-<aug>-<seed>-<hash of the config>`` of one training.

    It holds ``config.yaml``, ``checkpoints/last.ckpt``, ``history.csv``, ``environment.json`` and, once the run is
    finished, ``metrics.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = folder / "metrics.json"
        self.history = folder / "history.csv"
        self.checkpoint = folder / "checkpoints" / "last.ckpt"
        self.environment = folder / "environment.json"

    @classmethod
    def locate(cls, cfg: DictConfig) -> "Run":
        """The newest run of this config, or where it is to be; with ``fresh`` always a new folder."""
        if os.environ.get("LOCAL_RANK", "0") != "0" and "LIT_SHIFT_RUN" in os.environ:
            return cls(Path(os.environ["LIT_SHIFT_RUN"]))  # a process that joins the first one's run
        first = Path(cfg.runs) / f"{cfg.choices.data}-{label(cfg)}-{identity(cfg)}"
        folder = first
        for attempt in count(2):
            following = first.with_name(f"{first.name}-{attempt}")
            if not (folder.exists() if cfg.fresh else following.exists()):
                break
            folder = following
        os.environ["LIT_SHIFT_RUN"] = str(folder)
        return cls(folder)

    @classmethod
    def of(cls, checkpoint: str | Path) -> "Run":
        """The run that a checkpoint is of.

        Raises:
            InputError: there is no such file.
        """
        if not Path(checkpoint).is_file():
            inside = (Path(checkpoint) / name for name in ("checkpoints/last.ckpt", "last.ckpt"))
            typed = next((file for file in inside if file.is_file()), "RUN/checkpoints/last.ckpt")
            raise InputError(f"There is no checkpoint {str(checkpoint)!r}: type ckpt={typed}.")
        if Path(checkpoint).suffix != ".ckpt":
            raise InputError(f"{checkpoint} is no checkpoint: type ckpt=RUN/checkpoints/last.ckpt.")
        return cls(Path(checkpoint).absolute().parents[1])

    def config(self) -> dict[str, Any]:
        """The run's config.

        Raises:
            InputError: there is none.
        """
        config = read_config(self.folder / "config.yaml")
        if missing := NEEDED_OF_A_RUN - config.keys():
            raise InputError(
                f"{self.folder / 'config.yaml'} has no {', '.join(sorted(missing))}: it is not the config of a run, or "
                "of one of an older version, which lacks a line such as 'image_size: [32, 32]'."
            )
        return config

    def evaluation(self, cfg: DictConfig) -> Path:
        """Where a measurement with this config goes: ``eval``; ``eval-<data>-<hash>`` for other data than the run's.

        Of a run that is not finished it is ``...-epoch<n>``, for nothing to be taken for the finished one's.
        """
        theirs = images_of(cfg)
        name = "eval" if images_of(self.config()) == theirs else f"eval-{cfg.choices.data}-{digest(theirs)}"
        if not self.finished:
            epochs = len(self.history.read_text().splitlines()) - 1 if self.history.exists() else 0
            name += f"-epoch{epochs}"
        return self.folder / name

    @property
    def finished(self) -> bool:
        return self.metrics.exists()

    def found(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Config and metrics of a finished run.

        Raises:
            InputError: one cannot be read.
        """
        try:
            return read_config(self.folder / "config.yaml"), read_metrics(self.metrics)
        except InputError as error:
            raise InputError(f"{error} Where the run's folder is deleted, the same command trains it again.") from error

    @property
    def ended(self) -> str:
        """When the run was finished, as text that sorts; empty for one that is not."""
        try:
            return str(json.loads(self.environment.read_text())["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @property
    def resume_from(self) -> Path | None:
        """The checkpoint of an unfinished run."""
        return self.checkpoint if self.checkpoint.exists() else None

    @property
    def state(self) -> str:
        """A word for people."""
        return "finished" if self.finished else "resuming" if self.resume_from else "new run"

    @contextmanager
    def alone(self, first: bool) -> Iterator[None]:
        """Keep other commands from training this run meanwhile; one that has died keeps nobody from it.

        Args:
            first: of the processes that share the run, that which speaks for all.

        Raises:
            Busy: another one trains it.
            InputError: the folder cannot be written.
        """
        if not first:
            yield
            return
        make_folder(self.checkpoint.parent, "runs")
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise Busy(f"another process trains it: {self.folder}") from error
        try:
            yield
        finally:
            lock.release()

    def start(self, cfg: DictConfig, classes: list[str], image_size: list[int], device: str) -> None:
        """Note in the folder what runs, on which classes and images (height and width) and where."""
        for folder in (self.folder, self.checkpoint.parent):  # not in eval/, which another process may be writing
            for part in folder.glob("*.part"):  # left by a kill in the middle of a write
                part.unlink()
        learned = {"classes": classes, "image_size": image_size}
        atomic_text(self.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.merge(cfg, learned)))
        atomic_text(self.environment, json.dumps({"device": device, **_environment()}, indent=2) + "\n")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write ``metrics.json``, which makes the run a finished one."""
        environment = json.loads(self.environment.read_text()) | {"finished": _now()}
        atomic_text(self.environment, json.dumps(environment, indent=2) + "\n")
        write_metrics(self.metrics, metrics)


def read_config(path: Path) -> dict[str, Any]:
    """A ``config.yaml``.

    Raises:
        InputError: there is none, or it holds something else.
    """
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path} cannot be read; a checkpoint needs the config.yaml of its run.") from error
    if not isinstance(config, dict) or not config.keys() >= NEEDED:
        raise InputError(f"{path} is not a config that train.py or eval.py has written.")
    return config


def read_metrics(path: Path) -> dict[str, float]:
    """What is in a ``metrics.json``; an InputError where that cannot be read."""
    try:
        metrics = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error
    if not isinstance(metrics, dict):
        raise InputError(f"{path} holds no measures by name.")
    return metrics


def make_folder(folder: Path, switch: str) -> None:
    """A folder that can be written; an InputError that names the config's ``switch`` where there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # which has no name that another process could trip over
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written ({error.strerror}): say {switch}=FOLDER.") from error


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Lightning's metrics as a flat JSON object of numbers, in order of its keys."""
    atomic_text(path, json.dumps(dict(sorted(scalars(metrics).items())), indent=2, allow_nan=False) + "\n")


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Scalar tensors as numbers, to the seven digits that float32 holds; without those that are not known (NaN)."""
    numbers = {name: float(f"{float(value):.7g}") for name, value in metrics.items()}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def write_environment(folder: Path) -> None:
    """Note in the folder of a measurement what has measured it and where."""
    atomic_text(folder / "environment.json", json.dumps(_environment() | {"finished": _now()}, indent=2) + "\n")


def _environment() -> dict[str, object]:
    return {
        "command": _command(),
        "started": _now(),
        "host": platform.node(),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def _command() -> str:
    """What would run this alone, also where it is one of a sweep's, in a process that has a command of its own."""
    hydra = HydraConfig.get()
    return shlex.join([f"{hydra.job.name}.py", *hydra.overrides.task])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
