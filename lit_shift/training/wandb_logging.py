"""Logging to Weights & Biases, offline by default; a run never fails because W&B is unreachable."""

import os
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies
from uuid import uuid4

import numpy as np
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from lit_shift.runs.config import group as group_of
from lit_shift.runs.config import label
from lit_shift.utils.console import say
from lit_shift.utils.errors import one_of
from lit_shift.utils.files import atomic_text, given

MODES = ("online", "offline", "disabled", "run", "dryrun")  # the last two are older names of the first two


def wandb_logger(
    mode: str, project: str, group: str | None, name: str, folder: Path, config: DictConfig
) -> WandbLogger | None:
    """Create Lightning's W&B logger. A resumed run continues under its id. Returns None if W&B is disabled.

    W&B's environment variables (``WANDB_NAME``, ``WANDB_RUN_ID``, ``WANDB_JOB_TYPE``, ``WANDB_DIR``,
    ``WANDB_RESUME``, ``WANDB_SILENT``) take precedence over the values chosen here. W&B reads the others itself.

    Args:
        mode: ``offline`` needs no account and no network; ``online`` falls back to it, saying why, if there is no
            login or no network; ``disabled``.
        project: W&B's project.
        group: name under which W&B groups runs; None groups runs that differ only by seed.
        name: display name of the run.
        folder: the run's folder, where its W&B id is kept.
        config: shown as the run's configuration.
    """
    if one_of(MODES, "mode", mode) == "disabled":
        return None
    import wandb

    mode = {"run": "online", "dryrun": "offline"}.get(mode, mode)
    if not os.environ.get("WANDB_SILENT"):
        wandb.setup(wandb.Settings(silent=True))  # no greetings, advice and summaries on the console
    if mode == "online" and (reason := _unreachable()):
        say(f"W&B cannot go online ({reason}); this run is logged offline.")
        mode = "offline"
    choices = config.choices
    training = "ckpt" not in config  # only eval.py has ckpt
    identity = folder / "wandb" / "id"
    if not identity.exists():  # in another folder, the same config is another run to W&B
        atomic_text(identity, _chosen("WANDB_RUN_ID", uuid4().hex[:8]))
    kind = f"{choices.data}, {choices.model}, {config.trainer.max_epochs} epochs" if training else "evaluation"
    return WandbLogger(
        name=_chosen("WANDB_NAME", name),
        id=identity.read_text(),
        project=project,
        group=group or group_of(config),
        job_type=_chosen("WANDB_JOB_TYPE", kind),
        # Sweep agents set WANDB_DIR for their own files.
        save_dir=str(folder if "WANDB_SWEEP_ID" in os.environ else given(_chosen("WANDB_DIR", str(folder)))),
        config=OmegaConf.to_container(config),
        mode=mode,
        resume=_chosen("WANDB_RESUME", "allow"),
    )


def _chosen(variable: str, ours: str) -> str:
    """Return the user's environment variable if set, else our value."""
    return os.environ.get(variable) or ours


@contextmanager
def logged(trainer: Trainer, cfg: DictConfig, folder: Path) -> Iterator[None]:
    """Log the trainer's results to ``cfg.logger``, and close the W&B run, so that the next run gets its own."""
    if cfg.logger:
        trainer.logger = instantiate(cfg.logger, _partial_=True)(name=label(cfg), folder=folder, config=cfg)
    try:
        yield
    except BaseException:
        _close(trainer, exit_code=1)
        raise
    _close(trainer, exit_code=0)


def log_again(trainer: Trainer, rows: list[dict[str, float]]) -> None:
    """Log the epochs before a resumption again: each offline session has its own file, and one file must hold all."""
    for logger in wandb_loggers(trainer):
        if logger.experiment.offline:
            for row in rows:
                step = int(row["epoch"] * trainer.num_training_batches) - 1
                logger.log_metrics(row | {"epoch": row["epoch"] - 1}, step)


def wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    """Return the trainer's W&B loggers, in the first process only."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger) and trainer.is_global_zero]


def log_histogram(trainer: Trainer, key: str, counts: np.ndarray, edges: np.ndarray) -> None:
    """Log a histogram to W&B if it is in use."""
    for logger in wandb_loggers(trainer):
        import wandb

        logger.experiment.log({key: wandb.Histogram(np_histogram=(counts, edges))})


def log_media(
    trainer: Trainer, figures: Callable[[], Mapping[str, Figure]], rows: Callable[[], Mapping[str, Mapping[str, Any]]]
) -> None:
    """Log figures as ``figures/<name>`` and rows as one-row tables to W&B. They are made only if it is in use."""
    for logger in wandb_loggers(trainer):
        import wandb

        media: dict[str, Any] = {f"figures/{name}": wandb.Image(_png(figure)) for name, figure in figures().items()}
        media |= {name: wandb.Table(columns=list(row), data=[list(row.values())]) for name, row in rows().items()}
        logger.experiment.log(media)


def _png(figure: Figure) -> Image.Image:
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return Image.open(content)


def _close(trainer: Trainer, exit_code: int) -> None:
    if wandb_loggers(trainer):
        import wandb

        if wandb.run is not None:  # an error may have occurred before W&B started
            folder, offline = Path(wandb.run.dir).parent, wandb.run.offline
            wandb.finish(exit_code)
            if offline:
                say(f"W&B has logged offline; to upload: wandb sync {shlex.quote(os.path.relpath(folder))}")


def _unreachable() -> str | None:
    """Return why W&B's server cannot be used, or None if it can."""
    import wandb

    server = urlparse(wandb.setup().settings.base_url)
    try:
        if server.scheme not in getproxies():  # a proxy resolves the host name itself
            socket.create_connection((server.hostname or "", server.port or 443), timeout=5).close()
    except OSError as error:
        return f"no network: {error}"
    try:
        return None if wandb.login(prompt=False) else "no login; 'wandb login' makes one"
    except wandb.Error as error:
        return str(error)
