"""A callback for ``+callbacks.interrupt._target_=tests.interrupt.Interrupt``: Ctrl-C at a chosen moment."""

import os
import signal
from pathlib import Path

from pytorch_lightning import Callback


class Interrupt(Callback):
    """Sends a signal, SIGINT unless told, to this process in a moment of an epoch (from 1).

    The moment is a batch (from 0), the ``last batch``, the ``end``, or ``saving``, between the epoch's line in the
    history and its checkpoint.
    """

    takes_chunks = True

    def __init__(self, epoch, moment, number="SIGINT"):
        self.epoch = epoch
        self.moment = moment
        self.number = signal.Signals[number]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.moment == batch_idx or (self.moment == "last batch" and trainer.is_last_batch):
            self._interrupt(trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        if self.moment == "end":
            self._interrupt(trainer)

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        if self.moment == "saving":
            self._interrupt(trainer)

    def _interrupt(self, trainer):
        if trainer.current_epoch + 1 == self.epoch:
            os.kill(os.getpid(), self.number)


class InterruptTest(Callback):
    """Sends a signal, SIGINT unless told, to this process in a batch (from 0) of the first test in a folder."""

    def __init__(self, batch, number="SIGINT", times=1):
        self.batch = batch
        self.times = times
        self.number = signal.Signals[number]

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == self.batch and not Path("interrupted").exists():
            Path("interrupted").touch()
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
