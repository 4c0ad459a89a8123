"""Training in whole steps: from the batch's images to the update, several steps per call of Lightning's loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler, ModelCheckpoint, ProgressBar, Timer
from torch import Tensor
from torch.optim import SGD, Optimizer

from lit_shift.data.chunks import Chunk, ChunkLoader
from lit_shift.data.module import ImageDataModule
from lit_shift.kernels.replay import Replay
from lit_shift.training.module import LitClassifier
from lit_shift.utils.console import say
from lit_shift.utils.errors import InputError, at_least

# Options of the trainer that are about single batches, with the values that mean nothing special.
USUAL = {
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "limit_train_batches": 1.0,
    "overfit_batches": 0.0,
    "max_steps": -1,
    "val_check_interval": 1.0,
    "reload_dataloaders_every_n_epochs": 0,
}
OF_BATCHES = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
TAKE_CHUNKS = (ModelCheckpoint, ProgressBar, Timer)  # callbacks of Lightning's that need no single batches


class Steps:
    """Training steps on batches that are made on the device, each on a GPU one CUDA graph.

    A step makes and augments its batch, computes loss and gradients, updates the weights, and adds up loss and correct
    answers. The first steps of a training, and of each size of a batch, are not yet graphs.

    Args:
        forward: uint8 images -> logits, the same function in every step.
        optimizer: of its parameters. On a GPU it must be able to read its rate there, as fused SGD is.
        device: of images and parameters.

    Attributes:
        loss: sum of the losses of a chunk's images, () float64.
        right: number of its correct answers, () int64.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], optimizer: Optimizer, device: torch.device) -> None:
        self.forward = forward
        self.optimizer = optimizer
        self.device = device
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)
        self.rates = [torch.zeros((), device=device) for _ in optimizer.param_groups]
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self.of_size: dict[int, Replay] = {}

    def train(self, chunk: Chunk) -> None:
        """Train a chunk's batches, one after another."""
        self.loss.zero_()
        self.right.zero_()
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        for size in chunk.sizes:
            if size not in self.of_size:
                self.of_size[size] = Replay(partial(self._step, chunk.loader, size), self.device, self.pool)
            # Anomaly detection reads every gradient, which no graph may do.
            self.of_size[size].work() if torch.is_anomaly_enabled() else self.of_size[size]()

    def _step(self, loader: ChunkLoader, size: int) -> None:
        kind = self.device.type
        batch = loader.take(size)
        self.optimizer.zero_grad()
        # Weights that autocast has converted must not be kept from one step to the next.
        dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        with torch.autocast(kind, dtype, enabled, cache_enabled=False):
            logits = self.forward(batch.pixels)
            loss = F.cross_entropy(logits, batch.labels)
        with torch.autocast(kind, enabled=False):
            loss.backward()
            self._update()
        self.loss += loss.detach().double() * size
        self.right += (logits.detach().argmax(1) == batch.labels).sum()

    def _update(self) -> None:
        """Step the optimizer, on a GPU with rates that it reads from the device, since a graph would keep numbers."""
        groups = self.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        if self.device.type == "cuda":
            for group, rate in zip(groups, self.rates, strict=True):
                group["lr"] = rate
        self.optimizer.step()
        for group, number in zip(groups, rates, strict=True):
            group["lr"] = number


