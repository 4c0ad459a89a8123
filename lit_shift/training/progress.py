"""Progress bars: one for the whole training, one for each measurement."""

import os
import time
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from lit_shift.training.look import may_look
from lit_shift.training.signals import interrupted


class Progress(ProgressBar):
    """Progress bar with epoch, loss, accuracy, images/s and time left; without a terminal, one line per epoch."""

    REFRESH_SECONDS = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.visible = "LIT_SHIFT_VIEW" not in os.environ  # set by a sweep that shows all its runs itself

    def disable(self) -> None:
        """Hide the bar. Lightning calls this in every process except the first."""
        self.visible = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
        self.task = self._add("training", self.total, trainer.fit_loop.total_batch_idx + 1)
        self.shown = 0.0
        self.found: list[str] = []
        self.on_train_epoch_start(trainer, pl_module)  # Lightning does not call it when resuming within an epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.images, self.began = 0, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.monotonic()
        self.images += len(batch.labels) * trainer.world_size
        self.speed = self.images / (now - self.began)
        if may_look(trainer):
            self._look(outputs["loss"], outputs["accuracy"])
        if self.visible and now - self.shown > self.REFRESH_SECONDS:
            self.shown = now
            description, *state = self._describe(trainer)
            completed = trainer.fit_loop.total_batch_idx + 1
            self.bars.update(self.task, completed=completed, description=description, state="  ".join(state))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.visible and not self.console.is_terminal:
            self._look(trainer.callback_metrics["train/loss"], trainer.callback_metrics["train/accuracy"])
            self.console.print("  ".join(self._describe(trainer)), highlight=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._remove(self.task)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.task = self._add("measuring the test set", int(sum(trainer.num_test_batches)))

    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.bars.advance(self.task)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._remove(self.task)

    def track(self, batches: Any, description: str) -> Iterator[Any]:
        """Iterate under a separate bar."""
        task = self._add(description, len(batches))
        try:
            for batch in batches:
                yield batch
                self.bars.advance(task)
        finally:
            self._remove(task)

    def _look(self, loss: Any, accuracy: Any) -> None:
        self.found = [f"loss {float(loss):.3f}", f"accuracy {float(accuracy):.1%}"]

    def _describe(self, trainer: Trainer) -> list[str]:
        """Epoch, the latest known loss and accuracy, and speed."""
        return [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", *self.found, f"{self.speed:,.0f} images/s"]

    def _add(self, description: str, total: int, completed: int = 0) -> TaskID:
        if self.visible and self.console.is_terminal:
            self.bars.start()
        return self.bars.add_task(description, total=total, completed=completed, state="")

    def _remove(self, task: TaskID) -> None:
        self.bars.remove_task(task)
        if not self.bars.tasks:
            self._stop()

    def _stop(self) -> None:
        if self.bars.live.is_started:
            self.bars.stop()


def tracked(trainer: Trainer, batches: Any, description: str) -> Iterator[Any]:
    """Iterate over what a callback measures, until interrupted, with a bar if the trainer has our progress callback."""
    bar = trainer.progress_bar_callback
    rest = bar.track(batches, description) if isinstance(bar, Progress) else batches
    return takewhile(lambda _: not interrupted(trainer), rest)
