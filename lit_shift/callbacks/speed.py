"""Speed of a network on the machine that trains it."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from lit_shift.runs.records import ENVIRONMENT, note
from lit_shift.training.module import LitClassifier
from lit_shift.training.signals import interrupted

SECONDS, PASSES = 2.0, 3  # spent on the forward pass, at least


class Speed(Callback):
    """Callback that notes in a run's ``environment.json`` how many images a second the network takes.

    ``images_per_second`` has the median over epochs of ``training``, which includes loading and augmentation, and the
    median over several passes of ``forward``, which is in evaluation mode on a batch of the training's size, in the
    training's precision. This must come before callbacks that measure at the end of an epoch.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.began: float | None = None  # None in an epoch that did not begin in this process
        self.ended: float | None = None  # where a validation follows within the epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        self.began, self.ended = _now(pl_module.device), None

    def on_validation_start(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        self.ended = _now(pl_module.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if data is not None and self.began is not None and trainer.limit_train_batches == 1.0:
            images = len(data.train.labels)
            self.rates.append(images / ((self.ended or _now(pl_module.device)) - self.began))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        environment = Path(trainer.default_root_dir) / ENVIRONMENT
        if interrupted(trainer) or not self.rates or not environment.exists():  # not a run's training
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        pixels = data.test.pixels[: -(-data.batch_size // trainer.world_size)].to(pl_module.device)
        seconds: list[float] = []
        with trainer.precision_plugin.forward_context(), torch.inference_mode():
            pl_module(pixels)
            while len(seconds) < PASSES or sum(seconds) < SECONDS:
                began = _now(pl_module.device)
                pl_module(pixels)
                seconds.append(_now(pl_module.device) - began)
        if trainer.is_global_zero:
            forward = trainer.world_size * len(pixels) / median(seconds)
            rates = {"training": median(self.rates), "forward": forward}
            note(environment, images_per_second={name: round(rate, 1) for name, rate in rates.items()})

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rates = state_dict["rates"]


def _now(device: torch.device) -> float:
    """Return the time when the device has done its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.monotonic()
