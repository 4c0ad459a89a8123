"""A training whose loss is no longer a number."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from lit_shift.callbacks.look import may_look
from lit_shift.errors import InputError


class StopOnDivergence(Callback):
    """Stops a training whose loss or weights have become NaN or infinite, before a checkpoint is made of it."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.lr = trainer.optimizers[0].param_groups[0]["lr"]  # which the schedule moves on with the epoch's last batch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if may_look(trainer):  # the epoch's mean misses nothing
            self._check(trainer, outputs["loss"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The last update comes after the last loss, so the weights are looked at too.
        weights = [value.sum() for value in pl_module.state_dict().values() if value.is_floating_point()]
        self._check(trainer, trainer.callback_metrics["train/loss"], *weights)

    def _check(self, trainer: Trainer, loss: Tensor, *weights: Tensor) -> None:
        if all(value.isfinite() for value in (loss, *weights)):
            return
        epoch, start = trainer.current_epoch + 1, trainer.optimizers[0].param_groups[0]["initial_lr"]
        what = "weights became infinite" if loss.isfinite() else f"loss became {loss.item()}"
        kept = f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "there is no checkpoint yet"
        raise InputError(
            f"The {what} in epoch {epoch} at lr {self.lr:g}; {kept}. "
            f"A lower rate may help: optimizer.lr={start / 10:g}."
        )
