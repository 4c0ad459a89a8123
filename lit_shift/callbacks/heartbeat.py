"""How far a training is, in a file for others to read."""

import json
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lit_shift.callbacks.look import may_look
from lit_shift.files import atomic_text


class Heartbeat(Callback):
    """Notes epoch, accuracy, speed and seconds left in ``path``, or that it measures; of a finished run it is gone."""

    SECONDS = 2.0

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began, self.written, self.images = time.monotonic(), 0.0, 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.images += len(batch.labels) * trainer.world_size
        now = time.monotonic()
        if not trainer.is_global_zero or now - self.written < self.SECONDS or not may_look(trainer):
            return
        self.written = now
        speed = self.images / (now - self.began)
        steps = int(trainer.num_training_batches) * (trainer.max_epochs or 0) - trainer.global_step
        progress = {
            "epoch": trainer.current_epoch + 1,
            "epochs": trainer.max_epochs,
            "accuracy": float(outputs["accuracy"]),
            "images_per_second": speed,
            "seconds_left": steps * len(batch.labels) * trainer.world_size / speed,
        }
        atomic_text(self.path, json.dumps(progress))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            atomic_text(self.path, json.dumps({"measuring": True}))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.path.unlink(missing_ok=True)