class WholeSteps(Callback):
    """Callback that trains ``at_once`` batches per call of Lightning's loop, by :class:`Steps`.

    A GPU does a step of a small network in less time than Lightning takes to ask for it. Its hooks, progress, signals
    and checkpoints come between chunks of steps. Batches and their augmentation are those of Lightning's own loop, and
    so are the results, to rounding.

    If this is not possible, :func:`why_not` says why, and Lightning's own loop trains batch by batch.

    Args:
        at_once: number of batches, 1 for Lightning's own loop. A signal is answered after a chunk.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_least(1, "steps_at_once", at_once)
        self.before: int | None = None  # of a training that goes on

    def on_fit_start(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if self.at_once > 1 and (reason := why_not(trainer)):
            say(f"Batches are trained one by one, which is slower on a GPU, because {reason}.")
            self.at_once = 1
        pl_module.automatic_optimization = self.at_once == 1
        pl_module.train_chunk = self.train_chunk
        if isinstance(data := trainer.datamodule, ImageDataModule):  # type: ignore[attr-defined]
            data.batches_at_once = self.at_once

    def on_train_start(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        if self.before not in (None, self.at_once):
            raise InputError(
                f"This run was trained with steps_at_once={self.before} so far, which cannot become "
                f"{self.at_once}: say the same again, or start over with fresh=true."
            )
        self.trainer, self.module = trainer, pl_module
        self.steps = Steps(pl_module.train_forward, trainer.optimizers[0], trainer.strategy.root_device)
        self.chunk_done: torch.cuda.Event | None = None

    def on_train_end(self, trainer: Trainer, pl_module: LitClassifier) -> None:  # type: ignore[override]
        del self.steps  # the graphs' memory, which the test can use

    def train_chunk(self, chunk: Chunk) -> dict[str, Tensor]:
        """Train a chunk's batches. Returns their mean ``loss`` and ``accuracy``."""
        self.steps.train(chunk)
        images, progress = len(chunk.labels), self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        self.module.count(self.steps.loss, self.steps.right, images)
        for _ in chunk.sizes:
            progress.increment_ready()
            progress.increment_completed()
        if self.trainer.is_last_batch:
            self.module.lr_schedulers().step()  # type: ignore[union-attr]
        self._wait()
        return {"loss": self.steps.loss / images, "accuracy": self.steps.right / images}

    def _wait(self) -> None:
        """Wait for the previous chunk, so that the program is never further ahead of a GPU than one chunk."""
        if self.steps.device.type == "cuda":
            if self.chunk_done:
                self.chunk_done.synchronize()
            self.chunk_done = torch.cuda.Event()
            self.chunk_done.record()

    def state_dict(self) -> dict[str, Any]:
        return {"at_once": self.at_once}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before = state_dict["at_once"]


def why_not(trainer: Trainer) -> str | None:
    """Return why a trainer cannot train several batches at once, or None.

    A callback whose hooks for batches also take a :class:`~lit_shift.data.chunks.Chunk` has an attribute
    ``takes_chunks``.
    """
    optimizer, *others = trainer.optimizers
    if trainer.world_size > 1:
        return "several devices train together"
    for option, usual in USUAL.items():
        value = getattr(trainer, option)
        if value != usual or type(value) is not type(usual):  # 1 is a batch, 1.0 all of them
            return f"trainer.{option}={value} is about single batches"
    if trainer.precision not in ("32-true", "bf16-mixed"):
        return f"trainer.precision={trainer.precision} is neither 32-true nor bf16-mixed"
    if others or not all(_reads_rate_on_device(optimizer, group) for group in optimizer.param_groups):
        option = "fused" if type(optimizer) is SGD else "capturable"
        return f"the optimizer reads its rate on the CPU (say +optimizer.{option}=true)"
    if not isinstance(trainer.datamodule, ImageDataModule):  # type: ignore[attr-defined]
        return "the images are not those of an ImageDataModule"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        kind = type(callback)
        ours = kind.__module__.startswith("lit_shift.")
        takes_chunks = ours or isinstance(callback, TAKE_CHUNKS) or getattr(callback, "takes_chunks", False)
        hooked = any(getattr(kind, hook) is not getattr(Callback, hook) for hook in OF_BATCHES)
        if not takes_chunks and (hooked or isinstance(callback, GradientAccumulationScheduler)):
            return f"the callback {kind.__name__} needs each of them"
    return None


def _reads_rate_on_device(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    return bool(group.get("fused") if type(optimizer) is SGD else group.get("capturable"))
