"""Detection of diverged trainings."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from lit_shift.training.look import may_look
from lit_shift.utils.errors import InputError


class StopOnDivergence(Callback):
    """Callback that stops a training whose loss or weights are NaN or infinite, before its next checkpoint."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.lr = trainer.optimizers[0].param_groups[0]["lr"]  # before the epoch's last batch steps the schedule

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if may_look(trainer):  # what this skips shows in the epoch's mean loss
            self._look_at_loss(trainer, outputs["loss"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look_at_loss(trainer, trainer.callback_metrics["train/loss"])
        self._look_at_weights(trainer, pl_module)  # the last update comes after the last loss

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Any) -> None:
        self._look_at_weights(trainer, pl_module)  # for checkpoints within an epoch

    def _look_at_loss(self, trainer: Trainer, loss: Tensor) -> None:
        if not loss.isfinite():
            self._stop(trainer, f"loss became {loss.item()}")

    def _look_at_weights(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sums = [value.sum() for value in pl_module.state_dict().values() if value.is_floating_point()]
        if not all(value.isfinite() for value in sums):
            self._stop(trainer, "weights are no longer finite")

    def _stop(self, trainer: Trainer, what: str) -> None:
        epoch, start = trainer.current_epoch + 1, trainer.optimizers[0].param_groups[0]["initial_lr"]
        kept = f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "there is no checkpoint yet"
        raise InputError(
            f"The {what} in epoch {epoch} at lr {self.lr:g}; {kept}. A lower rate may help: lr={start / 10:g}."
        )
