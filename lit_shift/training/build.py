"""Build trainer, data and network from a config."""

import logging
import os
import warnings
from pathlib import Path
from typing import TypeVar

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from torch import nn

from lit_shift.classifiers.class_names import matched
from lit_shift.classifiers.classifier import Classifier
from lit_shift.data.module import ImageDataModule
from lit_shift.data.sources import Source
from lit_shift.data.view import View
from lit_shift.pools.pool import made
from lit_shift.runs.config import in_section, is_from_elsewhere, names_in
from lit_shift.runs.run import Run, checkpoint_at
from lit_shift.surgery import antialias
from lit_shift.training.checkpoint import AtomicCheckpointIO, BackgroundCheckpointIO, load_weights
from lit_shift.training.divergence import StopOnDivergence
from lit_shift.training.heartbeat import Heartbeat
from lit_shift.training.history import History
from lit_shift.training.memory import keep_freed_memory
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import Progress
from lit_shift.training.signals import StopOnSignal
from lit_shift.training.wandb_logging import MODES
from lit_shift.training.whole_steps import WholeSteps
from lit_shift.utils.errors import InputError, as_typed, at_least, number, one_of, true_or_false

Images = TypeVar("Images", bound=Source)

OTHER_DATA = "Or take the bundled digits, data=digits, or images of your own, data=imagefolder data.root=FOLDER."


def build_data(cfg: DictConfig) -> ImageDataModule:
    """Build, download and read the data set of ``cfg.data``."""
    data = prepared(build_data_module(cfg))
    with as_typed(names_in(cfg, "data")):
        data.setup()
    return data


def build_data_module(cfg: DictConfig) -> ImageDataModule:
    """Instantiate the data set of ``cfg.data``, or raise an InputError if it has no images to train on."""
    source = build_source(cfg)
    if not isinstance(source, ImageDataModule):
        raise InputError(
            f"data={cfg.choices.data} has no images to train on: measure a classifier on it by eval.py, with a "
            "protocol such as protocol=embed."
        )
    return source


def build_source(cfg: DictConfig) -> Source:
    """Instantiate the images of ``cfg.data``."""
    with in_section(cfg, "data"):
        source: Source = instantiate(cfg.data)
    return source


def prepared(source: Images) -> Images:
    """Download images, or raise an InputError that names others."""
    try:
        source.prepare_data()
    except InputError as error:
        raise InputError(f"{error} {OTHER_DATA}") from error
    return source


def build_module(cfg: DictConfig, data: ImageDataModule) -> LitClassifier:
    """Build the classifier of ``cfg`` for the data: with weights from the seed, or from a training elsewhere.

    A network trained elsewhere keeps its normalisation and its outputs, by which the data are labelled.

    Raises:
        InputError: the network cannot process images of that size, or it has other classes.
    """
    pl.seed_everything(cfg.seed, verbose=False)
    mean, std = data.mean, data.std
    if is_from_elsewhere(cfg):
        classifier = build_from_elsewhere(cfg)
        if data.classes != classifier.classes:  # in a measured run they are the same; ImageNet has two named crane
            data.relabel(matched(data.classes, classifier.classes, "by_order"), classifier.classes)
        net, mean, std = classifier.net, classifier.mean.flatten(), classifier.std.flatten()
    else:
        net = build_net(cfg, len(data.classes))
    with as_typed(names_in(cfg, "schedule")):
        optimizer = instantiate(cfg.optimizer)
        module = LitClassifier(net, mean, std, optimizer, **cfg.schedule, compile=cfg.compile)
    with in_section(cfg, "model"), torch.no_grad():
        module.eval()(data.test.pixels[:1])
    return module.train()


def start_from(module: LitClassifier, init: str) -> None:
    """Give a module the weights of a run, named by its folder or checkpoint.

    Raises:
        InputError: there is no such run, or its weights are of another network.
    """
    checkpoint = checkpoint_at(init)
    if not checkpoint.is_file():
        raise InputError(f"init={init} is no run: there is no checkpoint {checkpoint}.")
    try:
        load_weights(module, checkpoint)
    except InputError as error:
        raise InputError(f"init={init} does not fit; give model, pool and data as they were there. {error}") from error


def build_net(cfg: DictConfig, num_classes: int) -> nn.Module:
    """Build the network of ``cfg.model`` with the pool of ``cfg.pool``, antialiased if ``cfg.surgery`` says so."""
    if is_from_elsewhere(cfg):
        return build_from_elsewhere(cfg).net
    with in_section(cfg, "pool"):
        pool = instantiate(cfg.pool)
        made(pool, channels=8)
    with in_section(cfg, "model"):
        net: nn.Module = instantiate(cfg.model, pool=pool, num_classes=num_classes)
    return net if "surgery" not in cfg else antialias(net, cfg.surgery)


