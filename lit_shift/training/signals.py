"""Ctrl-C and the scheduler's signals: a training checkpoints, then leaves; a measurement keeps what it has."""

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
    """SIGTERM, and of SLURM SIGUSR1, its warning that time is running out (``sbatch --signal=USR1@90``)."""
    return [signal.SIGTERM, *([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])]


def put_back(number: int) -> None:
    """Put SLURM's job back into the queue where ``number`` was its warning, for the same command to continue later."""
    if number not in scheduler_signals()[1:] or os.environ.get("SLURM_PROCID", "0") != "0":  # one of its processes does
        return
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"The job could not be put back into SLURM's queue ({error}).")


class Stopped(SystemExit):
    """A program was asked to stop and has saved what it has. Exits with 128 + the signal's number."""


class Interrupted(StopIteration):
    """A measurement is asked to stop within a batch. To Lightning's loop it means that there are no more batches."""


class _OnSignal(Callback):
    """Hears the first signal; another one, if it is not an echo of the first, means what it did before."""

    # A launcher as uv or torchrun passes on the Ctrl-C that the terminal has sent to its children too.
    ECHO_SECONDS = 1

    def __init__(self) -> None:
        self.received = 0
        self._heard = 0.0
        self._previous: dict[int, Any] = {}

    def _listen(self, *numbers: int) -> None:
        if threading.current_thread() is threading.main_thread():  # no other may
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
    """Finishes the batch, writes a checkpoint to ``path`` and leaves; a second signal leaves at once.

    The checkpoint holds the place within the epoch, and the same command continues from there. An epoch's last batch
    is not the place: measures and history are still to come, and then the epoch's own checkpoint. During the first
    batch, which torch.compile may make minutes of, there is nothing to save yet. After the training, a scheduler's
    signal leaves the measurement, which the same command makes again. Where it is SLURM's warning that time is running
    out, the job is put back into the queue.
    """

    def __init__(self, path: Path, fresh: bool) -> None:
        super().__init__()
        self.path = path
        self.command = "The same command without fresh=true" if fresh else "The same command"
        self.testing = self.waiting = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.waiting = trainer.world_size == 1  # several processes stop together
        self._listen(signal.SIGINT, *scheduler_signals())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()
        if self._asked(trainer):  # in the last epoch, whose checkpoint has been written
            self._leave(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.testing = True
        self._listen(*scheduler_signals())  # which Lightning would let pass unheeded; Ctrl-C leaves by itself

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.waiting = False
        if not trainer.is_last_batch and self._asked(trainer):
            trainer.save_checkpoint(self.path)
            self._leave(trainer)

    def _asked(self, trainer: Trainer) -> bool:
        # Saving is a collective operation: all processes stop at the same batch or none does.
        return trainer.strategy.reduce_boolean_decision(bool(self.received), all=False)

    def _leave(self, trainer: Trainer) -> None:
        epoch = min(trainer.current_epoch + 1, trainer.max_epochs or 0)  # after the last one it is one more
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
    """Ends a measurement early when it is interrupted, such that what has been measured is computed and kept.

    The batch is finished, but where the module measures a ``subject``, of which a batch may be thousands of frames:
    then its network stops before its next layer, by :class:`Interrupted`, and the batch does not count.

    It must come after every callback that measures. A second signal leaves at once, as does the first where several
    processes share the work, who would have to agree on the batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hooks: list[RemovableHandle] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size == 1:
            self._listen(signal.SIGINT, *scheduler_signals())

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        subject = getattr(pl_module, "subject", None)
        if subject is not None and not self._hooks:  # not before: only the loop knows what it means
            self._hooks = [module.register_forward_pre_hook(self._leave_batch) for module in subject.modules()]

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
    """End the program as an interrupted one, once what has been measured is kept."""
    if number := interrupted(trainer):
        what = "what is shown is measured" if trainer.callback_metrics else "nothing is measured yet"
        if "test/images" in trainer.callback_metrics:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            measured = trainer.callback_metrics["test/images"]
            what = f"{measured:.0f} of the {len(data.test.labels)} test images are measured, and what else is shown"
        say(f"Stopped: {what}.")
        raise Stopped(128 + number)


def interrupted(trainer: Trainer) -> int:
    """The signal that ends a measurement early, or 0."""
    return max((c.received for c in trainer.callbacks if isinstance(c, KeepMeasured)), default=0)  # type: ignore[attr-defined]
