"""Progress of a training, in a file for other processes to read."""

import json
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lit_shift.training.look import may_look
from lit_shift.utils.files import atomic_text


class Heartbeat(Callback):
    """Callback that keeps epoch, accuracy, speed and seconds left, or ``measuring``, in ``path`` during a run."""

    SECONDS = 2.0
    accuracy: float | None

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began, self.written, self.accuracy = time.monotonic(), 0.0, None
        self.images = self.batches = 0
        if trainer.is_global_zero:
            self.path.unlink(missing_ok=True)  # left by a training that was killed

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not trainer.is_global_zero:
            return
        now = time.monotonic()
        self.images += len(batch.labels) * trainer.world_size
        self.batches += 1
        if may_look(trainer):
            self.accuracy = float(outputs["accuracy"])
        if now - self.written < self.SECONDS:
            return
        self.written = now
        epochs_left = (trainer.max_epochs or 0) - trainer.current_epoch
        batches_left = epochs_left * int(trainer.num_training_batches) - (batch_idx + 1)
        progress = {
            "epoch": trainer.current_epoch + 1,
            "epochs": trainer.max_epochs,
            "accuracy": self.accuracy,  # None before it has been read from the device
            "images_per_second": self.images / (now - self.began),
            "seconds_left": batches_left * (now - self.began) / self.batches,
        }
        atomic_text(self.path, json.dumps(progress))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            atomic_text(self.path, json.dumps({"measuring": True}))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.path.unlink(missing_ok=True)
