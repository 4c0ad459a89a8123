"""Build data, classifier and trainer from a config."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from lit_shift.data.module import ImageDataModule
from lit_shift.runs.run import Run
from lit_shift.training.checkpoint import AtomicCheckpointIO
from lit_shift.training.divergence import StopOnDivergence
from lit_shift.training.heartbeat import Heartbeat
from lit_shift.training.history import History
from lit_shift.training.memory import keep_freed_memory
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import Progress
from lit_shift.training.signals import KeepMeasured, StopOnSignal
from lit_shift.utils.errors import InputError, at_least


def build_data(cfg: DictConfig) -> ImageDataModule:
    """Instantiate, download and read the data set of ``cfg.data``."""
    if "pool" in cfg:  # a classifier from elsewhere has none
        instantiate(cfg.pool)()  # reports an unknown filter or padding before the download
    data: ImageDataModule = instantiate(cfg.data)
    data.prepare_data()
    data.setup()
    return data


def build_module(cfg: DictConfig, data: ImageDataModule) -> LitClassifier:
    """Build the classifier of ``cfg`` for the data, initialised from its seed.

    Raises:
        InputError: the network cannot process images of that size.
    """
    pl.seed_everything(cfg.seed, verbose=False)
    num_classes = len(data.classes)
    with said_of("model"):
        net = instantiate(cfg.model, pool=instantiate(cfg.pool), num_classes=num_classes)
    classifier = LitClassifier(
        net, num_classes, data.mean, data.std, instantiate(cfg.optimizer), **cfg.schedule, compile=cfg.compile
    )
    with said_of("optimizer"):
        classifier.make_optimizer(classifier.parameters())
    with said_of("model"), torch.no_grad():
        classifier.eval()(data.test.pixels[:1])
    return classifier.train()


@contextmanager
def said_of(part: str) -> Iterator[None]:
    """Re-raise any error as an InputError that names the section of the config."""
    try:
        yield
    except Exception as error:
        reason = error.__cause__ or error
        if isinstance(reason, InputError | MissingMandatoryValue):
            raise reason from None
        raise InputError(f"The config's {part!r} does not work: {reason} ({type(reason).__name__}).") from error


def build_training(cfg: DictConfig, run: Run) -> pl.Trainer:
    """Build a trainer that measures and saves into the run's folder."""
    at_least(1, "trainer.max_epochs", cfg.trainer.max_epochs)
    checkpoint = ModelCheckpoint(
        run.checkpoint.parent, run.checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True
    )
    # The order matters: a diverged network is not measured, and the history comes after all callbacks that log.
    callbacks = [
        StopOnDivergence(),
        *build_measures(cfg),
        History(run.history),
        Heartbeat(run.folder / "progress.json"),
        checkpoint,
        StopOnSignal(run.checkpoint, cfg.fresh),
    ]
    trainer = build_trainer(cfg, callbacks, run.folder)
    if trainer.world_size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise InputError("A run of a sweep (-m) takes one device; start runs on several devices one by one.")
    return trainer


def build_testing(cfg: DictConfig) -> pl.Trainer:
    """Build a trainer that measures, and keeps what it has measured when interrupted."""
    return build_trainer(cfg, [*build_measures(cfg), KeepMeasured()])


def build_measures(cfg: DictConfig) -> list[pl.Callback]:
    """Instantiate the callbacks of ``cfg.callbacks``."""
    return [instantiate(measure) for measure in cfg.callbacks.values() if measure]


def build_trainer(cfg: DictConfig, callbacks: list[pl.Callback], folder: str | Path = os.devnull) -> pl.Trainer:
    """Build the Lightning trainer of ``cfg.trainer``.

    Args:
        folder: the run's folder; none for a measurement. It is never the working folder, because under SLURM Lightning
            loads any ``hpc_ckpt_<n>.ckpt`` that it finds there.

    Raises:
        InputError: the settings do not work on this machine.
    """
    if cfg.trainer.accelerator == "gpu" and not torch.accelerator.is_available():
        raise InputError(
            "There is no GPU here that PyTorch can use: leave out experiment=gpu, or say trainer.accelerator=cpu."
        )
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no list of missing devices
    for message in (
        ".*LeafSpec.* is deprecated",  # Lightning 2.6 with the newest torch
        "It is recommended to use .*sync_dist",  # logged values are the same in every process
        "The number of training batches",  # nothing is logged per batch
        "Checkpoint directory .* exists and is not empty",  # as expected when a run is resumed
        "The `srun` command is available",  # hydra/launcher=slurm uses it
    ):
        warnings.filterwarnings("ignore", message)
    with said_of("trainer"):
        # StopOnSignal saves a checkpoint and requeues the job; Lightning must not do so too.
        by_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
        slurm = [SLURMEnvironment(auto_requeue=False)] if by_slurm else []
        trainer: pl.Trainer = instantiate(
            cfg.trainer,
            callbacks=[*callbacks, Progress()],
            logger=False,
            plugins=[AtomicCheckpointIO(), *slurm],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if cfg.data.val_size else 0,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    if trainer.strategy.root_device.type == "cpu":
        if cfg.trainer.get("sync_batchnorm"):  # runs may predate this switch
            raise InputError("trainer.sync_batchnorm=true needs GPUs: PyTorch supports it on no other device.")
        keep_freed_memory()
    return trainer


def device_name(trainer: pl.Trainer) -> str:
    """Name of the device that the trainer runs on."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{trainer.world_size} x {name}"
