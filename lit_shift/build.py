"""From a config to the objects that train and test: data, classifier, trainer."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from lit_shift.callbacks import History, Progress, StopOnDivergence, StopOnSignal
from lit_shift.checkpoint import AtomicCheckpointIO
from lit_shift.classifier import Classifier
from lit_shift.config import label
from lit_shift.data.module import ImageDataModule
from lit_shift.errors import InputError
from lit_shift.run import Run


def build_data(cfg: DictConfig) -> ImageDataModule:
    """The data set of ``cfg.data``, downloaded and read."""
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
    net = instantiate(cfg.model, pool=instantiate(cfg.pool), num_classes=num_classes)
    classifier = Classifier(
        net, num_classes, data.mean, data.std, instantiate(cfg.optimizer), **cfg.schedule, compile=cfg.compile
    )
    if "classes" in cfg and len(cfg.classes) != num_classes:
        raise InputError(f"The run knows {len(cfg.classes)} classes, but data={cfg.choices.data} has {num_classes}.")
    with torch.no_grad():
        classifier.eval()(data.train.pixels[:1])
    return classifier.train()


def build_training(cfg: DictConfig, run: Run) -> pl.Trainer:
    """A trainer that measures, saves and logs into the run's folder."""
    logger: Any = False
    if cfg.logger:
        logger = instantiate(cfg.logger, _partial_=True)(name=label(cfg), folder=run.folder, config=cfg)
    checkpoint = ModelCheckpoint(run.checkpoint.parent, run.checkpoint.stem, enable_version_counter=False)
    # The order matters: nothing measures a diverged net, and the history comes after all that logs.
    callbacks = [
        StopOnDivergence(),
        *build_measures(cfg),
        History(run.history),
        checkpoint,
        StopOnSignal(run.checkpoint),
    ]
    return build_trainer(cfg, callbacks, logger)


def build_measures(cfg: DictConfig) -> list[pl.Callback]:
    """The callbacks of ``cfg.callbacks``."""
    return [instantiate(measure) for measure in cfg.callbacks.values()]


def build_trainer(cfg: DictConfig, callbacks: list[pl.Callback], logger: Any = False) -> pl.Trainer:
    """Lightning's trainer of ``cfg.trainer``."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # no list of devices that are not there
    for message in (
        ".*LeafSpec.* is deprecated",  # Lightning 2.6 on the newest torch
        "It is recommended to use .*sync_dist",  # what is logged is the same in every process
        "The number of training batches",  # nothing is logged by the batch
        "Checkpoint directory .* exists and is not empty",  # that of the run which is resumed
    ):
        warnings.filterwarnings("ignore", message)
    return instantiate(
        cfg.trainer,
        callbacks=[*callbacks, Progress()],
        logger=logger,
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if cfg.data.val_size else 0,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def device_name(trainer: pl.Trainer) -> str:
    """What the trainer runs on, for the record."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{trainer.world_size} x {name}"
