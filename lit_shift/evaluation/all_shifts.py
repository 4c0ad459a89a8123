"""Measurement of a run under circular shifts of the test images, as at the end of its training."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from lit_shift.classifiers.class_names import matched
from lit_shift.data.loader import Images
from lit_shift.data.module import ImageDataModule
from lit_shift.data.view import whole
from lit_shift.evaluation.build import antialiased
from lit_shift.evaluation.folder import ready_folder
from lit_shift.runs.findings import Findings
from lit_shift.runs.run import Run
from lit_shift.training.build import build_callbacks, build_data, build_module, build_trainer, view_of_run
from lit_shift.training.checkpoint import load_weights
from lit_shift.training.collect import collect
from lit_shift.training.signals import KeepMeasured
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError
from lit_shift.utils.files import given


def measure(cfg: DictConfig, out: Path) -> tuple[pl.Trainer, Findings]:
    """Test a run's checkpoint as its training does."""
    trainer = build_trainer(cfg, [*build_callbacks(cfg), KeepMeasured()])
    data = build_data(cfg)
    see_as_trained(cfg, data)
    module = build_module(cfg, data)
    load_weights(module, given(cfg.ckpt))
    if cfg.antialias is not None:
        module.net = antialiased(cfg, module.net, data.image_size)
    module.skip_bad = cfg.skip_bad
    ready_folder(cfg, out)
    # The callbacks of conf/callbacks measure: ShiftMeasures logs test/consistency and leaves arrays such as variation.
    trainer.test(module, data, verbose=False)
    return trainer, collect(trainer, cfg, Run.of(cfg.ckpt))


def see_as_trained(cfg: DictConfig, data: ImageDataModule) -> None:
    """Convert a data set's test images to a run's classes and view, in 8 bits. Prints what this changes.

    Raises:
        InputError: the number of classes or the classes differ, or the images cannot be brought to that size.
    """
    known = list(cfg.class_names)
    if len(known) < len(data.classes):
        raise InputError(f"The run knows {len(known)} classes, but data={cfg.choices.data} has {len(data.classes)}.")
    labels = torch.tensor(matched(data.classes, known, cfg.classes))[data.test.labels]
    pixels, view = data.test.pixels, view_of_run(cfg)
    height, width = pixels.shape[2:]
    if (height, width) != (view.height, view.width):
        say(f"The test images, of {height}x{width} pixels, are resized to {view.height}x{view.width}, as in training.")
        parts = [whole(part / 255, view).mul(255).round().to(torch.uint8) for part in pixels.split(256)]
        pixels = torch.cat(parts)
    data.test, data.classes = Images(pixels, labels), known
