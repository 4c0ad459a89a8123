"""Weights & Biases: offline unless asked, and never in the way."""

import socket
from pathlib import Path
from urllib.parse import urlparse

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from lit_shift.console import say


def wandb_logger(mode: str, project: str, group: str, name: str, folder: Path, config: DictConfig) -> WandbLogger:
    """W&B through Lightning's logger; a resumed run continues under its id.

    Args:
        mode: ``offline`` needs no account and no network; ``online`` falls back to it, saying why, where there is no
            login or no network.
        project: W&B's project.
        group: runs that W&B shows together.
        name: shown for the run.
        folder: the run's folder, which also gives its id.
        config: shown as the run's configuration.
    """
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # else it greets, advises and summarises on the console
    if mode == "online" and (reason := _unreachable()):
        say(f"W&B cannot go online ({reason}); this run is logged offline.")
        mode = "offline"
    return WandbLogger(
        name=name,
        id=folder.name,
        project=project,
        group=group,
        save_dir=str(folder),
        config=OmegaConf.to_container(config),
        mode=mode,
        resume="allow",
    )


def finish(trainer: Trainer) -> None:
    """Close the run in W&B, so that the next of a sweep has its own, and say how to upload what is offline."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger) and trainer.is_global_zero:
            offline = logger.experiment.offline
            logger.experiment.finish()
            if offline:
                say(f"W&B has logged offline; to upload: wandb sync {logger.save_dir}/wandb/offline-run-*")


def log_histogram(trainer: Trainer, key: str, values: Tensor) -> None:
    """A histogram for W&B, where that is the logger."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger) and trainer.is_global_zero:
            import wandb

            logger.experiment.log({key: wandb.Histogram(values.tolist())})


def _unreachable() -> str | None:
    """Why W&B's server cannot be used, or None where it can."""
    import wandb

    server = urlparse(wandb.setup().settings.base_url)
    try:
        socket.create_connection((server.hostname or "", server.port or 443), timeout=5).close()
    except OSError as error:
        return f"no network: {error}"
    try:
        return None if wandb.login(prompt=False) else "no login; 'wandb login' makes one"
    except wandb.Error as error:
        return str(error)
