"""From a config to the objects that train and test: data, classifier, trainer."""

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
from lit_shift.training.classifier import Classifier
from lit_shift.training.divergence import StopOnDivergence
from lit_shift.training.heartbeat import Heartbeat
from lit_shift.training.history import History
from lit_shift.training.memory import keep_freed_memory
from lit_shift.training.progress import Progress
from lit_shift.training.signals import KeepMeasured, StopOnSignal
from lit_shift.utils.errors import InputError, at_least


def build_data(cfg: DictConfig) -> ImageDataModule:
    """The data set of ``cfg.data``, downloaded and read."""
    if "pool" in cfg:  # a classifier from elsewhere has its own
        instantiate(cfg.pool)()  # an unknown filter or padding is said before the download
    data: ImageDataModule = instantiate(cfg.data)
    data.prepare_data()
    data.setup()
    return data


def build_classifier(cfg: DictConfig, data: ImageDataModule) -> Classifier:
    """The classifier of ``cfg`` for the data, initialised by its seed.

    Raises:
        InputError: the network cannot take images of that size.
    """
    pl.seed_everything(cfg.seed, verbose=False)
    num_classes = len(data.classes)
    with said_of("model"):
        net = instantiate(cfg.model, pool=instantiate(cfg.pool), num_classes=num_classes)
    classifier = Classifier(
        net, num_classes, data.mean, data.std, instantiate(cfg.optimizer), **cfg.schedule, compile=cfg.compile
    )
    with said_of("optimizer"):
        classifier.make_optimizer(classifier.parameters())
    with said_of("model"), torch.no_grad():
        classifier.eval()(data.test.pixels[:1])
    return classifier.train()


@contextmanager
def said_of(part: str) -> Iterator[None]:
    """What goes wrong in making a part of the config is that part's fault."""
    try:
        yield
    except Exception as error:
        reason = error.__cause__ or error
        if isinstance(reason, InputError | MissingMandatoryValue):
            raise reason from None
        raise InputError(f"The config's {part!r} does not work: {reason} ({type(reason).__name__}).") from error


def build_training(cfg: DictConfig, run: Run) -> pl.Trainer:
    """A trainer that measures and saves into the run's folder."""
    at_least(1, "trainer.max_epochs", cfg.trainer.max_epochs)
    checkpoint = ModelCheckpoint(
        run.checkpoint.parent, run.checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True
    )
    # The order matters: nothing measures a diverged net, and the history comes after all that logs.
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
    """A trainer that measures, and keeps what it has measured when it is interrupted."""
    return build_trainer(cfg, [*build_measures(cfg), KeepMeasured()])


def build_measures(cfg: DictConfig) -> list[pl.Callback]:
    """The callbacks of ``cfg.callbacks``."""
    return [instantiate(measure) for measure in cfg.callbacks.values() if measure]


def build_trainer(cfg: DictConfig, callbacks: list[pl.Callback], folder: str | Path = os.devnull) -> pl.Trainer:
    """Lightning's trainer of ``cfg.trainer``.

    Args:
        folder: the run's. Under SLURM Lightning loads whatever ``hpc_ckpt_<n>.ckpt`` is in it, so it is never the
            working folder; a measurement has none.

    Raises:
        InputError: its settings do not work here.
    """
    if cfg.trainer.accelerator == "gpu" and not torch.accelerator.is_available():
        raise InputError(
            "There is no GPU here that PyTorch can use: leave out experiment=gpu, or say trainer.accelerator=cpu."
        )
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no list of devices that are not there
    for message in (
        ".*LeafSpec.* is deprecated",  # Lightning 2.6 on the newest torch
        "It is recommended to use .*sync_dist",  # what is logged is the same in every process
        "The number of training batches",  # nothing is logged by the batch
        "Checkpoint directory .* exists and is not empty",  # that of the run which is resumed
        "The `srun` command is available",  # hydra/launcher=slurm uses it
    ):
        warnings.filterwarnings("ignore", message)
    with said_of("trainer"):
        # What SLURM is to start again saves a checkpoint of its own first; see StopOnSignal.
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
        if cfg.trainer.get("sync_batchnorm"):  # a run may be older than the switch
            raise InputError("trainer.sync_batchnorm=true needs GPUs: PyTorch has it for no other device.")
        keep_freed_memory()
    return trainer


def device_name(trainer: pl.Trainer) -> str:
    """What the trainer runs on, for the record."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{trainer.world_size} x {name}"
