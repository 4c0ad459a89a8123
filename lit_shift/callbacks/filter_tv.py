"""Total variation of the learned filters (Zhang, Fig. 7)."""

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from lit_shift.functional import total_variation
from lit_shift.utils.errors import at_least


class FilterTV(Callback):
    """Callback that logs ``tv/<layer>`` of every convolution, every ``every_n_epochs`` of training and at the end."""

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = at_least(1, "every_n_epochs", every_n_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._log(pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log(pl_module)

    def _log(self, module: LightningModule) -> None:
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Conv2d):
                module.log(f"tv/{name.rpartition('.')[2]}", total_variation(layer.weight.detach()))