def build_from_elsewhere(cfg: DictConfig) -> Classifier:
    """Build the classifier of ``cfg.model``, antialiased if ``cfg.surgery`` says so.

    In the config of a run, which knows its classes, the weights are random: those of the run are to be loaded.
    """
    model, names = cfg.model, cfg.get("class_names", cfg.get("classes"))
    if names is not None:
        model = OmegaConf.merge(model, {"weights": "random", "classes": list(names)})
    with in_section(cfg, "model"):
        classifier: Classifier = instantiate(model)
    if "surgery" in cfg:
        classifier.net = antialias(classifier.net, cfg.surgery, example=torch.zeros(1, 3, *classifier.view[:2]))
    return classifier


def load_run(run: str | Path) -> Classifier:
    """Load the classifier that a run has trained: images (N, 3, H, W) with values in [0, 1] -> logits (N, K).

    Args:
        run: its folder, or a checkpoint in it.

    Raises:
        InputError: there is no such run, or it is not one of this version.
    """
    cfg = OmegaConf.create(Run.of(run).config())
    # The checkpoint also has the normalisation.
    classifier = Classifier(build_net(cfg, len(cfg.classes)), [0] * 3, [1] * 3, cfg.classes, view_of_run(cfg))
    load_weights(classifier, checkpoint_at(run))
    return classifier


def view_of_run(cfg: DictConfig) -> View:
    """View of a run: resize the shorter side to that of the training images, then crop the middle."""
    height, width = cfg.image_size
    return View(height, width, resize=min(height, width))


def check_early(cfg: DictConfig) -> None:
    """Raise the InputErrors of a training's config before its data are read, or its folder made.

    Reading the data may take long.
    """
    if at_least(0, "seed", cfg.seed) >= 2**32:  # NumPy's limit
        raise InputError(f"seed={cfg.seed} must be below 2^32.")
    build_data_module(cfg)
    net = build_net(cfg, num_classes=2)
    with in_section(cfg, "optimizer"):
        if "lr" in cfg.optimizer:
            number("lr", cfg.optimizer.lr, 0)
        instantiate(cfg.optimizer)(net.parameters())
    if "mode" in cfg.logger:
        one_of(MODES, "logger.mode", cfg.logger.mode)


def build_training(cfg: DictConfig, run: Run) -> pl.Trainer:
    """Build a trainer that measures and saves into the run's folder."""
    checkpoint = ModelCheckpoint(
        run.checkpoint.parent, run.checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True
    )
    # The order matters: a diverged network is not measured, and the history comes after all callbacks that log.
    callbacks = [
        WholeSteps(cfg.steps_at_once),
        StopOnDivergence(),
        *build_callbacks(cfg),
        History(run.history),
        Heartbeat(run.folder / "progress.json"),
        checkpoint,
        StopOnSignal(run.checkpoint, "The same command without fresh=true" if cfg.fresh else "The same command"),
    ]
    return build_trainer(cfg, callbacks, run.folder, validate=bool(cfg.data.val_size))


def build_callbacks(cfg: DictConfig) -> list[pl.Callback]:
    """Instantiate the callbacks of ``cfg.callbacks``, in order."""
    callbacks = []
    for name, callback in cfg.callbacks.items():
        if callback:
            with in_section(cfg, f"callbacks.{name}"):
                callbacks.append(instantiate(callback))
    return callbacks


def build_trainer(
    cfg: DictConfig, callbacks: list[pl.Callback], folder: str | Path = os.devnull, validate: bool = False
) -> pl.Trainer:
    """Build the Lightning trainer of ``cfg.trainer``.

    Args:
        folder: the run's folder; none for a measurement. It is never the working folder, because under SLURM Lightning
            loads any ``hpc_ckpt_<n>.ckpt`` that it finds there.
        validate: True if training images are held out for validation.

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
        "`torch.jit.script` is deprecated",  # PyTorch uses it itself to differentiate in forward mode
    ):
        warnings.filterwarnings("ignore", message)
    with in_section(cfg, "trainer"):
        at_least(1, "max_epochs", cfg.trainer.max_epochs)
        on_gpus = true_or_false("sync_batchnorm", cfg.trainer.sync_batchnorm)
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
            limit_val_batches=1.0 if validate else 0,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    if trainer.strategy.root_device.type == "cpu":
        if on_gpus:
            raise InputError("trainer.sync_batchnorm=true needs GPUs: PyTorch supports it on no other device.")
        keep_freed_memory()
    else:
        trainer.strategy.checkpoint_io = BackgroundCheckpointIO()
    return trainer


def device_name(trainer: pl.Trainer) -> str:
    """Name of the device that the trainer runs on."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{trainer.world_size} x {name}"
