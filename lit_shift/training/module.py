"""The LightningModule: loss, accuracy, optimizer. Shift measures are separate callbacks."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR
from torchmetrics import Metric

from lit_shift.answers import answered
from lit_shift.classifiers.classifier import full_precision, in_full_precision
from lit_shift.data.chunks import Chunk
from lit_shift.data.loader import Batch
from lit_shift.metrics import Accuracy
from lit_shift.pools.pool import Pool
from lit_shift.utils.errors import InputError, number, true_or_false


class LitClassifier(LightningModule):
    """Training of a network on uint8 images, and its test in float32 or better, whatever the precision of training.

    Args:
        net: normalised images (N, 3, H, W) -> logits (N, K).
        mean: of the training pixels in [0, 1], (3,). Saved with the weights, so that other data are normalised alike.
        std: likewise.
        optimizer: called with the parameters.
        milestones: fractions of the training after which the learning rate is multiplied by ``gamma``.
        gamma: that factor.
        compile: train with ``torch.compile``, on a GPU with CUDA graphs.

    Attributes:
        skip_bad: leave test images out whose outputs are not finite.
        bad: their indices in the test set, collected by the test and by callbacks that measure.
        train_chunk: trains several batches at a time; set by :class:`lit_shift.training.whole_steps.WholeSteps`.
        arrays: results of the test that are no scalars, left by callbacks that measure, for figures and each other.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        mean: Tensor,
        std: Tensor,
        optimizer: Callable[..., Optimizer],
        milestones: Sequence[float],
        gamma: float,
        compile: bool,
    ) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("std", std[:, None, None])
        self.make_optimizer = optimizer
        self.milestones = _checked(milestones)
        self.gamma = number("gamma", gamma, 0)
        self.compiled = true_or_false("compile", compile)
        self.skip_bad = False
        self.bad: set[int] = set()
        self.arrays: dict[str, np.ndarray] = {}
        self.train_forward = self.forward
        self.train_chunk: Callable[[Chunk], dict[str, Tensor]]
        self.train_loss, self.train_accuracy, self.eval_loss = OverImages(), OverImages(), OverImages()

    def on_fit_start(self) -> None:
        if self.compiled:
            torch.compiler.reset()  # drops what earlier runs of a sweep have compiled, which counts towards a limit
            # CUDA graphs reuse the memory of their outputs in the next step. That is safe in training, which keeps
            # nothing from step to step, unless gradients are accumulated. A graph of the whole step holds no others.
            graphs = self.trainer.accumulate_grad_batches == 1 and self.automatic_optimization
            mode = "reduce-overhead" if graphs else "default"
            self.train_forward = torch.compile(self.forward, mode=mode, dynamic=False)

    def normalize(self, pixels: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Normalise uint8 images for the network: zero mean and unit variance over the training pixels."""
        mean, std = self.mean.to(dtype or self.mean.dtype), self.std.to(dtype or self.std.dtype)
        return (pixels.to(mean.dtype) / 255 - mean) / std

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits (N, K) of uint8 images (N, 3, H, W)."""
        return self.net(self.normalize(pixels))

    def on_train_start(self) -> None:
        self.logged = False

    def on_train_epoch_start(self) -> None:
        self.logged = False
        # Not called when a training resumes within an epoch, which continues from the saved running means.
        self.train_loss.reset()
        self.train_accuracy.reset()
        for module in self.net.modules():
            if isinstance(module, Pool):
                module.note_progress(min(1, self.current_epoch / max(1, (self.trainer.max_epochs or 0) - 1)))

    def training_step(self, batch: Batch | Chunk, batch_idx: int) -> dict[str, Tensor]:
        if isinstance(batch, Chunk):
            return self.train_chunk(batch)
        logits, images = self.train_forward(batch.pixels), len(batch.labels)
        if not isinstance(logits, Tensor):  # such as torchvision's Inception, with auxiliary heads
            raise InputError(f"In training, the network returns a {type(logits).__name__}, not logits (N, K).")
        loss = F.cross_entropy(logits, batch.labels)
        right = (logits.detach().argmax(1) == batch.labels).sum()
        self.count(loss.detach().double() * images, right, images)
        return {"loss": loss, "accuracy": right / images}

    def count(self, loss: Tensor, right: Tensor, images: int) -> None:
        """Count the summed loss and the correct answers of training images towards the epoch's means."""
        self.train_loss.update(loss, images)
        self.train_accuracy.update(right, images)
        # Once per epoch, since Lightning logs a metric's value at its end. Logging takes a quarter of a millisecond,
        # which is long for a GPU, and a number that is copied to the GPU makes the program wait for it.
        if not self.logged:
            self.logged = True
            self.log("train/loss", self.train_loss, on_step=False, on_epoch=True)
            self.log("train/accuracy", self.train_accuracy, on_step=False, on_epoch=True)
            self.log("lr", self.optimizers().param_groups[0]["lr"], on_step=False, on_epoch=True, reduce_fx="max")  # type: ignore[union-attr]

    def on_validation_epoch_start(self) -> None:
        self._start_evaluation()

    def on_test_start(self) -> None:
        self.bad = set()
        self.arrays = {}

    def on_test_epoch_start(self) -> None:
        self._start_evaluation()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def _start_evaluation(self) -> None:
        net = in_full_precision(self.net)
        self.evaluated, self.evaluated_dtype = net.forward, next(net.parameters()).dtype  # no submodule
        self.right = Accuracy().to(self.device)  # created here, so that the training's precision does not apply to it

    def _evaluate(self, batch: Batch, stage: str) -> None:
        with full_precision(self.device):
            logits = self.evaluated(self.normalize(batch.pixels, self.evaluated_dtype))
        good = answered(self.skip_bad, logits)
        if self.bad:
            good &= torch.tensor([place not in self.bad for place in batch.places.tolist()], device=good.device)
        self.bad |= set(batch.places[~good].tolist())
        if not good.any():
            return
        logits, labels = logits[good], batch.labels[good]
        self.eval_loss.update(F.cross_entropy(logits, labels).double() * len(labels), len(labels))
        self.right.update(logits[:, None], labels)
        self.log(f"{stage}/loss", self.eval_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        self._end_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._end_evaluation("test")

    def _end_evaluation(self, stage: str) -> None:
        if self.right.update_called:  # not if interrupted before the first batch
            self.log_dict(self.right.compute().logged(f"{stage}/accuracy"))

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        epochs = self.trainer.max_epochs or 0
        return [optimizer], [MultiStepLR(optimizer, milestone_epochs(self.milestones, epochs), self.gamma)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # For networks that draw random numbers in training.
        checkpoint["random"] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            checkpoint["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        for name in ("train_loss", "train_accuracy"):
            metric = getattr(self, name)
            with metric.sync_context():  # over all processes
                checkpoint[name] = {state: value.clone() for state, value in metric.metric_state.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        device, random = self.trainer.strategy.root_device, checkpoint.get("random", {})  # none in older ones
        if "cpu" in random:
            torch.set_rng_state(random["cpu"].cpu())
        if device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"].cpu(), device)
        for name in ("train_loss", "train_accuracy"):
            metric = getattr(self, name)
            for state, value in checkpoint[name].items():
                # The saved state is the sum over processes, so only one of them may continue from it.
                setattr(metric, state, value.to(metric.device) * self.trainer.is_global_zero)


def _checked(milestones: Sequence[float]) -> Sequence[float]:
    if isinstance(milestones, str) or not isinstance(milestones, Sequence):
        raise InputError(f"milestones={milestones} must be a list of fractions of the training, as '[0.5,0.75]'.")
    if any(number("milestones", milestone, 0) > 1 for milestone in milestones):
        raise InputError(f"milestones={list(milestones)} must be fractions of the training, from 0 to 1.")
    return milestones


def milestone_epochs(fractions: Sequence[float], epochs: int) -> list[int]:
    """Epochs at which fractions of a training end, rounded up so that short trainings start at the full rate."""
    return [math.ceil(round(fraction * epochs, 6)) for fraction in fractions]


class OverImages(Metric):
    """Mean over images, from the sums over batches.

    Its sums follow the module to its device, but keep their precision: bfloat16 cannot count many images.
    """

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, total: Tensor, images: int) -> None:
        self.total += total
        self.images += images

    def compute(self) -> Tensor:
        return self.total / self.images

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), exclude_state)
