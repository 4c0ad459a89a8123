"""Total variation of the learned filters (Zhang, Fig. 7)."""

from pytorch_lightning import Callback, Trainer
from torch import nn

from lit_shift.functional import total_variation
from lit_shift.models.layers import shortened
from lit_shift.pools.pool import outside_pools
from lit_shift.training.module import LitClassifier
from lit_shift.utils.errors import at_least


class FilterTV(Callback):
    """Callback that logs ``tv/<layer>`` of every convolution, every ``every_n_epochs`` of training and at the end.

    Left out are 1x1 convolutions, which have no neighbouring weights, and those inside a pool.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = at_least(1, "every_n_epochs", every_n_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._log(pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        self._log(pl_module)

    def _log(self, module: LitClassifier) -> None:
        layers = {path: layer for path, layer in outside_pools(module.net) if isinstance(layer, nn.Conv2d)}
        layers = {path: layer for path, layer in layers.items() if layer.kernel_size != (1, 1)}
        names = shortened([path.split(".") for path in layers])
        for name, layer in zip(names, layers.values(), strict=True):
            module.log(f"tv/{name}", total_variation(layer.weight.detach()))
