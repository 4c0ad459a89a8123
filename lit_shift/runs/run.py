"""A run's folder: its location, its files and its state. Needs no torch."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from lit_shift.runs.config import digest, identity, images_of, label
from lit_shift.runs.findings import ARRAYS, Findings, save_arrays
from lit_shift.runs.records import (
    ENVIRONMENT,
    TOO_OLD,
    note,
    now,
    read_config,
    read_metrics,
    too_old,
    write_environment,
    write_metrics,
)
from lit_shift.utils.errors import InputError, true_or_false
from lit_shift.utils.files import atomic_text, given, make_folder

NEEDED_OF_A_RUN = {"pool", "callbacks", "image_size"}


class Busy(Exception):
    """Another process is training the run."""


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
        self.environment = folder / ENVIRONMENT

    @classmethod
    def locate(cls, cfg: DictConfig) -> "Run":
        """Return the newest run of this config, or where to create it; with ``fresh`` always a new folder."""
        if os.environ.get("LOCAL_RANK", "0") != "0" and "LIT_SHIFT_RUN" in os.environ:
            return cls(Path(os.environ["LIT_SHIFT_RUN"]))  # a process that joins the first one's run
        true_or_false("fresh", cfg.fresh)
        first = given(cfg.runs, "runs") / f"{cfg.choices.data}-{label(cfg)}-{identity(cfg)}"
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
        """Return the run that a checkpoint belongs to.

        Raises:
            InputError: there is no such file.
        """
        path = checkpoint_at(checkpoint)
        if not path.is_file():
            raise InputError(f"There is no checkpoint {str(path)!r}: type ckpt=RUN, the folder of a run.")
        if path.suffix != ".ckpt":
            raise InputError(f"{path} is no checkpoint: type ckpt=RUN")
        return cls(path.absolute().parents[1])

    def config(self) -> dict[str, Any]:
        """Read the run's config.

        Raises:
            InputError: there is none, or version 0.1 wrote it.
        """
        config = read_config(self.folder / "config.yaml")
        if too_old(self.folder):
            raise InputError(f"{self.folder} was {TOO_OLD}: train it again.")
        if missing := NEEDED_OF_A_RUN - config.keys():
            raise InputError(
                f"{self.folder / 'config.yaml'} has no {', '.join(sorted(missing))}: it is not the config of a run, or "
                "was written by an older version, without a line such as 'image_size: [32, 32]'."
            )
        return config

    def evaluation(self, cfg: DictConfig) -> Path:
        """Folder for a measurement with this config: ``eval``, or ``eval-<data>-<hash>`` for data other than the run's.

        For an unfinished run it ends with ``-epoch<n>``, so that it cannot be mistaken for the finished run's.
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

    def result(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Read config and metrics of a finished run.

        Raises:
            InputError: one cannot be read.
        """
        try:
            return read_config(self.folder / "config.yaml"), read_metrics(self.metrics)
        except InputError as error:
            raise InputError(f"{error} If the run's folder is deleted, the same command trains it again.") from error

    @property
    def ended(self) -> str:
        """Time when the run finished, as text that sorts; empty if it has not."""
        return str(self._noted().get("finished", ""))

    @property
    def device(self) -> str:
        """Name of the device that trained the run, such as ``1 x CPU, 2 threads``; empty if unknown."""
        return str(self._noted().get("device", ""))

    @property
    def images_per_second(self) -> dict[str, float]:
        """Speed of ``training`` and of ``forward`` passes on that device; empty if unknown."""
        return dict(self._noted().get("images_per_second", {}))

    def _noted(self) -> dict[str, Any]:
        """Read ``environment.json``; empty if it is missing or holds something else."""
        try:
            return dict(json.loads(self.environment.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    @property
    def resume_from(self) -> Path | None:
        """Checkpoint to continue from, or None."""
        return self.checkpoint if self.checkpoint.exists() else None

    @property
    def state(self) -> str:
        """State of the run, in words."""
        return "finished" if self.finished else "resuming" if self.resume_from else "new run"

    @contextmanager
    def alone(self, first: bool) -> Iterator[None]:
        """Keep other commands from training this run at the same time. A process that died keeps no lock.

        Args:
            first: True in the first of the processes that share the run, which locks for all.

        Raises:
            Busy: another command is training the run.
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

    def start(self, cfg: DictConfig, classes: list[str], image_size: list[int], command: str, device: str) -> None:
        """Record config, classes, image size (height and width), command and machine of a run that begins."""
        for folder in (self.folder, self.checkpoint.parent):  # not in eval/, which another process may be writing
            for part in folder.glob("*.part"):  # left by a kill in the middle of a write
                part.unlink()
        learned = {"classes": classes, "image_size": image_size}
        atomic_text(self.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.merge(cfg, learned)))
        write_environment(self.environment, command, device=device)

    def finish(self, findings: Findings) -> None:
        """Write the arrays and ``metrics.json``, which marks the run as finished."""
        save_arrays(self.folder / ARRAYS, findings.arrays)
        note(self.environment, finished=now())
        write_metrics(self.metrics, findings.metrics)


def checkpoint_at(path: str | Path) -> Path:
    """Return the checkpoint at a path: the file itself, or the last checkpoint of a run's folder."""
    path = given(path, "ckpt")
    return next((file for name in ("checkpoints/last.ckpt", "last.ckpt") if (file := path / name).is_file()), path)
