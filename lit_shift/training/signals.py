"""Ctrl-C and schedulers' signals: a training saves a checkpoint and exits; a measurement keeps what it has."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.hooks import RemovableHandle

from lit_shift.utils.console import say


def scheduler_signals() -> list[signal.Signals]:
    """Return SIGTERM and, under SLURM, SIGUSR1: its warning before the time limit (``sbatch --signal=USR1@90``)."""
    return [signal.SIGTERM, *([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])]


def put_back(number: int) -> None:
    """Requeue the SLURM job if ``number`` was SLURM's warning, so that the same command continues later."""
    if number not in scheduler_signals()[1:] or os.environ.get("SLURM_PROCID", "0") != "0":  # one process is enough
        return
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"The job could not be put back into SLURM's queue ({error}).")


class Stopped(SystemExit):
    """Exit of a program that was asked to stop and has saved its work. The code is 128 + the signal's number."""


class Interrupted(StopIteration):
    """Request to stop a measurement within a batch. Lightning's loop takes it as the end of the batches."""


class _OnSignal(Callback):
    """Callback that records the first signal. A second one, if no echo of the first, has its previous effect."""

    # Launchers such as uv or torchrun forward a Ctrl-C that the terminal has already sent to their children.
    ECHO_SECONDS = 1

    def __init__(self) -> None:
        self.received = 0
        self._heard = 0.0
        self._previous: dict[int, Any] = {}

    def _listen(self, *numbers: int) -> None:
        if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
            self._previous = {number: signal.signal(number, self._receive) for number in numbers}

    def _receive(self, number: int, frame: Any) -> None:
        if not self.received:
            self.received, self._heard = number, time.monotonic()
        elif time.monotonic() - self._heard > self.ECHO_SECONDS:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()


class StopOnSignal(_OnSignal):
    """Callback that, on a signal, finishes the batch, writes a checkpoint to ``path`` and exits.

    The checkpoint includes the position within the epoch, from which the same command continues. It is not written
    after an epoch's last batch, because measures, history and the epoch's own checkpoint are still to come. During the
    first batch, which torch.compile may take minutes for, there is nothing to save yet. After the training, a
    scheduler's signal abandons the measurement, which the same command then repeats. If the signal is SLURM's warning
    before the time limit, the job is requeued. A second signal exits immediately.

    Args:
        path: of the checkpoint.
        command: subject of the sentence that says how to continue.
    """

    def __init__(self, path: Path, command: str = "The same command") -> None:
        super().__init__()
        self.path = path
        self.command = command
        self.testing = self.waiting = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.waiting = trainer.world_size == 1  # several processes stop together
        self._listen(signal.SIGINT, *scheduler_signals())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()
        if self._asked(trainer):  # during the last epoch, whose checkpoint has been written
            self._leave(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.testing = True
        self._listen(*scheduler_signals())  # Lightning would ignore them; Ctrl-C already works

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.waiting = False
        if not trainer.is_last_batch and self._asked(trainer):
            trainer.save_checkpoint(self.path)
            self._leave(trainer)

    def _asked(self, trainer: Trainer) -> bool:
        # Saving is a collective operation: all processes stop at the same batch or none does.
        return trainer.strategy.reduce_boolean_decision(bool(self.received), all=False)

    def _leave(self, trainer: Trainer) -> None:
        trainer.strategy.checkpoint_io.teardown()  # waits until the checkpoint is written
        epoch = min(trainer.current_epoch + 1, trainer.max_epochs or 0)  # current_epoch ends at max_epochs
        self._stop(f"in epoch {epoch}. {self.command} continues from {self.path}.", self.received or signal.SIGINT)

    def _receive(self, number: int, frame: Any) -> None:
        super()._receive(number, frame)
        if self.testing:
            self._stop(f"while measuring the trained network. {self.command} measures it again.", number)
        if self.waiting:
            self._stop(f"in the first batch. {self.command} trains it.", number)

    def _stop(self, what: str, number: int) -> None:
        say(f"\nStopped {what}")
        put_back(number)
        raise Stopped(128 + number)


class KeepMeasured(_OnSignal):
    """Callback that, on a signal, ends a measurement early and keeps the results for what has been measured.

    The batch is finished, unless the module measures a ``classifier``, whose batches may have thousands of frames. Then
    the network stops before its next layer with :class:`Interrupted`, and the batch does not count.

    This must come after every callback that measures. A second signal exits immediately. So does the first if several
    processes share the work, since they would have to agree on the batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hooks: list[RemovableHandle] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size == 1:
            self._listen(signal.SIGINT, *scheduler_signals())

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        classifier = getattr(pl_module, "classifier", None)
        if classifier is not None and not self._hooks:  # not earlier: only the test loop handles Interrupted
            self._hooks = [module.register_forward_pre_hook(self._leave_batch) for module in classifier.modules()]

    def _leave_batch(self, *_: Any) -> None:
        if self.received:
            raise Interrupted

    def _restore(self) -> None:
        super()._restore()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.received:
            raise Interrupted


def leave_if_interrupted(trainer: Trainer) -> None:
    """Exit as an interrupted program, once all results are kept."""
    if number := interrupted(trainer):
        what = "Unfinished measurements are left out" if trainer.callback_metrics else "Nothing was measured yet"
        if "test/images" in trainer.callback_metrics:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            measured, total = int(trainer.callback_metrics["test/images"]), len(data.test.labels)
            count = f"All {total}" if measured == total else f"{measured} of {total}"
            what = f"{count} test images were measured; unfinished measurements are left out"
        say(f"Stopped early. {what}.")
        raise Stopped(128 + number)


def interrupted(trainer: Trainer) -> int:
    """Return the signal that ended a measurement early, or 0."""
    return max((c.received for c in trainer.callbacks if isinstance(c, KeepMeasured)), default=0)  # type: ignore[attr-defined]
